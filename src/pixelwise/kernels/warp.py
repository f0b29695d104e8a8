"""A picture, its mask and its colours through one matrix each, in one pass.

A matrix takes the homogeneous centre (X + 1/2, Y + 1/2, 1) of output pixel X, Y to (u, v, w), which
is the point (u / w, v / w) of the input, whose pixel x, y covers x <= u / w < x + 1 and
y <= v / w < y + 1: the identity is the picture itself. A point outside the picture, or behind the
horizon of a perspective (w <= 0), is outside. Images, masks and rasters follow the same rule, so
that they stay aligned.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import reference_warp
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.checks import bytes_array, check_array, float_vector, whole_number
from pixelwise.kernels.types import Bytes, Floats

if COMPILED or TYPE_CHECKING:
    from pixelwise.kernels import _native

__all__ = ["blur", "warp_bytes", "warp_ids", "warp_image", "warp_raster"]

_Ids = TypeVar("_Ids", npt.NDArray[np.uint8], npt.NDArray[np.uint16], npt.NDArray[np.int32])
_Size = tuple[int, int]

_LONGEST_SIDE = 2**24 - 1
_MOST_REDUCED = 4096
_LARGEST = 1e9
_MOST_GAMMA = 8.0
_SAME_COLOURS = np.eye(3, 4, dtype=np.float32)
_MOST_BENT = 2**31 - 1
"""Values of a picture that is turned or bent: their places are worked out in 32 bits."""


def warp_image(
    image: Bytes,
    matrix: npt.ArrayLike,
    size: _Size,
    *,
    scale: npt.ArrayLike,
    shift: npt.ArrayLike,
    colour: npt.ArrayLike | None = None,
    gamma: float = 1.0,
    fill: npt.ArrayLike = (127, 127, 127),
    out: Floats | None = None,
) -> Floats:
    """The warped picture with other colours, as input of a network.

    Bilinear: the four pixels around a point, clamped at the edges of the picture, weighed in
    float32. Where the matrix shrinks a side by a factor s of 2 or more (at the centre of the
    output), the picture is first reduced to the means of blocks of floor(s) pixels, rounded to
    whole numbers. Then per pixel, with c the colours red, green and blue in 0..255:

        c = colour[:, :3] @ c + colour[:, 3], clamped to 0..255
        c = 255 * (c / 255) ** gamma
        out = c * scale + shift

    The answer is the same bits on every processor and in the NumPy twin.

    Args:
        image: uint8 [h, w, 3].
        matrix: [3, 3], see the module.
        size: height and width of the output in pixels.
        scale: [3], e.g. 1 / (255 * deviation).
        shift: [3], e.g. -mean / deviation.
        colour: [3, 4]; None leaves the colours as they are.
        gamma: 0.125 to 8; above 1 darkens.
        fill: colour of what lies outside the picture, before the colours change. It does not mix
            with the pixels at the edge.
        out: float32 [3, height, width] in C order to write into.

    Returns:
        float32 [3, height, width]; `out` where it was given.

    Raises:
        ArrayError: an array is not such an array.
        UsageError: size or gamma is outside its range, or the matrix is none.
    """
    image = bytes_array("image", image, "[h, w, 3]", (None, None, 3))
    matrix = _matrix(matrix)
    height, width = _size(size)
    colours = _colours(colour, gamma, fill, scale, shift)
    reduce = _reduction(matrix, (height, width), image)
    out = _output(out, (3, height, width), np.dtype(np.float32))
    if COMPILED:
        _native.warp_image(image, matrix, colours, *reduce, out)
    else:
        reference_warp.warp_image(image, matrix, colours, reduce, out)
    return out


def warp_bytes(
    image: Bytes,
    matrix: npt.ArrayLike,
    size: _Size,
    *,
    colour: npt.ArrayLike | None = None,
    gamma: float = 1.0,
    fill: npt.ArrayLike = (127, 127, 127),
    out: Bytes | None = None,
) -> Bytes:
    """The warped picture with other colours as bytes; otherwise as `warp_image`.

    Returns:
        uint8 [height, width, 3], halves rounded up; `out` where it was given.

    Raises:
        ArrayError: an array is not such an array.
        UsageError: size or gamma is outside its range, or the matrix is none.
    """
    image = bytes_array("image", image, "[h, w, 3]", (None, None, 3))
    matrix = _matrix(matrix)
    height, width = _size(size)
    colours = _colours(colour, gamma, fill, (1, 1, 1), (0, 0, 0))
    reduce = _reduction(matrix, (height, width), image)
    out = _output(out, (height, width, 3), np.dtype(np.uint8))
    if COMPILED:
        _native.warp_bytes(image, matrix, colours, *reduce, out)
    else:
        reference_warp.warp_bytes(image, matrix, colours, reduce, out)
    return out


def warp_ids(
    ids: _Ids, matrix: npt.ArrayLike, size: _Size, *, fill: int, out: _Ids | None = None
) -> _Ids:
    """The warped mask: the id of the pixel that each point falls into, and no other.

    A point on the border of two pixels belongs to the right and the lower one.

    Args:
        ids: uint8, uint16 or int32 [h, w].
        matrix: [3, 3], see the module.
        size: height and width of the output in pixels.
        fill: the id of what lies outside.
        out: [height, width] of the same type, in C order, to write into.

    Returns:
        [height, width] of the same type; `out` where it was given.

    Raises:
        ArrayError: an array is not such an array.
        UsageError: size is outside its range, the matrix is none, or the fill is no such id.
    """
    check_array("ids", ids, ("uint8", "uint16", "int32"), 2, "[h, w]")
    ids = np.ascontiguousarray(ids)
    matrix = _matrix(matrix)
    size = _size(size)
    limits = np.iinfo(ids.dtype)
    fill = whole_number("fill", fill, least=int(limits.min), most=int(limits.max))
    if not _is_straight(matrix):
        _check_places("ids", ids)
    out = _output(out, size, ids.dtype)
    if COMPILED:
        _native.warp_ids(ids, matrix, fill, out)
    else:
        reference_warp.warp_ids(ids, matrix, fill, out)
    return out


def warp_raster(
    raster: npt.NDArray[Any],
    matrix: npt.ArrayLike,
    size: _Size,
    *,
    scale: npt.ArrayLike,
    shift: npt.ArrayLike,
    fill: npt.ArrayLike,
    out: Floats | None = None,
) -> Floats:
    """The warped raster, band by band, scaled and shifted; sampled as in `warp_image`.

    Means of blocks are not rounded to whole numbers here. NaN spreads to the outputs that it has
    a part in.

    Args:
        raster: uint8, uint16 or float32 [h, w, B].
        matrix: [3, 3], see the module.
        size: height and width of the output in pixels.
        scale: [B].
        shift: [B].
        fill: [B], values of what lies outside, before scale and shift.
        out: float32 [B, height, width] in C order to write into.

    Returns:
        float32 [B, height, width]; `out` where it was given.

    Raises:
        ArrayError: an array is not such an array.
        UsageError: size is outside its range, or the matrix is none.
    """
    check_array("raster", raster, ("uint8", "uint16", "float32"), 3, "[h, w, B]")
    matrix = _matrix(matrix)
    height, width = _size(size)
    bands = raster.shape[2]
    vectors = (
        float_vector("fill", fill, bands),
        float_vector("scale", scale, bands),
        float_vector("shift", shift, bands),
    )
    reduce = _reduction(matrix, (height, width), raster)
    out = _output(out, (bands, height, width), np.dtype(np.float32))
    rows, columns = raster.shape[:2]
    reduced = raster if reduce == (1, 1) else reference_warp.block_means(raster, reduce)
    reduced = np.ascontiguousarray(reduced)
    if COMPILED:
        _native.warp_raster(reduced, rows, columns, matrix, *vectors, *reduce, out)
    else:
        reference_warp.warp_raster(reduced, (rows, columns), matrix, vectors, reduce, out)
    return out


def blur(planes: Floats, deviation: float, *, out: Floats | None = None) -> Floats:
    """Planes blurred by a Gaussian, cut off at three deviations; the edges repeat outwards.

    Args:
        planes: float32 [B, H, W].
        deviation: of the Gaussian in pixels, above 0, at most 100.
        out: float32 [B, H, W] in C order to write into, another array than `planes`.

    Returns:
        float32 [B, H, W]; `out` where it was given.

    Raises:
        ArrayError: an array is not such an array.
        UsageError: the deviation is outside its range.
    """
    check_array("planes", planes, ("float32",), 3, "[B, H, W]")
    planes = np.ascontiguousarray(planes)
    if not isinstance(deviation, (int, float, np.floating)) or not 0 < deviation <= 100:
        raise UsageError(
            "a Gaussian has a deviation in pixels",
            where="argument deviation",
            got=f"{deviation!r}, expected above 0 and at most 100",
            fix="deviation=1 softens a photo visibly",
        )
    steps = range(math.ceil(3 * deviation) + 1)
    halves = np.array([math.exp(-0.5 * (step / deviation) ** 2) for step in steps])
    weights = (halves / (2 * halves.sum() - 1)).astype(np.float32)
    out = _output(out, planes.shape, np.dtype(np.float32))
    if np.shares_memory(planes, out):
        raise ArrayError(
            "the array to write into overlaps the planes", where="argument out", fix="leave it out"
        )
    if COMPILED:
        _native.blur(planes, weights, out)
    else:
        reference_warp.blur(planes, weights, out)
    return out


def _matrix(matrix: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The matrix, its lower right entry 1 where it neither turns nor bends."""
    try:
        checked = np.ascontiguousarray(matrix, np.float64)
    except (TypeError, ValueError):
        checked = np.empty(0)
    if checked.shape == (3, 3) and _is_straight(checked) and checked[2, 2] > 0:
        checked = checked / checked[2, 2]
    bent = checked.shape == (3, 3) and checked[2, :2].any()
    if (
        checked.shape != (3, 3)
        or not np.abs(checked).max() <= _LARGEST
        or not (bent or checked[2, 2] > 0)
    ):
        raise UsageError(
            "the matrix must take output pixels to input coordinates",
            where="argument matrix [3, 3]",
            got=f"{matrix!r}, expected finite numbers up to {_LARGEST:g}, the last above 0",
            fix="numpy.eye(3) is the picture as it is",
        )
    return checked


