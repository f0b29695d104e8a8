"""Where predictions of classes that lie over each other come from: models, masks, probabilities.

A prediction of one class a pixel will do as well: each pixel then has that class and no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.class_entries import key_of
from pixelwise.classes import ClassTable
from pixelwise.data.layouts.layers import read_presence
from pixelwise.data.layouts.names import MASK_ROLE, role_of
from pixelwise.data.layouts.tables import numbered_table
from pixelwise.data.listing import Listing
from pixelwise.errors import DatasetError, MaskFileError, UsageError
from pixelwise.evaluation.label_maps import paired
from pixelwise.evaluation.layers import LabelAnswer, LayerAnswer, SigmoidAnswer, StoredAnswer
from pixelwise.evaluation.sources import LabelMaps, ModelPredictions, TrueLayers, TrueMask, hash_of
from pixelwise.evaluation.stored_probabilities import stored_layers
from pixelwise.formats.spacing import Spacing, read_spacing
from pixelwise.inference.predictor import Model

__all__ = [
    "FileLayerTruth",
    "LabelLayers",
    "ModelLayers",
    "StoredLayers",
    "class_masks",
    "folders_as_classes",
]

_PLAIN = 0.5
_LEAST_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class ModelLayers:
    """What a model with a sigmoid for each class says of the pictures.

    Attributes:
        model: may be used from several threads.
        classes, facts, thresholds, probable, exclusive: see `LayerPredictions`.
    """

    model: Model
    probable: bool = True
    exclusive: bool = False

    @property
    def classes(self) -> ClassTable:
        """See `LayerPredictions`."""
        return self.model.classes

    @property
    def facts(self) -> dict[str, str]:
        """See `LayerPredictions`."""
        return dict(ModelPredictions(self.model).facts)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """See `LayerPredictions`: those of the card."""
        return self.model.card.postprocessing.thresholds or (_PLAIN,) * len(self.classes)

    def read(self, place: int, image: NDArray[Any] | None) -> LayerAnswer:
        """See `LayerPredictions.read`."""
        del place
        if image is None:
            raise DatasetError(
                "a model needs pictures, and there are masks alone",
                fix="give a data set of pictures and masks",
            )
        return SigmoidAnswer(self.model.predict_multi_label(image))


@dataclass(frozen=True, eq=False)
class LabelLayers:
    """Predictions of one class a pixel, as layers.

    Attributes:
        labels: a model, or label maps.
        thresholds, exclusive: see `LayerPredictions`.
    """

    labels: ModelPredictions | LabelMaps
    thresholds: None = None
    exclusive: bool = True

    @property
    def classes(self) -> ClassTable:
        """See `LayerPredictions`."""
        return self.labels.classes

    @property
    def facts(self) -> dict[str, str]:
        """See `LayerPredictions`."""
        facts = dict(self.labels.facts)
        return facts | {"predictions": f"{facts['predictions']}, one class a pixel"}

    @property
    def probable(self) -> bool:
        """See `LayerPredictions`."""
        return self.labels.probable

    def read(self, place: int, image: NDArray[Any] | None) -> LayerAnswer:
        """See `LayerPredictions.read`."""
        found = self.labels.read(place, image)
        return LabelAnswer(found.ids, self.classes, found.segmentation)


@dataclass(frozen=True, eq=False)
class StoredLayers:
    """Files of layers, of each picture in the order of the truth.

    Attributes:
        folder: for messages and the protocol.
        classes: what the layers are.
        masks: of each picture by the name of the class; none where there are probabilities alone.
        probabilities: a file of each; none where there are masks alone.
        thresholds, probable, exclusive: see `LayerPredictions`; from 0.5 on a pixel has a class
            where there are no masks.
    """

    folder: Path
    classes: ClassTable
    masks: tuple[Mapping[str, Path], ...] = ()
    probabilities: tuple[Path, ...] = ()
    exclusive: bool = field(default=False, init=False)

    @classmethod
    def of(
        cls,
        wanted: Sequence[str],
        *,
        folder: Path,
        classes: ClassTable,
        masks: Mapping[str, Mapping[str, Path]],
        probabilities: Mapping[str, Path],
        known: Iterable[str] = (),
    ) -> StoredLayers:
        """Those of these pictures; see `paired`.

        Args:
            wanted: names of the pictures.
            folder: see above.
            classes: see above.
            masks: by the name of the picture, then of the class.
            probabilities: by the name of the picture.
            known: names of pictures that are not judged now.

        Raises:
            DatasetError: lists pictures without a prediction and predictions without a picture.
        """
        found: list[tuple[str, ...]] = []
        for names in (masks, probabilities):
            files = {name: Path(name) for name in names}
            own = paired(wanted, files, known=known, where=str(folder)) if files else ()
            back = {path: name for name, path in files.items()}
            found.append(tuple(back[path] for path in own))
        return cls(
            folder=folder,
            classes=classes,
            masks=tuple(masks[name] for name in found[0]),
            probabilities=tuple(probabilities[name] for name in found[1]),
        )

    @property
    def probable(self) -> bool:
        """See `LayerPredictions`."""
        return bool(self.probabilities)

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """See `LayerPredictions`."""
        return None if self.masks else (_PLAIN,) * len(self.classes)

    @cached_property
    def facts(self) -> dict[str, str]:
        """See `LayerPredictions`; reads every file once, for their hash."""
        kinds = [("masks of classes", self.masks), ("probabilities", self.probabilities)]
        what = " and ".join(kind for kind, files in kinds if files)
        held = set[str]().union(*self.masks)
        missing = [name for name in self.classes.names if self.masks and name not in held]
        note = f" (no masks of {', '.join(missing)}: found nowhere)" if missing else ""
        files = [own[name] for own in self.masks for name in sorted(own)]
        return {
            "predictions": f"{what} in {self.folder.absolute().name}{note}",
            "predictions_hash": hash_of((*files, *self.probabilities)),
        }

    def read(self, place: int, image: NDArray[Any] | None) -> LayerAnswer:
        """See `LayerPredictions.read`.

        Raises:
            MaskFileError: a file cannot be read, holds more than yes and no or no probabilities, or
                files of one picture differ in size.
        """
        del image
        layers = None
        if self.probabilities:
            layers = stored_layers(self.probabilities[place], self.classes)
        if not self.masks and layers is not None:
            return StoredAnswer(layers >= np.float32(_PLAIN), layers)
        masks = _layers_in(self.masks[place], self.classes)
        if layers is not None and layers.shape != masks.shape:
            raise MaskFileError(
                "probabilities and masks differ in size",
                where=str(self.probabilities[place]),
                got=f"probabilities {layers.shape[2]}×{layers.shape[1]} · masks "
                f"{masks.shape[2]}×{masks.shape[1]} (width × height)",
                fix="store both at the size of the picture",
            )
        return StoredAnswer(masks, layers)


@dataclass(frozen=True, eq=False)
class FileLayerTruth:
    """The truth in a folder of masks for each class.

    Attributes:
        folder: for the protocol.
        masks: by the name of the picture, then of the class.
        classes: what the folders mean.
        names, known, facts: see `Truths`.
    """

    folder: Path
    masks: Mapping[str, Mapping[str, Path]]
    classes: ClassTable
    known: tuple[str, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """See `Truths`."""
        return tuple(sorted(self.masks))

    @property
    def facts(self) -> dict[str, str]:
        """See `Truths`."""
        return {
            "data": f"{self.folder.absolute().name} (masks of classes)",
            "split": "all masks of the folder",
        }

    def spacing(self, place: int) -> Spacing | None:
        """See `Truths.spacing`."""
        return read_spacing(next(iter(self.masks[self.names[place]].values())))

    def read(self, place: int) -> TrueMask:
        """See `Truths.read`.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(
            "classes that overlap cannot be judged by one label per pixel",
            where=self.names[place],
        )

    def read_layers(self, place: int) -> TrueLayers:
        """See `LayerTruths.read_layers`.

        Raises:
            MaskFileError: a mask cannot be read, holds more than yes and no, or is of another size.
        """
        layers = _layers_in(self.masks[self.names[place]], self.classes)
        return TrueLayers(layers, np.zeros(layers.shape[1:], np.bool_), None)


