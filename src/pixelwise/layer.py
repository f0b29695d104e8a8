"""One class of a segmentation, by itself."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.formats.files import named, write_atomic
from pixelwise.formats.png import encode_grey, encode_rgb
from pixelwise.geometry import Geometry

__all__ = ["Layer", "LayerSource", "layer_file_names"]


class LayerSource(Protocol):
    """What a layer asks of its `Segmentation`."""

    classes: ClassTable
    geometry: Geometry
    threads: int

    @property
    def labels(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """`[H, W]`."""
        ...

    @property
    def shares(self) -> dict[str, float]:
        """By the names of the classes."""
        ...

    @property
    def calibrated_scores(self) -> NDArray[np.float32]:
        """`[C, h, w]`."""
        ...

    def provenance_text(self, facts: dict[str, str]) -> dict[str, str]:
        """Keyword and text of a PNG."""
        ...


class Layer:
    """One class of a `Segmentation`, by itself."""

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
        """bool `[H, W]`: where this class is the best one."""
        return _read_only(self._segmentation.labels == self.info.id)

    @cached_property
    def probability(self) -> NDArray[np.float32]:
        """float32 `[H, W]`, 0..1; calibrated where the model is."""
        source = self._segmentation
        return _read_only(
            kernels.decode_probability(
                source.calibrated_scores,
                self._index,
                source.geometry.rows,
                source.geometry.columns,
                threads=source.threads,
            )
        )

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


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
