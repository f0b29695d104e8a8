"""Where truth and predictions come from: data sets, folders of label maps, models."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
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
from pixelwise.evaluation.label_maps import Held, paired, read_ids
from pixelwise.evaluation.stored_probabilities import Probabilities, read_stored
from pixelwise.formats.spacing import Spacing, read_spacing
from pixelwise.inference.predictor import Model

__all__ = [
    "FileTruth",
    "LabelMaps",
    "ModelPredictions",
    "Predicted",
    "SetTruth",
    "Stored",
    "TrueMask",
]


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
        segmentation: what is said of every class, as the model's answer does; None of label maps
            alone.
    """

    ids: NDArray[Any]
    segmentation: Probabilities | None


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
        classes, facts, probable: see `Predictions`.
    """

    model: Model
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
    """

    folder: Path
    files: tuple[Path, ...]
    classes: ClassTable
    probabilities: tuple[Path, ...] = ()
    held: Held = field(default_factory=Held)

    @property
    def probable(self) -> bool:
        """See `Predictions.probable`."""
        return bool(self.probabilities)

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """See `Predictions.facts`; reads every file once, for their hash."""
        digest = hashlib.sha256()
        for path in (*self.files, *self.probabilities):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        kinds = [("label maps", self.files), ("probabilities", self.probabilities)]
        what = " and ".join(kind for kind, files in kinds if files)
        return {
            "predictions": _with_note(f"{what} in {self.folder.absolute().name}", self.held),
            "predictions_hash": digest.hexdigest(),
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