def _is_straight(matrix: npt.NDArray[np.float64]) -> bool:
    turned = matrix[0, 1] or matrix[1, 0]
    return not (turned or matrix[2, 0] or matrix[2, 1])


def _size(size: _Size) -> _Size:
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise UsageError(
            "size is a height and a width",
            where="argument size",
            got=repr(size),
            fix="size=(height, width)",
        )
    height = whole_number("size[0]", size[0], least=1, most=_LONGEST_SIDE)
    return height, whole_number("size[1]", size[1], least=1, most=_LONGEST_SIDE)


def _colours(
    colour: npt.ArrayLike | None,
    gamma: float,
    fill: npt.ArrayLike,
    scale: npt.ArrayLike,
    shift: npt.ArrayLike,
) -> Floats:
    """float32 [22]: fill, colour matrix, gamma, scale, shift."""
    values = np.empty(22, np.float32)
    values[:3] = float_vector("fill", fill, 3)
    values[3:15] = _colour_matrix(colour).ravel()
    if not isinstance(gamma, (int, float, np.floating)) or not 1 / _MOST_GAMMA <= gamma <= 8:
        raise UsageError(
            "gamma is the exponent of the tone curve",
            where="argument gamma",
            got=f"{gamma!r}, expected {1 / _MOST_GAMMA} to {_MOST_GAMMA:g}",
            fix="gamma=1 leaves the tones as they are",
        )
    values[15] = gamma
    values[16:19] = float_vector("scale", scale, 3)
    values[19:] = float_vector("shift", shift, 3)
    return values


