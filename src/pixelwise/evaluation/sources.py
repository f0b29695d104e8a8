"""Where truth and predictions come from: data sets, folders of label maps, models."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
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
from pixelwise.data.targets import InstanceTarget, MultiLabelTarget
from pixelwise.errors import DatasetError
from pixelwise.evaluation.label_maps import read_ids
from pixelwise.inference.predictor import Model
from pixelwise.segmentation import Segmentation

__all__ = [
    "FileTruth",
    "LabelMaps",
    "LooseObjects",
    "ModelPredictions",
    "NumberedObjects",
    "ObjectForm",
    "Predicted",
    "SetTruth",
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
        segmentation: the model's answer; None of files.
        objects: that it tells; None where the connected regions are taken.
    """

    ids: NDArray[Any]
    segmentation: Segmentation | None
    objects: NumberedObjects | LooseObjects | None = None


@dataclass(frozen=True, eq=False)
class SetTruth:
    """The truth in a data set.

    Attributes:
        dataset: the pictures to judge.
        split: its name; "" for all pictures.
        known: names of all pictures of the data set that the split is of.
        form: how its truth was changed, in words; "" where it was not.
        classes, names, facts: see `Truths`.
    """

    dataset: Dataset
    split: str
    known: tuple[str, ...]
    form: str = ""
    classes: ClassTable = field(init=False)
    names: tuple[str, ...] = field(init=False)
    facts: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        form = f", {self.form}" if self.form else ""
        facts = {
            "data": f"{self.dataset.root.absolute().name} ({self.dataset.layout}){form}",
            "split": self.split or "all pictures",
        }
        object.__setattr__(self, "classes", self.dataset.classes)
        object.__setattr__(self, "names", tuple(entry.name for entry in self.dataset.entries))
        object.__setattr__(self, "facts", facts)

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
                fix="convert it to masks: pixelwise data convert",
            )
        instances = target.instances if isinstance(target, InstanceTarget) else None
        own = self.dataset.truth
        drawn = own.pictures[entry.row].objects if isinstance(own, DrawnObjects) else None
        return TrueMask(target.mask, instances, image, drawn)


@dataclass(frozen=True, eq=False)
class FileTruth:
    """The truth in a folder of label maps.

    Attributes:
        folder: for the protocol.
        files: by name.
        classes: what the ids mean.
        names, known, facts: see `Truths`.
    """

    folder: Path
    files: Mapping[str, Path]
    classes: ClassTable
    names: tuple[str, ...] = field(init=False)
    known: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        facts = {"data": self.folder.absolute().name, "split": "all label maps of the folder"}
        object.__setattr__(self, "names", tuple(self.files))
        object.__setattr__(self, "facts", facts)

    def read(self, place: int) -> TrueMask:
        """See `Truths.read`.

        Raises:
            MaskFileError: the label map cannot be read, or holds ids outside the table.
        """
        return TrueMask(read_ids(self.files[self.names[place]], self.classes), None, None)


@dataclass(frozen=True, eq=False)
class ModelPredictions:
    """What a model says of the pictures.

    Attributes:
        model: may be used from several threads.
        classes, facts, form: see `Predictions`.
    """

    model: Model
    form: ObjectForm = "regions"
    classes: ClassTable = field(init=False)
    facts: Mapping[str, str] = field(init=False)

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
class LabelMaps:
    """Predictions in files.

    Attributes:
        folder: for the protocol.
        files: of each picture, in the order of the truth.
        classes: what the ids mean.
        form: see `Predictions`.
    """

    folder: Path
    files: tuple[Path, ...]
    classes: ClassTable
    form: ObjectForm = "regions"

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """See `Predictions.facts`; reads every file once, for their hash."""
        return {
            "predictions": f"label maps in {self.folder.absolute().name}",
            "predictions_hash": hash_of(self.files),
        }

    def read(self, place: int, image: NDArray[Any] | None) -> Predicted:
        """See `Predictions.read`.

        Raises:
            MaskFileError: the label map cannot be read, or holds ids outside the table.
        """
        del image
        return Predicted(read_ids(self.files[place], self.classes), None)


def hash_of(files: Iterable[Path]) -> str:
    """SHA-256 of the hashes of files, in their order."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
