"""The NumPy twins of the warp kernels: the same answers, bit for bit.

They are the definition that the tests hold the compiled kernels to, and they take over where no
compiler was there at install. Arguments are checked before, in `pixelwise.kernels.warp`; all
write into `out`. Bands of rows keep what is in between small.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.kernels.types import Bytes, Floats

__all__ = ["block_means", "blur", "warp_bytes", "warp_ids", "warp_image", "warp_raster"]

_Matrix = npt.NDArray[np.float64]

_BAND_PIXELS = 1 << 16
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_BYTE = np.float32(255)

# 2 / (n ln 2) for n = 7, 5, 3, 1: the logarithm to the base 2 of (1 + s) / (1 - s).
_LOGARITHM = (0.412198583, 0.577078016, 0.961796694, 2.88539008)
# (ln 2)^n / n! for n = 6 .. 0: the Taylor series of 2^r.
_POWER = (1.54035304e-4, 1.33335581e-3, 9.61812911e-3, 0.0555041087, 0.240226507, 0.693147181, 1.0)


def warp_image(
    image: Bytes, matrix: _Matrix, colours: Floats, reduce: tuple[int, int], out: Floats
) -> None:
    """See `pixelwise.kernels.warp_image`."""
    scale, shift = colours[16:19], colours[19:]
    for band, values in _coloured(image, matrix, colours, reduce, out.shape[1:]):
        out[:, band] = np.moveaxis(values * scale + shift, -1, 0)


def warp_bytes(
    image: Bytes, matrix: _Matrix, colours: Floats, reduce: tuple[int, int], out: Bytes
) -> None:
    """See `pixelwise.kernels.warp_bytes`."""
    for band, values in _coloured(image, matrix, colours, reduce, out.shape[:2]):
        out[band] = values + _HALF


def warp_ids(ids: npt.NDArray[Any], matrix: _Matrix, fill: int, out: npt.NDArray[Any]) -> None:
    """See `pixelwise.kernels.warp_ids`."""
    for band, u, v, inside in _projected(matrix, ids.shape, out.shape):
        columns = np.where(inside, u, 0).astype(np.intp)
        rows = np.where(inside, v, 0).astype(np.intp)
        out[band] = np.where(inside, ids[rows, columns], ids.dtype.type(fill))


def warp_raster(
    reduced: npt.NDArray[Any],
    size: tuple[int, int],
    matrix: _Matrix,
    vectors: tuple[Floats, Floats, Floats],
    reduce: tuple[int, int],
    out: Floats,
) -> None:
    """See `pixelwise.kernels.warp_raster`; `reduced` is that of a raster of `size`."""
    fill, scale, shift = vectors
    for band, values in _sampled(size, reduced, matrix, fill, reduce, out.shape[1:]):
        out[:, band] = np.moveaxis(values * scale + shift, -1, 0)


def blur(planes: Floats, weights: Floats, out: Floats) -> None:
    """See `pixelwise.kernels.blur`."""
    across = _smoothed(planes, weights, axis=1)
    out[:] = _smoothed(across, weights, axis=2)


def _smoothed(planes: Floats, weights: Floats, axis: int) -> Floats:
    places = np.arange(planes.shape[axis])
    total: Floats = planes * weights[0]
    for k, weight in enumerate(weights[1:], start=1):
        before = planes.take(np.maximum(places - k, 0), axis)
        total += (before + planes.take(np.minimum(places + k, places[-1]), axis)) * weight
    return total


def _projected(
    matrix: _Matrix, size: tuple[int, ...], out_size: tuple[int, ...]
) -> Iterator[tuple[slice, _Matrix, _Matrix, npt.NDArray[np.bool_]]]:
    """Bands of output rows: input coordinates, and where they lie inside."""
    columns = np.arange(out_size[1]) + 0.5
    step = max(1, _BAND_PIXELS // out_size[1])
    for first in range(0, out_size[0], step):
        band = slice(first, min(first + step, out_size[0]))
        rows = (np.arange(band.start, band.stop) + 0.5)[:, None]
        u, v, w = (
            across * columns + (down * rows + start) for across, down, start in matrix.tolist()
        )
        with np.errstate(all="ignore"):  # at the horizon
            u, v = u / w, v / w
        inside = (w > 0) & (u >= 0) & (u < size[1]) & (v >= 0) & (v < size[0])
        yield band, u, v, inside


def _sampled(
    size: tuple[int, ...],
    picture: npt.NDArray[Any],
    matrix: _Matrix,
    fill: Floats,
    reduce: tuple[int, int],
    out_size: tuple[int, ...],
) -> Iterator[tuple[slice, Floats]]:
    """Bands of output rows of the reduced picture, float32 [rows, columns, B]."""
    last_row, last_column = picture.shape[0] - 1, picture.shape[1] - 1
    for band, u, v, inside in _projected(matrix, size, out_size):
        column, across = _tap(u, inside, reduce[1], last_column)
        row, down = _tap(v, inside, reduce[0], last_row)
        below, right = np.minimum(row + 1, last_row), np.minimum(column + 1, last_column)
        left = _mixed(picture[row, column], picture[below, column], down)
        values = _mixed(left, _mixed(picture[row, right], picture[below, right], down), across)
        yield band, np.where(inside[..., None], values, fill)


def _tap(
    position: _Matrix, inside: npt.NDArray[np.bool_], reduce: int, last: int
) -> tuple[npt.NDArray[np.intp], Floats]:
    """The pixel at or before each position, and the weight of the next one."""
    place = np.clip(np.where(inside, position, 0) / reduce - 0.5, 0, last)
    low = place.astype(np.intp)
    return low, (place - low).astype(np.float32)[..., None]


def _mixed(low: npt.NDArray[Any], high: npt.NDArray[Any], weight: Floats) -> Floats:
    mixture: Floats = low.astype(np.float32) * (_ONE - weight) + high.astype(np.float32) * weight
    return mixture


def block_means(picture: npt.NDArray[Any], reduce: tuple[int, int]) -> Floats:
    """Means over blocks of rows × columns pixels; those at the right and below may be cut off."""
    rows = np.arange(0, picture.shape[0], reduce[0])
    columns = np.arange(0, picture.shape[1], reduce[1])
    kind = np.float64 if picture.dtype == np.float32 else np.int64
    sums = np.add.reduceat(np.add.reduceat(picture.astype(kind), rows, axis=0), columns, axis=1)
    heights = np.minimum(reduce[0], picture.shape[0] - rows)
    widths = np.minimum(reduce[1], picture.shape[1] - columns)
    counts = (heights[:, None] * widths).astype(np.float32)
    means: Floats = sums.astype(np.float32) * (_ONE / counts)[..., None]
    return means


def _coloured(
    image: Bytes,
    matrix: _Matrix,
    colours: Floats,
    reduce: tuple[int, int],
    out_size: tuple[int, ...],
) -> Iterator[tuple[slice, Floats]]:
    """Bands of output rows with their colours changed, float32 [rows, columns, 3], 0..255."""
    mixing = colours[3:15].reshape(3, 4)
    gamma = colours[15]
    reduced = image if reduce == (1, 1) else (block_means(image, reduce) + _HALF).astype(np.uint8)
    for band, values in _sampled(image.shape, reduced, matrix, colours[:3], reduce, out_size):
        red, green, blue = np.moveaxis(values, -1, 0)
        mixed = np.stack(
            [red * a + green * b + blue * c + offset for a, b, c, offset in mixing], axis=-1
        )
        clamped = np.clip(mixed, np.float32(0), _BYTE)
        yield band, clamped if gamma == 1 else _toned(clamped, gamma)


def _toned(values: Floats, gamma: np.float32) -> Floats:
    """255 (x / 255)^gamma in the very steps of the compiled kernel."""
    share = values * (_ONE / _BYTE)
    bits = share.view(np.int32)
    exponent = (bits - np.int32(0x3F2AAAAB)) >> 23
    mantissa = (bits - (exponent << 23)).view(np.float32)
    s: Floats = (mantissa - _ONE) / (mantissa + _ONE)
    power = (exponent.astype(np.float32) + s * _polynomial(s * s, _LOGARITHM)) * gamma
    power = np.maximum(power, np.float32(-126))
    # Adding 1.5 * 2^23 leaves no bits for a fraction.
    shifted = power + np.float32(12582912)
    fraction: Floats = power - (shifted - np.float32(12582912))
    value = _polynomial(fraction, _POWER).view(np.int32) + (shifted.view(np.int32) << 23)
    return np.where(values > 0, value.view(np.float32) * _BYTE, np.float32(0))


def _polynomial(x: Floats, coefficients: tuple[float, ...]) -> Floats:
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + np.float32(coefficient)
    return value
