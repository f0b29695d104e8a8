"""The truth of a picture: one class per pixel, several, or one and the object it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.errors import ArrayError

__all__ = [
    "InstanceTarget",
    "MaskTarget",
    "MultiClassTarget",
    "MultiLabelTarget",
    "TargetKind",
    "layers_of",
]

TargetKind: TypeAlias = Literal["multi_class", "multi_label", "instance"]


@dataclass(frozen=True, eq=False)
class MultiClassTarget:
    """One class per pixel.

    Attributes:
        mask: uint8 or uint16 `[H, W]`: ids of the class table, or its ignored id.
    """

    mask: NDArray[Any]

    def __post_init__(self) -> None:
        _check_ids("mask", self.mask)

    @property
    def size(self) -> tuple[int, int]:
        """`(H, W)`."""
        height, width = self.mask.shape
        return height, width


@dataclass(frozen=True, eq=False)
class InstanceTarget:
    """One class per pixel, and the object that the pixel belongs to.

    Attributes:
        mask: uint8 or uint16 `[H, W]`: ids of the class table, or its ignored id.
        instances: int32 `[H, W]`: 1 and up within this picture; 0 where there is no object of its
            own: background, stuff, crowds.
    """

    mask: NDArray[Any]
    instances: NDArray[np.int32]

    def __post_init__(self) -> None:
        _check_ids("mask", self.mask)
        if self.instances.dtype != np.int32 or self.instances.shape != self.mask.shape:
            raise ArrayError(
                "instances are int32, of the mask's size",
                where="argument instances",
                got=f"{self.instances.dtype} {list(self.instances.shape)}, "
                f"mask {list(self.mask.shape)}",
            )

    @property
    def size(self) -> tuple[int, int]:
        """`(H, W)`."""
        height, width = self.mask.shape
        return height, width


@dataclass(frozen=True, eq=False)
class MultiLabelTarget:
    """Any number of classes per pixel.

    Attributes:
        layers: bool `[C, H, W]`, in the order of the class table.
        ignore: bool `[H, W]`: pixels that are not counted in any layer.
    """

    layers: NDArray[np.bool_]
    ignore: NDArray[np.bool_]

    def __post_init__(self) -> None:
        kinds_fit = self.layers.dtype == np.bool_ and self.ignore.dtype == np.bool_
        if not kinds_fit or self.layers.ndim != 3 or self.layers.shape[1:] != self.ignore.shape:
            raise ArrayError(
                "layers are bool [C, H, W] and ignore is bool [H, W]",
                where="arguments layers and ignore",
                got=f"{self.layers.dtype} {list(self.layers.shape)}, "
                f"{self.ignore.dtype} {list(self.ignore.shape)}",
            )

    @property
    def size(self) -> tuple[int, int]:
        """`(H, W)`."""
        height, width = self.ignore.shape
        return height, width


MaskTarget: TypeAlias = MultiClassTarget | InstanceTarget | MultiLabelTarget


def layers_of(mask: NDArray[Any], classes: ClassTable) -> MultiLabelTarget:
    """The layers of a mask of ids: one class at most in each pixel."""
    layers = np.stack([mask == number for number in classes.ids])
    return MultiLabelTarget(layers=layers, ignore=mask == classes.ignore_index)


def _check_ids(name: str, mask: NDArray[Any]) -> None:
    if mask.dtype not in (np.uint8, np.uint16) or mask.ndim != 2:
        raise ArrayError(
            f"{name} is uint8 or uint16 [H, W]",
            where=f"argument {name}",
            got=f"{mask.dtype} {list(mask.shape)}",
        )
