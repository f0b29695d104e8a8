"""Where truth and predictions come from: data sets, folders of label maps, models."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Dataset
from pixelwise.data.layouts.drawn import DrawnObjects
from pixelwise.data.objects import AnnotatedObject
from pixelwise.data.shapes import Shape
from pixelwise.data.targets import InstanceTarget, MultiLabelTarget, layers_of
from pixelwise.errors import DatasetError
from pixelwise.evaluation.label_maps import Held, paired, read_ids
from pixelwise.evaluation.stored_probabilities import Probabilities, read_stored
from pixelwise.formats.spacing import Spacing, read_spacing
from pixelwise.inference.predictor import Model

__all__ = [
    "FileTruth",
    "LabelMaps",
    "LooseObjects",
    "ModelPredictions",
    "NumberedObjects",
    "ObjectForm",
    "Predicted",
    "SetTruth",
    "Stored",
    "TrueLayers",
    "TrueMask",
    "hash_of",
]

ObjectForm: TypeAlias = Literal["regions", "segments", "results"]
"""How predictions tell objects: as connected regions of a label map, as a number for each pixel,
or as masks that may overlap."""


@dataclass(frozen=True, eq=False)
class TrueMask:
    """The truth of a picture.

    Attributes:
        ids: uint8 or uint16 `[H, W]`.
        instances: int32 `[H, W]`, the object of each pixel, 0 for none; None where the truth tells
            no objects.
        image: `[H, W, B]`; None where there is none.
        drawn: the objects as they were drawn, overlapping or not; None where the truth has pixels
            alone.
    """

    ids: NDArray[Any]
    instances: NDArray[np.int32] | None
    image: NDArray[Any] | None
    drawn: tuple[AnnotatedObject, ...] | None = None


@dataclass(frozen=True, eq=False)
class TrueLayers:
    """The truth of a picture whose classes may lie over each other.

    Attributes:
        layers: bool `[C, H, W]`, in the order of the class table.
        ignore: bool `[H, W]`: pixels that count in no layer.
        image: `[H, W, B]`; None where there is none.
    """

    layers: NDArray[np.bool_]
    ignore: NDArray[np.bool_]
    image: NDArray[Any] | None


@dataclass(frozen=True, eq=False)
class NumberedObjects:
    """Objects of which none overlaps another.

    Attributes:
        numbers: int32 `[H, W]`: the object of each pixel, 1 and up; 0 for none.
        scores: float64 `[N]`: of object n the n-th, from 1.
    """

    numbers: NDArray[np.int32]
    scores: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LooseObjects:
    """Objects that may overlap.

    Attributes:
        shapes: the pixels of each.
        classes: uint16 `[N]`: ids of the prediction's table, or channels where it is judged.
        scores: float64 `[N]`.
    """

    shapes: tuple[Shape, ...]
    classes: NDArray[np.uint16]
    scores: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predicted:
    """The prediction of a picture.

    Attributes:
        ids: uint8 or uint16 `[H, W]`.
        segmentation: what is said of every class, as the model's answer does; None of label maps
            alone.
        objects: that it tells; None where the connected regions are taken.
    """

    ids: NDArray[Any]
    segmentation: Probabilities | None
    objects: NumberedObjects | LooseObjects | None = None


@dataclass(frozen=True, eq=False)
class SetTruth:
    """The truth in a data set.

    Attributes:
        dataset: the pictures to judge.
        split: its name; "" for all pictures.
        known: names of all pictures of the data set that the split is of.
        form: how its truth was changed, in words; "" where it was not.
        learned: how many of the pictures runs learned from, in words; "" where that is not known.
        classes, names, facts: see `Truths`.
    """

    dataset: Dataset
    split: str
    known: tuple[str, ...]
    form: str = ""
    learned: str = ""
    classes: ClassTable = field(init=False)
    names: tuple[str, ...] = field(init=False)
    facts: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        form = f", {self.form}" if self.form else ""
        facts = {
            "data": f"{self.dataset.root.absolute().name} ({self.dataset.layout}){form}",
            "split": self.split or "all pictures",
        }
        facts |= {"learned": self.learned} if self.learned else {}
        object.__setattr__(self, "classes", self.dataset.classes)
        object.__setattr__(self, "names", tuple(entry.name for entry in self.dataset.entries))
        object.__setattr__(self, "facts", facts)

    def spacing(self, place: int) -> Spacing | None:
        """See `Truths.spacing`: of the mask, else of the picture."""
        entry = self.dataset.entries[place]
        files = [self.dataset.root / path for path in (entry.truth, entry.image) if path]
        return next((found for path in files if (found := read_spacing(path)) is not None), None)

    def read(self, place: int) -> TrueMask:
        """See `Truths.read`.

        Raises:
            DatasetError: classes overlap.
            PixelwiseError: a file cannot be read.
        """
        entry = self.dataset.entries[place]
        image = self.dataset.read_image(entry)
        target = self.dataset.read_target(entry, (image.shape[0], image.shape[1]))
        if isinstance(target, MultiLabelTarget):
            raise DatasetError(
                "classes that overlap cannot be judged by one label per pixel",
                where=entry.name,
                got="a multi-label truth",
                fix="judge a model or files of layers by it: pixelwise evaluate",
            )
        instances = target.instances if isinstance(target, InstanceTarget) else None
        own = self.dataset.truth
        drawn = own.pictures[entry.row].objects if isinstance(own, DrawnObjects) else None
        return TrueMask(target.mask, instances, image, drawn)

    def read_layers(self, place: int) -> TrueLayers:
        """The truth as layers; of one class a pixel, each pixel has that class alone.

        Raises:
            PixelwiseError: a file cannot be read.
        """
        entry = self.dataset.entries[place]
        image = self.dataset.read_image(entry)
        target = self.dataset.read_target(entry, (image.shape[0], image.shape[1]))
        if not isinstance(target, MultiLabelTarget):
            target = layers_of(target.mask, self.classes)
        return TrueLayers(target.layers, target.ignore, image)


@dataclass(frozen=True, eq=False)
class FileTruth:
    """The truth in a folder of label maps.

    Attributes:
        folder: for the protocol.
        files: by name.
        classes: what the ids mean.
        held: how the files hold the ids.
        names, known, facts: see `Truths`.
    """

    folder: Path
    files: Mapping[str, Path]
    classes: ClassTable
    held: Held = field(default_factory=Held)
    names: tuple[str, ...] = field(init=False)
    known: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        name = _with_note(self.folder.absolute().name, self.held)
        facts = {"data": name, "split": "all label maps of the folder"}
        object.__setattr__(self, "names", tuple(self.files))
        object.__setattr__(self, "facts", facts)

    def spacing(self, place: int) -> Spacing | None:
        """See `Truths.spacing`."""
        return read_spacing(self.files[self.names[place]])

    def read(self, place: int) -> TrueMask:
        """See `Truths.read`.

        Raises:
            MaskFileError: the label map cannot be read, or holds ids outside the table.
        """
        ids = read_ids(self.files[self.names[place]], self.classes, self.held.masks)
        return TrueMask(ids, None, None)


@dataclass(frozen=True, eq=False)
class ModelPredictions:
    """What a model says of the pictures.

    Attributes:
        model: may be used from several threads.
        classes, facts, form, probable: see `Predictions`.
    """

    model: Model
    form: ObjectForm = "regions"
    classes: ClassTable = field(init=False)
    facts: Mapping[str, str] = field(init=False)
    probable: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        facts = {
            "predictions": f"model {self.model.card.name}",
            "model_hash": self.model.sha256,
            "input": self.model.card.preprocessing.describe(),
        }
        object.__setattr__(self, "classes", self.model.classes)
        object.__setattr__(self, "facts", facts)

    def read(self, place: int, image: NDArray[Any] | None) -> Predicted:
        """See `Predictions.read`.

        Raises:
            DatasetError: there is no picture.
            EngineError: the network cannot be run, or its scores are no numbers.
        """
        del place
        if image is None:
            raise DatasetError(
                "a model needs pictures, and there are label maps alone",
                fix="give a data set of pictures and masks",
            )
        segmentation = self.model.predict(image)
        return Predicted(segmentation.labels, segmentation)


@dataclass(frozen=True, eq=False)
class Stored:
    """Predictions in files, by their names.

    Attributes:
        folder: for messages and the protocol.
        labels: label maps; none where there are probabilities alone.
        classes: what ids and channels mean.
        probabilities: of the same names; none where there are label maps alone.
        held: how the label maps hold the ids.
    """

    folder: Path
    labels: Mapping[str, Path]
    classes: ClassTable
    probabilities: Mapping[str, Path] = field(default_factory=dict)
    held: Held = field(default_factory=Held)

    def of(self, wanted: Sequence[str], *, known: Iterable[str] = ()) -> LabelMaps:
        """Those of these pictures; see `paired`.

        Raises:
            DatasetError: lists pictures without a prediction and predictions without a picture.
        """
        files = self.labels or self.probabilities
        chosen = paired(wanted, files, known=known, where=str(self.folder))
        names = {path: name for name, path in files.items()}
        return LabelMaps(
            folder=self.folder,
            files=chosen if self.labels else (),
            classes=self.classes,
            probabilities=tuple(self.probabilities[names[path]] for path in chosen)
            if self.probabilities
            else (),
            held=self.held,
        )


@dataclass(frozen=True, eq=False)
class LabelMaps:
    """Predictions in files, of each picture in the order of the truth.

    Attributes:
        folder: for the protocol.
        files: label maps; none where there are probabilities alone.
        classes: what ids and channels mean.
        probabilities: files; none where there are label maps alone.
        held: how the label maps hold the ids.
        form: see `Predictions`.
    """

    folder: Path
    files: tuple[Path, ...]
    classes: ClassTable
    probabilities: tuple[Path, ...] = ()
    held: Held = field(default_factory=Held)
    form: ObjectForm = "regions"

    @property
    def probable(self) -> bool:
        """See `Predictions.probable`."""
        return bool(self.probabilities)

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """See `Predictions.facts`; reads every file once, for their hash."""
        kinds = [("label maps", self.files), ("probabilities", self.probabilities)]
        what = " and ".join(kind for kind, files in kinds if files)
        return {
            "predictions": _with_note(f"{what} in {self.folder.absolute().name}", self.held),
            "predictions_hash": hash_of((*self.files, *self.probabilities)),
        }

    def read(self, place: int, image: NDArray[Any] | None) -> Predicted:
        """See `Predictions.read`.

        Raises:
            MaskFileError: a file cannot be read, or holds ids outside the table or no
                probabilities of its classes.
        """
        del image
        ids = None
        if self.files:
            ids = read_ids(self.files[place], self.classes, self.held.masks)
            if not self.probabilities:
                return Predicted(ids, None)
        stored = read_stored(self.probabilities[place], self.classes, ids)
        return Predicted(stored.ids, stored)


def _with_note(name: str, held: Held) -> str:
    return f"{name} ({held.note})" if held.note else name


def hash_of(files: Iterable[Path]) -> str:
    """SHA-256 of the hashes of files, in their order."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
