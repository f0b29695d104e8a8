"""One class of a segmentation, by itself."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.formats.files import named, write_atomic
from pixelwise.formats.png import encode_grey, encode_rgb

__all__ = ["Layer", "LayerSource", "layer_file_names", "mask_paths"]

_UNFIT = set('/\\:*?"<>|')


class LayerSource(Protocol):
    """What a layer asks of the result that it belongs to."""

    classes: ClassTable

    @property
    def shares(self) -> dict[str, float]:
        """By the names of the classes."""
        ...

    def mask_of(self, index: int) -> NDArray[np.bool_]:
        """Where the picture has a class, bool `[H, W]`."""
        ...

    def probability_of(self, index: int) -> NDArray[np.float32]:
        """Of a class, float32 `[H, W]`."""
        ...

    def provenance_text(self, facts: dict[str, str]) -> dict[str, str]:
        """Keyword and text of a PNG."""
        ...


class Layer:
    """One class of a result, by itself."""

    def __init__(self, segmentation: LayerSource, index: int) -> None:
        self._segmentation = segmentation
        self._index = index
        self.info = segmentation.classes.classes[index]

    def __repr__(self) -> str:
        return f"Layer({self.info.name!r}, {100 * self.share:.1f} %)"

    @property
    def share(self) -> float:
        """Part of the picture that this class fills, 0..1."""
        return self._segmentation.shares[self.info.name]

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """bool `[H, W]`: where this class is the label or, in a multi-label result, among them."""
        return _read_only(self._segmentation.mask_of(self._index))

    @cached_property
    def probability(self) -> NDArray[np.float32]:
        """float32 `[H, W]`, 0..1; calibrated where the model is."""
        return _read_only(self._segmentation.probability_of(self._index))

    def save_mask(self, path: str | Path) -> None:
        """Writes the mask as a grey PNG of 0 and 255.

        Raises:
            OutputError: the file cannot be written.
        """
        write_atomic(named(path, ".png"), self.encode_mask())

    def save_heat_map(self, path: str | Path) -> None:
        """Writes the probability as a colour PNG: black 0, red 0.5, pale yellow 1.

        Raises:
            OutputError: the file cannot be written.
        """
        write_atomic(named(path, ".png"), self.encode_heat_map())

    def encode_mask(self, **facts: str) -> bytes:
        """The PNG that `save_mask` writes; `facts` are added to its provenance."""
        mask = self.mask.astype(np.uint8) * np.uint8(255)
        return encode_grey(mask, text=self._segmentation.provenance_text(facts))

    def encode_heat_map(self, **facts: str) -> bytes:
        """The PNG that `save_heat_map` writes; `facts` are added to its provenance."""
        from pixelwise.overlay import heat_map

        colours = heat_map(self.probability)
        return encode_rgb(colours, text=self._segmentation.provenance_text(facts))


def layer_file_names(info: ClassInfo) -> tuple[str, str]:
    """Names of a class's mask and heat map: its id and name, with nothing a path stumbles over."""
    name = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in info.name)
    return f"{info.id:03d}_{name}.mask.png", f"{info.id:03d}_{name}.heat.png"


def mask_paths(classes: ClassTable, name: str | Path) -> tuple[Path, ...]:
    """`masks/CLASS/NAME.png` for each class of a table: where masks of a picture lie.

    What a path stumbles over in the name of a class becomes `_`; its id is added where two would
    have one folder, on disks that take upper and lower case for one too.
    """
    folders = [_folder_name(info.name) for info in classes]
    lower = Counter(folder.casefold() for folder in folders)
    file = Path(f"{name}.png")
    return tuple(
        Path("masks") / (folder if lower[folder.casefold()] == 1 else f"{folder}_{info.id}") / file
        for folder, info in zip(folders, classes, strict=True)
    )


def _folder_name(name: str) -> str:
    kept = "".join(
        "_" if letter in _UNFIT or not letter.isprintable() else letter for letter in name
    )
    # Hidden, or the folder itself; and on Windows a dot or a space at the end is lost.
    inner = kept.strip(". ")
    return kept if inner == kept else f"_{inner}"


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