def _layers_in(files: Mapping[str, Path], classes: ClassTable) -> NDArray[np.bool_]:
    """bool `[C, H, W]` of one mask at least; a class without one is nowhere."""
    sizes: list[tuple[int, int]] = []
    found = []
    for name, path in files.items():
        layer = read_presence(path, sizes[0] if sizes else None)
        sizes.append((layer.shape[0], layer.shape[1]))
        found.append((classes.index(name), layer))
    layers = np.zeros((len(classes), *sizes[0]), np.bool_)
    for place, layer in found:
        layers[place] |= layer
    return layers


def folders_as_classes(*folders: Path) -> ClassTable:
    """A table of the names of the folders that hold masks, for folders that come without one.

    Raises:
        UsageError: masks lie in no folders.
    """
    names: set[str] = set()
    for folder in folders:
        inner = folder / "masks"
        listing = Listing.of(inner if inner.is_dir() else folder)
        names |= {PurePosixPath(path).parent.name for path in listing.pictures()}
    names.discard("")
    if not names:
        raise UsageError(
            "the folders hold no folder of masks for each class",
            where=" · ".join(map(str, folders)),
            fix="write masks/CLASS/PICTURE.png",
        )
    return numbered_table("masks", list(enumerate(sorted(names))), None, "names of folders")


def class_masks(folder: Path, classes: ClassTable) -> dict[str, dict[str, Path]] | None:
    """Masks by the name of the picture, then of the class: files in folders named as classes.

    `masks/bag/a.png`, `bag/a.png` and `val/masks/bag/a.png` are of the class bag, and of the
    pictures `a`, `a` and `val/a`. None where fewer than half of the pictures lie in such folders.
    """
    inner = folder / "masks"
    listing = Listing.of(inner if inner.is_dir() else folder)
    by_key = {key_of(name): info.name for info in classes for name in (info.name, *info.aliases)}
    found: dict[str, dict[str, Path]] = {}
    total = held = 0
    for path in listing.pictures():
        total += 1
        parts = PurePosixPath(path).with_suffix("").parts
        place = next((n for n, part in enumerate(parts[:-1]) if key_of(part) in by_key), None)
        if place is None:
            continue
        held += 1
        before = [part for part in parts[:place] if role_of(part) != MASK_ROLE]
        name = "/".join((*before, *parts[place + 1 :]))
        found.setdefault(name, {})[by_key[key_of(parts[place])]] = listing.root / path
    return found if held and held >= _LEAST_SHARE * total else None
