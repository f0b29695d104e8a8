"""Probabilities in: NumPy files of any tool, looked at by their headers and never unpickled."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pixelwise.errors import MaskFileError, OutOfMemoryError
from pixelwise.formats.decoding import DEFAULT_MEGAPIXELS

__all__ = ["PROBABILITY_SUFFIXES", "read_class_names", "read_probabilities"]

PROBABILITY_SUFFIXES = (".npz", ".npy")
_OWN = "probabilities"
_MOST_NAME_BYTES = 1 << 24
_TOLERANCE = 1e-3
"""Of the sum over the classes: softmax in float16 is within half of it."""

# What NumPy and zipfile raise on files that were made to break them, or broke.
_UNREADABLE = (
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_probabilities(
    path: Path,
    classes: int,
    *,
    exclusive: bool = True,
    max_megapixels: float = DEFAULT_MEGAPIXELS,
) -> NDArray[np.float32]:
    """The probabilities of a picture, float32 `[C, H, W]`, with sum 1 at each pixel.

    A `.npy` file, or a `.npz` file of one array, or of several of which one is `probabilities`.
    Arrays are `[C, H, W]` or `[H, W, C]`, of floats of 16 to 64 bits; the number of classes tells
    which. Files with `ids` and `names`, as `Segmentation.save_probabilities` writes them, are
    always `[C, H, W]`.

    Args:
        path: the file.
        classes: C.
        exclusive: whether a pixel has one of the classes; else each probability is 0..1 for itself,
            whatever their sum.
        max_megapixels: larger arrays are refused by their header.

    Raises:
        MaskFileError: the file cannot be read, or lists why its array holds no probabilities.
        OutOfMemoryError: the array needs more memory than there is.
    """
    with _array(path) as (stream, _, own):
        shape, kind = _header(stream)
        faults = _shape_faults(shape, kind, classes, max_megapixels)
        first = len(shape) == 3 and shape[0] == classes
        last = len(shape) == 3 and shape[2] == classes
        if first and last and not own:
            faults.append(f"{list(shape)} is [C, H, W] as well as [H, W, C] of {classes} classes")
        if faults:
            raise _no_probabilities(path, faults)
        stream.seek(0)
        values = npy.read_array(stream, allow_pickle=False)
        layers = np.moveaxis(values, 2, 0) if last and not first else values
        with np.errstate(over="ignore"):
            layers = np.ascontiguousarray(layers, np.float32)
        faults = _value_faults(layers, exclusive=exclusive)
        if faults:
            fix = "" if exclusive else "save the sigmoid of each class of the table, in its order"
            raise _no_probabilities(path, faults, fix)
    return layers


def read_class_names(path: Path) -> tuple[tuple[int, str], ...] | None:
    """Id and name of each channel, where a `.npz` file says them; else None.

    Raises:
        MaskFileError: the file cannot be read.
    """
    if path.suffix.lower() != ".npz":
        return None
    with _array(path) as (_, archive, own):
        if archive is None or not own:
            return None
        ids, names = (_small(archive, f"{key}.npy") for key in ("ids", "names"))
    fits = ids.ndim == names.ndim == 1 and len(ids) == len(names)
    if not fits or ids.dtype.kind not in "iu" or names.dtype.kind != "U":
        raise MaskFileError(
            "ids and names of the probabilities do not fit each other",
            where=str(path),
            got=f"ids {ids.dtype} {list(ids.shape)} · names {names.dtype} {list(names.shape)}",
            fix="write them as pixelwise predict --probabilities does, or leave both out",
        )
    return tuple(zip(ids.tolist(), names.tolist(), strict=True))


@contextmanager
def _array(path: Path) -> Iterator[tuple[IO[bytes], zipfile.ZipFile | None, bool]]:
    """The stream of the array, the archive it is in, and whether that tells ids and names.

    What is raised while it is open becomes an error of ours.
    """
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as stream:
                yield stream, None, False
            return
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            arrays = [name.removesuffix(".npy") for name in members if name.endswith(".npy")]
            if _OWN not in arrays and len(arrays) != 1:
                raise _no_probabilities(path, [f"arrays {', '.join(arrays[:20]) or 'of no name'}"])
            chosen = _OWN if _OWN in arrays else arrays[0]
            with archive.open(f"{chosen}.npy") as stream:
                yield stream, archive, {"ids", "names"} <= set(arrays)
    except MaskFileError:
        raise
    except MemoryError as error:
        raise OutOfMemoryError(
            "there is not enough memory for these probabilities",
            where=str(path),
            got=str(error),
            fix="work with fewer --threads",
        ) from error
    except _UNREADABLE as error:
        raise MaskFileError(
            "the file cannot be read as a NumPy array",
            where=str(path),
            got=str(error)[:200],
            fix="write it with numpy.save or numpy.savez; pickles are never opened",
        ) from error


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(stream)
    if version == (1, 0):
        shape, _, kind = npy.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, kind = npy.read_array_header_2_0(stream)
    else:
        raise ValueError(f"version {version} of the format, expected 1.0 or 2.0")
    return shape, kind


def _small(archive: zipfile.ZipFile, member: str) -> NDArray[Any]:
    """An array beside the probabilities, which has no reason to be large."""
    with archive.open(member) as stream:
        shape, kind = _header(stream)
        if kind.hasobject or np.prod(shape, dtype=float) * kind.itemsize > _MOST_NAME_BYTES:
            raise ValueError(f"{member} {list(shape)} of {kind} holds no names of classes")
        stream.seek(0)
        found: NDArray[Any] = npy.read_array(stream, allow_pickle=False)
    return found


def _shape_faults(
    shape: tuple[int, ...], kind: np.dtype[Any], classes: int, max_megapixels: float
) -> list[str]:
    """What is wrong with an array by its header."""
    faults = []
    if kind.hasobject:
        faults.append("pickled objects, which are never opened")
    elif kind.kind != "f" or kind.itemsize > 8:
        faults.append(f"{kind}, expected float16, float32 or float64")
    if len(shape) != 3:
        faults.append(f"shape {list(shape)}, expected [C, H, W] or [H, W, C]")
    elif classes not in (shape[0], shape[2]):
        faults.append(
            f"shape {list(shape)}, expected [{classes}, H, W] or [H, W, {classes}] for {classes} "
            "classes"
        )
    elif np.prod(shape, dtype=float) / classes > max_megapixels * 1e6:
        faults.append(f"shape {list(shape)}, at most {max_megapixels:g} megapixels")
    elif 0 in shape:
        faults.append(f"shape {list(shape)}, which is empty")
    return faults


def _value_faults(layers: NDArray[np.float32], *, exclusive: bool) -> list[str]:
    """What is wrong with the values of `[C, H, W]`."""
    low, high = float(layers.min()), float(layers.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        infinite = int(layers.size - np.count_nonzero(np.isfinite(layers)))
        missing = int(np.count_nonzero(np.isnan(layers)))
        negative = int(np.count_nonzero(layers < 0))
        faults = [f"{missing:,} values are NaN"] if missing else []
        faults += [f"{infinite - missing:,} values are infinite"] if infinite > missing else []
        return faults + ([f"{negative:,} values are below 0"] if negative else [])
    faults = []
    if low < 0:
        faults.append(f"{np.count_nonzero(layers < 0):,} values are below 0, down to {low:g}")
    if not exclusive:
        above = int(np.count_nonzero(layers > 1))
        return faults + ([f"{above:,} values are above 1, up to {high:g}"] if above else [])
    sums = layers.sum(0)
    wrong = int(np.count_nonzero(np.abs(sums - 1) > _TOLERANCE))
    if wrong:
        faults.append(
            f"sums over the classes are not 1 at {wrong:,} pixels: {sums.min():g} … {sums.max():g}"
        )
    return faults


def _no_probabilities(path: Path, faults: list[str], fix: str = "") -> MaskFileError:
    return MaskFileError(
        "the file holds no probabilities of these classes",
        where=str(path),
        got="; ".join(faults),
        fix=fix
        or "save the softmax over all classes of the table, in its order, as float32 [C, H, W]; "
        "of one sigmoid p both 1 - p and p",
    )
