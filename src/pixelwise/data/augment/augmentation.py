"""An augmentation: drawn as plain numbers first, then carried out in one pass over the pixels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from pixelwise.class_entries import listed
from pixelwise.data.augment.colour import Photometric
from pixelwise.data.augment.damage import Blur, Cutout, Jpeg
from pixelwise.data.augment.geometry import (
    Area,
    Canvas,
    Fit,
    Flip,
    GeometryPiece,
    Perspective,
    QuarterTurns,
    RandomCrop,
    RandomScale,
    Rotate,
)
from pixelwise.data.augment.limits import within
from pixelwise.data.augment.plan import SAME_COLOURS, Augmented, Plan
from pixelwise.data.augment.render import Normal, render_image, render_target
from pixelwise.data.targets import MaskTarget
from pixelwise.errors import ArrayError, UsageError

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Augmentation", "Piece"]

Piece: TypeAlias = GeometryPiece | Photometric | Blur | Jpeg | Cutout

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_GEOMETRY = (Area, RandomScale, Fit, Flip, QuarterTurns, Rotate, Perspective, RandomCrop)
_OTHERS = (Photometric, Blur, Jpeg, Cutout)
_LONGEST_SIDE = 65_536

_Kind = TypeVar("_Kind", Photometric, Blur, Jpeg, Cutout)


@dataclass(frozen=True)
class Augmentation:
    """What happens to every sample on its way into a network.

    Geometry comes first, in the order given, then `Photometric`, `Blur`, `Jpeg` and `Cutout`,
    wherever they stand, and normalising last: (value / peak - mean) / std. What lies outside the
    picture is `fill` in the image and ignored in the target.

    Attributes:
        pieces: of `Photometric`, `Blur`, `Jpeg` and `Cutout` at most one each.
        size: `(H, W)` of the result; None: as large as each picture comes out of the geometry,
            which without any is the whole picture as it is. Where no `RandomCrop` cuts it out,
            it is cut out of the middle.
        mean, std: of each band, in shares of `peak`.
        peak: the value that counts as 1; 255 for photos.
        fill: a value for each band in the units of the picture; None for the mean.

    Raises:
        UsageError: lists everything that is outside its limits.
    """

    pieces: tuple[Piece, ...] = ()
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    peak: float = 255.0
    fill: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        faults = list(self._kind_faults())
        faults = faults or [*self._piece_faults(), *self._size_faults(), *self._band_faults()]
        if faults:
            raise UsageError(
                "the augmentation is outside its limits",
                where="Augmentation",
                got=listed(faults),
                fix="keep to the limits that the pieces state",
            )

    def draw(
        self,
        picture: tuple[int, int],
        generator: np.random.Generator,
        *,
        aim: tuple[int, int] | None = None,
    ) -> Plan:
        """One draw for a picture of a size.

        Args:
            picture: `(h, w)`.
            generator: the same state gives the same plan.
            aim: a pixel `(y, x)` of the picture that a `RandomCrop` is to hold.
        """
        centre = None if aim is None else (aim[1] + 0.5, aim[0] + 0.5)
        canvas = Canvas(float(picture[0]), float(picture[1]), size=self.size, aim=centre)
        for piece in self.pieces:
            if isinstance(piece, _GEOMETRY):
                canvas = piece.draw(canvas, generator)
        size = self.size or (max(1, round(canvas.height)), max(1, round(canvas.width)))
        if self.size is not None:
            top = math.trunc((canvas.height - size[0]) / 2)
            left = math.trunc((canvas.width - size[1]) / 2)
            canvas = canvas.window(top, left, size) if top or left else canvas
        photometric, blur = self._only(Photometric), self._only(Blur)
        jpeg, cutout = self._only(Jpeg), self._only(Cutout)
        colour, gamma = photometric.draw(generator) if photometric else (SAME_COLOURS, 1.0)
        return Plan(
            size=size,
            matrix=canvas.matrix,
            colour=colour,
            gamma=gamma,
            blur=blur.draw(generator) if blur else 0.0,
            jpeg=jpeg.draw(generator) if jpeg else 0,
            holes=cutout.draw(size, generator) if cutout else (),
        )

    def apply(
        self,
        plan: Plan,
        image: NDArray[Any],
        target: MaskTarget,
        *,
        ignore_index: int,
        out: Augmented | None = None,
    ) -> Augmented:
        """Carries out a plan.

        Args:
            plan: drawn for a picture of this size.
            image: uint8 `[h, w, 3]`; or a raster `[h, w, B]` of numbers, which `Photometric` and
                `Jpeg` cannot be applied to. It is worked on in float32.
            target: its truth.
            ignore_index: the id of what is outside the picture or hidden: the class table's, or
                where that has none, one that the caller ignores. Targets of several classes per
                pixel have a plane for it instead.
            out: arrays to write into, such as rows of a batch: float32 `[B, H, W]`, and a target
                of the same kind and types as `target`.

        Returns:
            The sample; `out` where it was given.

        Raises:
            ArrayError: arrays of other shapes or types, or of different sizes.
            UsageError: a plan with other colours for a picture without any.
        """
        if image.shape[:2] != target.size:
            raise ArrayError(
                "picture and target differ in size",
                got=f"picture {list(image.shape[:2])} · target {list(target.size)}",
                fix="give the target of this picture",
            )
        values = render_image(plan, image, self.normal, None if out is None else out.image)
        truth = render_target(plan, target, ignore_index, None if out is None else out.target)
        return out or Augmented(values, truth)

    @cached_property
    def normal(self) -> Normal:
        """The normalising, as kernels and GPUs take it."""
        mean, std = np.array(self.mean), np.array(self.std)
        return Normal(
            scale=(1 / (self.peak * std)).astype(np.float32),
            shift=(-mean / std).astype(np.float32),
            fill=np.array(mean * self.peak if self.fill is None else self.fill, np.float32),
        )

    def _only(self, kind: type[_Kind]) -> _Kind | None:
        return next((piece for piece in self.pieces if isinstance(piece, kind)), None)

    def _kind_faults(self) -> Iterator[str]:
        """Of what cannot be looked into."""
        if not isinstance(self.pieces, Sequence):
            got = repr(self.pieces)[:80]
            yield f"pieces={got}, expected a tuple of pieces: ({got},)"
        for name, vector in (("mean", self.mean), ("std", self.std), ("fill", self.fill)):
            if not isinstance(vector, Sequence) and not (name == "fill" and vector is None):
                yield f"{name}={vector!r}, expected a tuple of a number for each band"

    def _piece_faults(self) -> Iterator[str]:
        counts = Counter(type(piece) for piece in self.pieces)
        for kind in counts:
            if kind not in (*_GEOMETRY, *_OTHERS):
                yield f"{kind.__name__} is no piece of an augmentation"
            elif kind in _OTHERS and counts[kind] > 1:
                yield f"{kind.__name__} stands there {counts[kind]} times, expected once at most"
        for piece in self.pieces:
            if isinstance(piece, (*_GEOMETRY, *_OTHERS)):
                yield from (f"{type(piece).__name__}: {fault}" for fault in piece.faults())
            if isinstance(piece, (RandomCrop, Fit)) and self.size is None:
                yield f"{type(piece).__name__} needs the augmentation's size"

    def _size_faults(self) -> Iterator[str]:
        if self.size is None:
            return
        if not isinstance(self.size, tuple) or len(self.size) != 2:
            yield f"size={self.size!r}, expected (H, W)"
            return
        for name, side in zip(("H", "W"), self.size, strict=True):
            if not isinstance(side, int):
                yield f"{name}={side!r} of the size, expected a whole number"
            yield from within(f"{name} of the size", side, 1, _LONGEST_SIDE)

    def _band_faults(self) -> Iterator[str]:
        yield from within("peak", self.peak, 1e-6, 1e9)
        vectors = {"mean": self.mean, "std": self.std}
        if self.fill is not None:
            vectors["fill"] = self.fill
        if not self.mean or len({len(vector) for vector in vectors.values()}) > 1:
            yield f"{', '.join(vectors)}: one number for each band, the same number of them"
        for name, vector in vectors.items():
            for value in vector:
                yield from within(name, value, 1e-6 if name == "std" else -1e9, 1e9)
