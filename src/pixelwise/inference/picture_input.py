"""A picture in memory as a model wants it: a photo, or the bands of a raster."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ArrayError, ImageFileError, UsageError
from pixelwise.formats.images import ImageSource, describe_source
from pixelwise.formats.raster_reader import is_raster, open_raster
from pixelwise.geometry import Window
from pixelwise.inference.bands import BandRule, band_rule, comparable, network_values
from pixelwise.inference.card import Preprocessing
from pixelwise.inference.remote import read_source

__all__ = ["read_input"]

_AS_RASTER = "predict it as a raster: `pixelwise predict`, or `predict_raster` in Python"


def read_input(
    source: ImageSource,
    card: Preprocessing,
    *,
    max_megapixels: float,
    timeout: float | None = None,
    name: str = "",
) -> NDArray[Any]:
    """The picture, whole, `[H, W, B]`.

    For models of photos as `read_source`, with `name` for what is no path; a path of a raster must
    have data everywhere, since a photo has a class at every pixel. For others a path of a
    raster, whose bands are found as `band_rule` does and whose pixels without data become NaN, or
    an array `[H, W, B]`.

    Raises:
        ImageFileError: the picture cannot be read, or is larger than `max_megapixels`.
        ArrayError: an array has other bands or another type than the model's.
        UsageError: the raster's bands do not fit the model; a raster for a model of photos has
            pixels without data; or the source is no raster.
        MissingExtraError: what reads this raster is not installed.
    """
    if card.takes_photos:
        try:
            pixels = read_source(source, max_megapixels=max_megapixels, timeout=timeout, name=name)
        except ImageFileError as error:
            if not _is_raster(source, max_megapixels):
                raise
            raise ImageFileError(
                error.what, where=error.where, got=error.got, fix=_AS_RASTER
            ) from error
        if isinstance(source, str | os.PathLike) and _is_raster(source, max_megapixels):
            _refuse_missing(Path(source), card)
        return pixels
    if isinstance(source, np.ndarray):
        return _of_array(source, card)
    if not isinstance(source, str | os.PathLike):
        raise UsageError(
            f"this model takes {card.channels} bands of {card.dtype}, not photos",
            where=name,
            got=describe_source(source),
            fix="pass the path of a raster, or an array [H, W, B]",
        )
    with closing(open_raster(Path(source))) as reader:
        height, width = reader.facts.size
        if height * width > max_megapixels * 1e6:
            raise ImageFileError(
                "the picture is larger than allowed",
                where=str(source),
                got=f"{width} × {height}, at most {max_megapixels:g} megapixels",
                fix="predict it as a raster, tile by tile, or raise max_megapixels",
            )
        rule = band_rule(reader, card)
        window = Window(0, 0, width, height)
        values, _ = network_values(reader.read(window, rule.indices), reader.absent(window), rule)
        return values


def _refuse_missing(path: Path, card: Preprocessing) -> None:
    """Refuses a raster with pixels that would get a class, and have no data."""
    with closing(open_raster(path)) as reader:
        height, width = reader.facts.size
        window = Window(0, 0, width, height)
        missing = reader.absent(window)
        if any(value is not None for value in reader.facts.nodata):
            rule = band_rule(reader, card)
            _, missing = network_values(reader.read(window, rule.indices), missing, rule)
    if missing is not None and missing.any():
        raise UsageError(
            "pixels without data would get a class",
            where=str(path),
            got=f"{int(missing.sum()):,} of {missing.size:,} pixels without data",
            fix=_AS_RASTER,
        )


def _is_raster(source: ImageSource, max_megapixels: float) -> bool:
    if not isinstance(source, str | os.PathLike) or not os.path.exists(source):  # noqa: PTH110
        return False
    return is_raster(Path(source), max_megapixels=max_megapixels)


def _of_array(array: NDArray[Any], card: Preprocessing) -> NDArray[Any]:
    fits = array.ndim == 3 and array.size > 0 and array.shape[2] == card.channels
    if not fits or not comparable(array.dtype, np.dtype(card.dtype)):
        raise ArrayError(
            "not a picture for this model",
            got=f"{array.dtype} {list(array.shape)}, expected {card.dtype} [H, W, {card.channels}]",
            fix="one picture at a time, its bands on the last axis, in the numbers of the training",
        )
    plain = BandRule(tuple(range(card.channels)), (None,) * card.channels, None)
    return network_values(array, None, plain)[0]
