"""A loaded model: pictures in, `Segmentation`s out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.errors import ArrayError, EngineError, UsageError
from pixelwise.formats.decoding import DEFAULT_MEGAPIXELS
from pixelwise.formats.images import ImageSource, describe_source
from pixelwise.inference.card import Card
from pixelwise.inference.engines import Engine, make_engine, usable_cores
from pixelwise.inference.model_file import ModelFile, read_model
from pixelwise.inference.preprocess import InputPlan, plan_input, prepare, score_geometry
from pixelwise.inference.remote import read_source
from pixelwise.segmentation import Provenance, Segmentation
from pixelwise.version import VERSION

__all__ = ["Model", "load"]

# More at once is not faster on processors, and takes memory for each.
_LARGEST_BATCH = 4


class Model:
    """A model file and the engine that runs it; may be used from several threads.

    Args:
        file: the checked model file.
        engine: runs its network.
        threads: cores that one picture may use.

    Attributes:
        classes: the classes it knows.
    """

    def __init__(self, file: ModelFile, engine: Engine, threads: int) -> None:
        self._file = file
        self._engine = engine
        self._threads = threads
        self.classes: ClassTable = file.card.classes

    def __repr__(self) -> str:
        return f"Model({self.card.name!r}, {len(self.classes)} classes, {self._engine.description})"

    @property
    def card(self) -> Card:
        """What the model says of itself."""
        return self._file.card

    @property
    def file(self) -> ModelFile:
        """The model file that it was loaded from."""
        return self._file

    @property
    def sha256(self) -> str:
        """Hash of the model file."""
        return self._file.sha256

    def predict(
        self,
        image: ImageSource,
        *,
        max_megapixels: float = DEFAULT_MEGAPIXELS,
        timeout: float | None = None,
        name: str = "",
    ) -> Segmentation:
        """Segments one picture of any size.

        Args:
            image: a path, an address in an object store (`s3://…`), the bytes of an image file, a
                PIL image, or an array `[H, W, 3]` RGB.
            max_megapixels: larger files are refused before they are decoded.
            timeout: seconds after which decoding is given up; it then runs in a process of its
                own, for files from strangers.
            name: what messages and the result call a picture that is no path.

        Raises:
            ImageFileError: the picture cannot be read.
            UsageError: an address of no object store.
            ArrayError: an array is no picture.
            EngineError: the network cannot be run.
        """
        pixels = read_source(image, max_megapixels=max_megapixels, timeout=timeout, name=name)
        # The caller may write the next frame into an array before the overlay is drawn.
        pixels = pixels.copy() if isinstance(image, np.ndarray) else pixels
        return self.predict_pixels([pixels], [name or describe_source(image)])[0]

    def predict_batch(
        self,
        images: Iterable[ImageSource],
        *,
        max_megapixels: float = DEFAULT_MEGAPIXELS,
        timeout: float | None = None,
    ) -> list[Segmentation]:
        """Segments several pictures; those of one network size run together.

        The answers come in the order of the pictures. Arguments and errors as in `predict`.
        """
        if isinstance(images, str | bytes | os.PathLike):
            raise UsageError(
                "predict_batch takes several pictures",
                got=f"one {type(images).__name__}",
                fix="pass a list, or call predict",
            )
        sources = list(images)
        pictures = [
            read_source(source, max_megapixels=max_megapixels, timeout=timeout)
            for source in sources
        ]
        pictures = [
            picture.copy() if isinstance(source, np.ndarray) else picture
            for source, picture in zip(sources, pictures, strict=True)
        ]
        return self.predict_pixels(pictures, [describe_source(source) for source in sources])

    def predict_pixels(
        self, pictures: Sequence[NDArray[np.uint8]], names: Sequence[str]
    ) -> list[Segmentation]:
        """Segments pictures that `read_image` gave; results keep them, so they must not change.

        Args:
            pictures: uint8 `[H, W, 3]` RGB each.
            names: what messages and results call them.

        Raises:
            EngineError: the network cannot be run.
        """
        plans = [
            plan_input((picture.shape[0], picture.shape[1]), self.card.preprocessing)
            for picture in pictures
        ]
        scores: dict[int, NDArray[np.float32]] = {}
        for members in self._batches(plans):
            batch = np.stack(
                [
                    prepare(
                        pictures[index],
                        plans[index],
                        self.card.preprocessing,
                        threads=self._threads,
                    )
                    for index in members
                ]
            )
            scores |= dict(zip(members, self._run(batch), strict=True))
        return [
            self._segmentation(scores[index], plans[index], pictures[index], name)
            for index, name in enumerate(names)
        ]

    def _batches(self, plans: list[InputPlan]) -> Iterator[list[int]]:
        """Indices of pictures that the network may take together."""
        largest = 1 if self._file.one_by_one else _LARGEST_BATCH
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, plan in enumerate(plans):
            by_size.setdefault(plan.padded, []).append(index)
        for members in by_size.values():
            for first in range(0, len(members), largest):
                yield members[first : first + largest]

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        scores = self._engine.run(batch)
        expected = (len(batch), len(self.classes))
        if scores.ndim != 4 or scores.shape[:2] != expected:
            raise EngineError(
                "the network gave scores of another shape than its card says",
                where=str(self._file.path),
                got=f"{scores.shape}, expected ({expected[0]}, {expected[1]}, h, w)",
                fix="export the model again with the class table it was trained on",
            )
        return scores

    def _segmentation(
        self,
        scores: NDArray[np.float32],
        plan: InputPlan,
        picture: NDArray[np.uint8],
        name: str,
    ) -> Segmentation:
        height, width = scores.shape[1:]
        card = self.card.postprocessing
        provenance = Provenance(
            model=self.card.name,
            model_hash=self.sha256,
            engine=self._engine.description,
            network_size=plan.padded,
            source=name,
            version=VERSION,
        )
        try:
            return Segmentation(
                scores=scores,
                classes=self.classes,
                geometry=score_geometry(plan, (height, width), card),
                provenance=provenance,
                image=picture,
                threads=self._threads,
                temperature=card.temperature,
                set_threshold=None if card.conformal is None else card.conformal.threshold,
            )
        except ArrayError as error:
            raise EngineError(
                "the network gave scores that cannot be used",
                where=f"{self._file.path}, {name}",
                got=error.got,
                fix="check the file with the other engine (engine='onnxruntime' or 'openvino')",
            ) from error


def load(
    model: str | Path,
    *,
    engine: str = "auto",
    device: str = "cpu",
    threads: int = 0,
    streams: int = 1,
) -> Model:
    """Loads a model.

    Args:
        model: the name of a shipped model, such as `"street"`, or the path of a model file.
        engine: `"auto"`, `"onnxruntime"` or `"openvino"`; auto takes OpenVINO where installed.
        device: `"cpu"` or `"gpu"`.
        threads: cores that one picture may use; 0 means all.
        streams: pictures predicted side by side, each from a thread of the caller.

    Raises:
        UnknownModelError: there is no such model.
        ModelFileError: the file is broken or foreign (`CardError`: its card does not fit).
        EngineError: the engine refuses the network (`DeviceError`: no such device here).
        MissingExtraError: the engine is not installed.
        UsageError: an argument that cannot be.
    """
    file = read_model(model)
    runner = make_engine(file, engine=engine, device=device, threads=threads, streams=streams)
    return Model(file, runner, threads or usable_cores())
