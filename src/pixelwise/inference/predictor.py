"""A loaded model: pictures in, `Segmentation`s out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ArrayError, EngineError, UsageError
from pixelwise.formats.decoding import DEFAULT_MEGAPIXELS
from pixelwise.formats.images import ImageSource, describe_source
from pixelwise.formats.viewable import viewable
from pixelwise.geometry import Geometry
from pixelwise.inference.augmentation import mean_scores
from pixelwise.inference.engines import make_engine, usable_cores
from pixelwise.inference.model_file import read_model
from pixelwise.inference.network import Network
from pixelwise.inference.picture_input import read_input
from pixelwise.inference.preprocess import InputPlan, plan_input, score_geometry
from pixelwise.inference.tile_plan import DEFAULT_OVERLAP, describe_settings, plan_tiles
from pixelwise.inference.tiles import ArraySource, tiled_scores
from pixelwise.multi_label import MultiLabelSegmentation
from pixelwise.segmentation import Provenance, Segmentation
from pixelwise.version import VERSION

__all__ = ["Model", "load"]

# More at once is not faster on processors, and takes memory for each.
_LARGEST_BATCH = 4


class Model(Network):
    """A model file and the engine that runs it; may be used from several threads.

    Args:
        file: the checked model file.
        engine: runs its network.
        threads: cores that one picture may use.

    Attributes:
        classes: the classes it knows.
    """

    def __repr__(self) -> str:
        return f"Model({self.card.name!r}, {len(self.classes)} classes, {self.engine})"

    def predict(
        self,
        image: ImageSource,
        *,
        tile: int | None = None,
        overlap: float | None = None,
        tta: str = "none",
        max_megapixels: float = DEFAULT_MEGAPIXELS,
        timeout: float | None = None,
        name: str = "",
    ) -> Segmentation:
        """Segments one picture of any size.

        Args:
            image: a path, an address in an object store (`s3://…`), the bytes of an image file, a
                PIL image, or an array `[H, W, 3]` RGB; for models of other bands or types the path
                of a raster, or an array `[H, W, B]`. A GeoTIFF may be a photo if it has data
                everywhere; `predict_raster` takes others too.
            tile: side of overlapping tiles in pixels; the network then sees the picture at its own
                scale, not at the one of the card. None: the picture as a whole.
            overlap: part of a tile that its neighbour covers too, 0 to 0.5; None: 0.25.
            tta: test-time augmentation, the mean over several views: `"mirror"` (left and right),
                `"flips"` (and upside down) or `"scales"` (0.75, 1 and 1.25).
            max_megapixels: larger files are refused before they are decoded.
            timeout: seconds after which decoding is given up; it then runs in a process of its
                own, for files from strangers.
            name: what messages and the result call a picture that is no path.

        Raises:
            ImageFileError: the picture cannot be read.
            UsageError: an address of no object store; or a GeoTIFF with pixels without data.
            ArrayError: an array is no picture.
            UsageError: tile, overlap or tta cannot be.
            EngineError: the network cannot be run.
            OutOfMemoryError: there is not enough memory to run it.
        """
        self.refuse_multi_label()
        pixels = self._read(image, max_megapixels, timeout, name)
        return self.predict_pixels(
            [pixels], [name or describe_source(image)], tile=tile, overlap=overlap, tta=tta
        )[0]

    def predict_batch(
        self,
        images: Iterable[ImageSource],
        *,
        tile: int | None = None,
        overlap: float | None = None,
        tta: str = "none",
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
        self.refuse_multi_label()
        sources = list(images)
        pictures = [self._read(source, max_megapixels, timeout, "") for source in sources]
        names = [describe_source(source) for source in sources]
        return self.predict_pixels(pictures, names, tile=tile, overlap=overlap, tta=tta)

    def predict_multi_label(
        self,
        image: ImageSource,
        *,
        tile: int | None = None,
        overlap: float | None = None,
        tta: str = "none",
        max_megapixels: float = DEFAULT_MEGAPIXELS,
        timeout: float | None = None,
        name: str = "",
    ) -> MultiLabelSegmentation:
        """Segments one picture of any size by a model whose classes lie over each other.

        Arguments and errors as in `predict`; `tta` takes the mean of probabilities.

        Raises:
            UsageError: the model gives each pixel one class.
        """
        if not self.is_multi_label:
            raise UsageError(
                "this model gives each pixel one class", where=self.card.name, fix="call predict"
            )
        pixels = self._read(image, max_megapixels, timeout, name)
        scored = self._scored([pixels], [name or describe_source(image)], tile, overlap, tta)[0]
        card = self.card.postprocessing
        with self._scores_told(scored):
            return MultiLabelSegmentation(
                scores=scored.scores,
                classes=self.classes,
                geometry=scored.geometry,
                provenance=scored.provenance,
                thresholds=card.thresholds or (0.5,) * len(self.classes),
                image=viewable(pixels),
                threads=self.threads,
            )

    @property
    def is_multi_label(self) -> bool:
        """Whether its classes lie over each other, so that `predict_multi_label` is the call."""
        return self.card.postprocessing.activation == "sigmoid"

    def predict_pixels(
        self,
        pictures: Sequence[NDArray[Any]],
        names: Sequence[str],
        *,
        tile: int | None = None,
        overlap: float | None = None,
        tta: str = "none",
    ) -> list[Segmentation]:
        """Segments pictures that are read already; results keep them, so they must not change.

        Args:
            pictures: uint8 `[H, W, 3]` RGB each, or the bands that the model takes.
            names: what messages and results call them.
            tile: as in `predict`.
            overlap: as in `predict`.
            tta: as in `predict`.

        Raises:
            UsageError: tile, overlap or tta cannot be.
            EngineError: the network cannot be run.
            OutOfMemoryError: there is not enough memory to run it.
        """
        self.refuse_multi_label()
        card = self.card.postprocessing
        found = []
        for scored, picture in zip(
            self._scored(pictures, names, tile, overlap, tta), pictures, strict=True
        ):
            with self._scores_told(scored):
                found.append(
                    Segmentation(
                        scores=scored.scores,
                        classes=self.classes,
                        geometry=scored.geometry,
                        provenance=scored.provenance,
                        image=viewable(picture),
                        threads=self.threads,
                        temperature=card.temperature,
                        set_threshold=None if card.conformal is None else card.conformal.threshold,
                    )
                )
        return found

    def refuse_multi_label(self) -> None:
        """Nothing, unless classes lie over each other.

        Raises:
            UsageError: they do, so there are no label maps.
        """
        if self.is_multi_label:
            raise UsageError(
                "classes of this model lie over each other, so no pixel has one label",
                where=self.card.name,
                fix="call predict_multi_label, for each picture",
            )

    def _scored(
        self,
        pictures: Sequence[NDArray[Any]],
        names: Sequence[str],
        tile: int | None,
        overlap: float | None,
        tta: str,
    ) -> list[_Scored]:
        """The network's answers, in the order of the pictures."""
        if tile is None and overlap is not None:
            raise UsageError("an overlap needs tiles", got=f"overlap={overlap}", fix="give tile=")
        views = self.views(tta)
        if tile is not None:
            shared = DEFAULT_OVERLAP if overlap is None else overlap
            return [
                self._in_tiles(picture, name, tile, shared, tta)
                for picture, name in zip(pictures, names, strict=True)
            ]
        plans = [
            plan_input((picture.shape[0], picture.shape[1]), self.card.preprocessing)
            for picture in pictures
        ]
        scores: dict[int, NDArray[np.float32]] = {}
        for members in self._batches(plans):
            batch = mean_scores(
                [pictures[index] for index in members],
                [plans[index] for index in members],
                self.card,
                views,
                self.run,
                threads=self.threads,
            )
            scores |= dict(zip(members, batch, strict=True))
        return [
            _Scored(
                scores[index],
                score_geometry(
                    plans[index],
                    (scores[index].shape[1], scores[index].shape[2]),
                    self.card.postprocessing,
                ),
                self._provenance(name, plans[index].padded, describe_settings(tta=tta)),
            )
            for index, name in enumerate(names)
        ]

    def _in_tiles(
        self,
        picture: NDArray[Any],
        name: str,
        tile: int,
        overlap: float,
        tta: str,
    ) -> _Scored:
        plan = plan_tiles(
            (picture.shape[0], picture.shape[1]), self, tile=tile, overlap=overlap, tta=tta
        )
        settings = describe_settings(tile=tile, overlap=overlap, tta=tta)
        return _Scored(
            tiled_scores(self, ArraySource(picture), plan),
            plan.geometry,
            self._provenance(name, plan.tile, settings),
        )

    def _batches(self, plans: list[InputPlan]) -> Iterator[list[int]]:
        """Indices of pictures that the network may take together."""
        largest = 1 if self._file.one_by_one else _LARGEST_BATCH
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, plan in enumerate(plans):
            by_size.setdefault(plan.padded, []).append(index)
        for members in by_size.values():
            for first in range(0, len(members), largest):
                yield members[first : first + largest]

    def _read(
        self, source: ImageSource, max_megapixels: float, timeout: float | None, name: str
    ) -> NDArray[Any]:
        pixels = read_input(
            source,
            self.card.preprocessing,
            max_megapixels=max_megapixels,
            timeout=timeout,
            name=name,
        )
        # The caller may write the next frame into an array before the overlay is drawn.
        return pixels.copy() if isinstance(source, np.ndarray) else pixels

    def _provenance(self, name: str, network_size: tuple[int, int], settings: str) -> Provenance:
        return Provenance(
            model=self.card.name,
            model_hash=self.sha256,
            engine=self.engine,
            network_size=network_size,
            source=name,
            version=VERSION,
            settings=settings,
        )

    @contextmanager
    def _scores_told(self, scored: _Scored) -> Iterator[None]:
        """Blames the network for scores that no result can be made of."""
        try:
            yield
        except ArrayError as error:
            raise EngineError(
                "the network gave scores that cannot be used",
                where=f"{self._file.path}, {scored.provenance.source}",
                got=error.got,
                fix="check the file with the other engine (engine='onnxruntime' or 'openvino')",
            ) from error


@dataclass(frozen=True, eq=False)
class _Scored:
    """What the network says of a picture: scores `[C, h, w]`, where they lie, and their source."""

    scores: NDArray[np.float32]
    geometry: Geometry
    provenance: Provenance


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
