"""Probabilities in files, beside label maps or instead of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.classes import ClassTable
from pixelwise.data.layouts.tables import numbered_table
from pixelwise.errors import MaskFileError
from pixelwise.formats.probabilities import read_class_names, read_probabilities
from pixelwise.geometry import Window
from pixelwise.kernels.axis import Axis

__all__ = ["Probabilities", "StoredProbabilities", "read_stored", "stored_layers", "table_in"]


class Probabilities(Protocol):
    """What a prediction says of every class, as a `Segmentation` does."""

    @property
    def classes(self) -> ClassTable:
        """Channel i is the i-th."""
        ...

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the pixel's class, float32 `[H, W]`."""
        ...

    def probabilities(self, window: Window | None = None) -> NDArray[np.float32]:
        """float32 `[C, H, W]`, sum 1 at each pixel, of the whole picture or a window."""
        ...


@dataclass(frozen=True, eq=False)
class StoredProbabilities:
    """Those of one picture.

    Attributes:
        classes: channel i is the i-th.
        layers: float32 `[C, H, W]`, sum 1 at each pixel.
        ids: uint8 or uint16 `[H, W]`, the label of each pixel.
    """

    classes: ClassTable
    layers: NDArray[np.float32]
    ids: NDArray[Any]

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """See `Probabilities`; 0 where the label is no class."""
        own = np.array(self.classes.ids)
        channels = np.minimum(np.searchsorted(own, self.ids), len(own) - 1)
        found = np.take_along_axis(self.layers, channels[None], 0)[0]
        return np.where(own[channels] == self.ids, found, np.float32(0))

    def probabilities(self, window: Window | None = None) -> NDArray[np.float32]:
        """See `Probabilities`."""
        if window is None:
            return self.layers
        return self.layers[:, window.top : window.bottom, window.left : window.right]


def read_stored(
    path: Path, classes: ClassTable, ids: NDArray[Any] | None = None
) -> StoredProbabilities:
    """The probabilities of a picture, with the labels that go with them.

    Args:
        path: as of `read_probabilities`.
        classes: of the channels, in this order where the file does not name them.
        ids: the label map; None: the likeliest class, of equal ones that of the lowest id.

    Raises:
        MaskFileError: the file cannot be read, is of other classes, or differs in size from the
            label map.
    """
    layers = _ordered(path, classes, exclusive=True)
    if ids is None:
        kind = np.uint8 if classes.ids[-1] < 256 else np.uint16
        ids = np.array(classes.ids, kind)[_best(layers)]
    if ids.shape != layers.shape[1:]:
        raise MaskFileError(
            "probabilities and label map differ in size",
            where=str(path),
            got=f"probabilities {layers.shape[2]}×{layers.shape[1]} · label map "
            f"{ids.shape[1]}×{ids.shape[0]} (width × height)",
            fix="store both at the size of the picture",
        )
    return StoredProbabilities(classes, layers, ids)


def stored_layers(path: Path, classes: ClassTable) -> NDArray[np.float32]:
    """The probabilities of a picture whose classes lie over each other, float32 `[C, H, W]`.

    Args:
        path: as of `read_probabilities`.
        classes: of the channels, in this order where the file does not name them.

    Raises:
        MaskFileError: the file cannot be read, or is of other classes.
    """
    return _ordered(path, classes, exclusive=False)


def _ordered(path: Path, classes: ClassTable, *, exclusive: bool) -> NDArray[np.float32]:
    """Channels in the order of the table."""
    named = read_class_names(path)
    wanted = list(zip(classes.ids, classes.names, strict=True))
    if named is not None and sorted(named) != wanted:
        raise MaskFileError(
            "the probabilities are of other classes",
            where=str(path),
            got=f"{_listed(named)} · expected {_listed(wanted)}",
            fix="predict all pictures with one model; a classes.csv beside them has its classes",
        )
    layers = read_probabilities(path, len(classes), exclusive=exclusive)
    if named is not None and list(named) != wanted:
        layers = layers[[named.index(each) for each in wanted]]
    return layers


def table_in(paths: Iterable[Path]) -> ClassTable | None:
    """The classes that the first readable file names; None where it names none."""
    for path in paths:
        try:
            named = read_class_names(path)
        except MaskFileError:
            continue
        if named is None:
            return None
        return numbered_table("probabilities", named, None, f"names in {path.name}")
    return None


def _best(layers: NDArray[np.float32]) -> NDArray[np.integer[Any]]:
    """The likeliest channel of each pixel, of equal ones the lowest."""
    # As scores of the picture's own size: several times as fast as argmax over the first axis.
    rows, columns = (Axis(size, 1.0, 0.0) for size in layers.shape[1:])
    return kernels.decode_labels(layers, rows, columns, threads=1)


def _listed(named: Iterable[tuple[int, str]]) -> str:
    return ", ".join(f"{number} {name}" for number, name in named)
