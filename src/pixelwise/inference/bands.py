"""Which bands of a raster a model sees, and how their numbers become those it was made for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ImageFileError, UsageError
from pixelwise.formats.raster_reader import RasterFacts, RasterReader
from pixelwise.geometry import Window
from pixelwise.inference.card import Preprocessing

__all__ = ["BandRule", "band_rule", "comparable", "network_values"]

_NATIVE = {np.dtype(name) for name in ("uint8", "uint16", "int16", "float32")}
_SAMPLES_A_SIDE = 4
_SAMPLE_SIDE = 256


@dataclass(frozen=True)
class BandRule:
    """From the numbers of a raster to those of a model.

    Attributes:
        indices: 0-based band of the raster for each channel of the model.
        nodata: of these bands, the value that stands for none, or None.
        value_range: (low, high) of the raster that become 0 and 255, or None: numbers stay.
    """

    indices: tuple[int, ...]
    nodata: tuple[float | None, ...]
    value_range: tuple[float, float] | None

    @property
    def may_lack(self) -> bool:
        """Whether a value may stand for none."""
        return any(value is not None for value in self.nodata)


def band_rule(
    reader: RasterReader,
    card: Preprocessing,
    *,
    bands: Sequence[str] = (),
    value_range: tuple[float, float] | None = None,
) -> BandRule:
    """Fits a raster to a model, or says why it does not fit.

    Without `bands`, those that the card names are looked up by the raster's own names; a model
    without names takes the bands in their order (alpha aside), three of them from where the raster
    says that red, green and blue are, and one grey band three times.

    Args:
        reader: the raster.
        card: of the model.
        bands: number (from 1) or name of the raster's band for each channel of the model.
        value_range: what becomes 0 and 255 for a model of 8 bits; what lies outside is clipped.

    Raises:
        UsageError: the bands are not those that the model needs, or there is no rule for their
            numbers; names what the raster has, and the range that was measured.
    """
    facts = reader.facts
    indices = _chosen(facts, bands, card) if bands else _found(facts, card)
    rule = BandRule(indices, tuple(facts.nodata[index] for index in indices), value_range)
    if value_range is not None:
        _check_range(value_range, card, facts)
    elif not comparable(facts.dtype, np.dtype(card.dtype)):
        low, high = _measured(reader, rule)
        raise UsageError(
            f"this model was made for numbers of {card.dtype}; the raster's are not comparable "
            "unless you say how",
            where=str(facts.path),
            got=f"{facts.dtype}, from {low:g} to {high:g} where it was looked at",
            fix=f"say what is black and what is white, such as --range {low:g},{high:g}"
            if card.dtype == "uint8"
            else f"store it as {card.dtype}, in the units that the model was trained on",
        )
    return rule


def network_values(
    values: NDArray[Any],
    absent: NDArray[np.bool_] | None,
    rule: BandRule,
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Numbers as the model takes them, and which pixels hold none.

    A value for "no data" below 0, and of numbers with fractions any that is no number, makes its
    pixel one without data in whatever band it stands. Any other value for "no data" is one that
    pictures hold too (0 in a shadow): only pixels that hold it in all bands are without data.

    Args:
        values: `[h, w, B]` of the raster, its bands chosen by the rule.
        absent: bool `[h, w]` where the raster's own mask says that nothing is, or None.
        rule: of the raster and the model.

    Returns:
        uint8, uint16, int16 or float32 `[h, w, B]`, NaN where there is no data; bool `[h, w]` of
        the pixels without, or None where every pixel has some.
    """
    missing = np.zeros(values.shape[:2], bool) if absent is None else absent.copy()
    if values.dtype.kind == "f":
        missing |= ~np.isfinite(values).all(axis=2)
    if rule.may_lack:
        holds = np.zeros(values.shape, bool)
        for channel, nodata in enumerate(rule.nodata):
            if nodata is not None and not math.isnan(nodata):
                holds[..., channel] = values[..., channel] == nodata
        below = [value is not None and value < 0 for value in rule.nodata]
        missing |= holds[..., below].any(axis=2) | holds.all(axis=2)
    if rule.value_range is not None:
        low, high = rule.value_range
        # In float64, since numbers of 32 bits and more lose digits in float32.
        scaled = (values.astype(np.float64) - low) * (255 / (high - low))
        with np.errstate(invalid="ignore"):
            values = np.clip(scaled, 0, 255).astype(np.float32)
    elif values.dtype not in _NATIVE:
        values = values.astype(np.float32)
    if not missing.any():
        return values, None
    values = values.astype(np.float32)
    values[missing] = np.nan
    return values, missing


