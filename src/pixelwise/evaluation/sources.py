"""Where truth and predictions come from: data sets, folders of label maps, models."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Dataset
from pixelwise.data.targets import InstanceTarget, MultiLabelTarget
from pixelwise.errors import DatasetError
from pixelwise.evaluation.label_maps import read_ids
from pixelwise.formats.spacing import Spacing, read_spacing
from pixelwise.inference.predictor import Model
from pixelwise.segmentation import Segmentation

__all__ = ["FileTruth", "LabelMaps", "ModelPredictions", "Predicted", "SetTruth", "TrueMask"]


@dataclass(frozen=True, eq=False)
class TrueMask:
    """The truth of a picture.

    Attributes:
        ids: uint8 or uint16 `[H, W]`.
        instances: int32 `[H, W]`, the object of each pixel, 0 for none; None where the truth tells
            no objects.
        image: `[H, W, B]`; None where there is none.
    """

    ids: NDArray[Any]
    instances: NDArray[np.int32] | None
    image: NDArray[Any] | None


@dataclass(frozen=True, eq=False)
class Predicted:
    """The prediction of a picture.

    Attributes:
        ids: uint8 or uint16 `[H, W]`.
        segmentation: the model's answer; None of label maps.
    """

    ids: NDArray[Any]
    segmentation: Segmentation | None


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
                fix="convert it to masks: pixelwise data convert",
            )
        instances = target.instances if isinstance(target, InstanceTarget) else None
        return TrueMask(target.mask, instances, image)


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

    def spacing(self, place: int) -> Spacing | None:
        """See `Truths.spacing`."""
        return read_spacing(self.files[self.names[place]])

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
        classes, facts: see `Predictions`.
    """

    model: Model
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
    """

    folder: Path
    files: tuple[Path, ...]
    classes: ClassTable

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """See `Predictions.facts`; reads every file once, for their hash."""
        digest = hashlib.sha256()
        for path in self.files:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return {
            "predictions": f"label maps in {self.folder.absolute().name}",
            "predictions_hash": digest.hexdigest(),
        }

    def read(self, place: int, image: NDArray[Any] | None) -> Predicted:
        """See `Predictions.read`.

        Raises:
            MaskFileError: the label map cannot be read, or holds ids outside the table.
        """
        del image
        return Predicted(read_ids(self.files[place], self.classes), None)