def _colour_matrix(colour: npt.ArrayLike | None) -> Floats:
    if colour is None:
        return _SAME_COLOURS
    try:
        matrix = np.asarray(colour, np.float32)
    except (TypeError, ValueError):
        matrix = np.empty(0, np.float32)
    if matrix.shape != (3, 4) or not np.abs(matrix).max() <= _LARGEST:
        raise ArrayError(
            "colour must be a matrix of finite numbers",
            where="argument colour [3, 4]",
            got=repr(colour),
            fix="three columns for red, green and blue, and one that is added, in 0..255",
        )
    return matrix


def _reduction(
    matrix: npt.NDArray[np.float64], size: _Size, image: npt.NDArray[Any]
) -> tuple[int, int]:
    """Rows and columns of the blocks that the picture is reduced by."""
    if not _is_straight(matrix):
        _check_places("image", image)
    x, y = size[1] / 2, size[0] / 2
    rows = matrix.tolist()
    u, v, w = (row[0] * x + (row[1] * y + row[2]) for row in rows)
    if w <= 0:  # nothing of the picture is seen at the centre
        return 1, 1
    horizon = rows[2]
    factors = []
    for (across, down, _), place in ((rows[1], v / w), (rows[0], u / w)):
        steps = (across - place * horizon[0]) / w, (down - place * horizon[1]) / w
        factors.append(math.hypot(*steps))
    if max(factors) >= _MOST_REDUCED + 1:
        beside = not (0 <= v / w <= image.shape[0] and 0 <= u / w <= image.shape[1])
        if beside and not _is_straight(matrix):
            return 1, 1  # as above: the centre is near the horizon, the picture elsewhere
        raise UsageError(
            "the matrix shrinks the picture too much",
            where="argument matrix",
            got=f"{max(factors):.0f} input pixels per output pixel, expected at most 4096",
            fix="choose a larger output",
        )
    return max(1, int(factors[0])), max(1, int(factors[1]))


def _check_places(name: str, array: npt.NDArray[Any]) -> None:
    if array.size > _MOST_BENT:
        raise ArrayError(
            "too many pixels to turn or bend at once",
            where=f"argument {name}",
            got=f"{array.size} values, expected at most {_MOST_BENT}",
            fix="cut out the part that is needed first",
        )


def _output(
    out: npt.NDArray[Any] | None, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype:
        found = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ArrayError(
            "the array to write into does not fit",
            where="argument out",
            got=f"{found}, expected {dtype} {shape}",
            fix="leave it out, or give numpy.empty of that shape and type",
        )
    if not (out.flags.c_contiguous and out.flags.writeable):
        raise ArrayError(
            "the array to write into must be in C order and writeable",
            where="argument out",
            got=f"strides {out.strides}, writeable {out.flags.writeable}",
            fix="give a whole row of a batch, such as batch[n]",
        )
    return out