def _chosen(facts: RasterFacts, bands: Sequence[str], card: Preprocessing) -> tuple[int, ...]:
    names = {name.lower(): index for index, name in enumerate(facts.names) if name}
    indices, unknown = [], []
    for band in bands:
        text = band.strip().lower()
        number = int(text) if text.isdecimal() else 0
        index = names.get(text, number - 1 if 1 <= number <= facts.bands else None)
        if index is None:
            unknown.append(band)
        else:
            indices.append(index)
    if unknown or len(indices) != card.channels:
        raise UsageError(
            "the raster has no such bands"
            if unknown
            else f"the model takes {card.channels} bands{_named(card)}",
            where=str(facts.path),
            got=f"bands {', '.join(unknown or bands)}; the file has {_bands_of(facts)}",
            fix=f"give {card.channels} numbers from 1 to {facts.bands}, or names",
        )
    return tuple(indices)


def _found(facts: RasterFacts, card: Preprocessing) -> tuple[int, ...]:
    seen = [index for index in range(facts.bands) if facts.colours[index] != "alpha"]
    names = {facts.names[index].lower(): index for index in seen if facts.names[index]}
    wanted = [name.lower() for name in card.bands]
    if wanted and names:
        if all(name in names for name in wanted):
            return tuple(names[name] for name in wanted)
    elif wanted or card.channels != 3:
        if len(seen) == card.channels:
            return tuple(seen)
    else:
        colours = [facts.colours[index] for index in seen]
        if all(colours.count(colour) == 1 for colour in ("red", "green", "blue")):
            red, green, blue = (seen[colours.index(colour)] for colour in ("red", "green", "blue"))
            return red, green, blue
        if len(seen) == 3:
            return tuple(seen)
        if len(seen) == 1:
            return (seen[0],) * 3
    raise UsageError(
        f"the model wants {card.channels} bands{_named(card)}, the raster has others",
        where=str(facts.path),
        got=f"the file has {_bands_of(facts)}",
        fix="say which they are, in the model's order, such as --bands "
        + ",".join(_examples(facts, card.channels))
        if facts.bands >= card.channels
        else f"give a raster that has {card.channels} bands",
    )


def _examples(facts: RasterFacts, count: int) -> list[str]:
    return [facts.names[index] or str(index + 1) for index in range(count - 1, -1, -1)]


def _named(card: Preprocessing) -> str:
    if card.bands:
        return f" {', '.join(card.bands)}"
    return f" ({', '.join(('red', 'green', 'blue'))})" if card.takes_photos else ""


def _bands_of(facts: RasterFacts) -> str:
    said = [name or colour for name, colour in zip(facts.names, facts.colours, strict=True)]
    listed = ", ".join(f"{n + 1}: {text}" for n, text in enumerate(said[:40]) if text)
    return (
        f"{facts.bands} band{'s' * (facts.bands > 1)} {f'({listed})' if listed else '(no names)'}"
    )


def comparable(found: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Whether numbers of two types mean the same: bytes, wider whole numbers, or fractions.

    Satellites' whole numbers are the same ones in uint16, int16 or int32.
    """
    return _kind(found) == _kind(wanted)


def _kind(dtype: np.dtype[Any]) -> str:
    if dtype == np.uint8:
        return "bytes"
    return {"f": "fractions", "u": "whole numbers", "i": "whole numbers"}.get(dtype.kind, "other")


def _check_range(value_range: tuple[float, float], card: Preprocessing, facts: RasterFacts) -> None:
    low, high = value_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(
            "a range is two numbers, the lower first",
            got=f"{low:g}, {high:g}",
            fix="such as 0,3000",
        )
    if card.dtype != "uint8":
        raise UsageError(
            "a range is for models of 8-bit pictures",
            where=str(facts.path),
            got=f"a model of {card.dtype}, whose card says how its numbers are scaled",
            fix="leave the range away",
        )


def _measured(reader: RasterReader, rule: BandRule) -> tuple[float, float]:
    """The 2nd and 98th percentile of some windows over the raster."""
    height, width = reader.facts.size
    seen = []
    for y in range(_SAMPLES_A_SIDE):
        for x in range(_SAMPLES_A_SIDE):
            top = round((height - 1) * (y + 0.5) / _SAMPLES_A_SIDE)
            left = round((width - 1) * (x + 0.5) / _SAMPLES_A_SIDE)
            window = Window(
                left, top, min(width, left + _SAMPLE_SIDE), min(height, top + _SAMPLE_SIDE)
            )
            values, _ = network_values(
                reader.read(window, rule.indices), reader.absent(window), rule
            )
            known = values[np.isfinite(values)] if values.dtype.kind == "f" else values.ravel()
            seen.append(known.astype(np.float64))
    every = np.concatenate(seen)
    if not every.size:
        raise ImageFileError("the raster holds no data", where=str(reader.facts.path))
    low, high = np.percentile(every, (2, 98))
    return float(low), float(high)
