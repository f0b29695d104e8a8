"""Curves as SVG that stands in a page of HTML: no script, no font, colours by the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pixelwise.data.wording import escaped

__all__ = ["Curve", "chart", "small_chart"]

_WIDTH, _HEIGHT = 420, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 10, 12, 36
_SMALL_WIDTH, _SMALL_HEIGHT = 160, 56
_MOST_POINTS = 400
_TICKS = 5
_WIDE_RANGE = 30
_FINEST = 1e-300
_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Curve:
    """A curve.

    Attributes:
        name: shown where there are several.
        points: x and y, x rising; y None leaves a gap.
        style: "strong" or "faint".
    """

    name: str
    points: Sequence[tuple[float, float | None]]
    style: str = "strong"


@dataclass(frozen=True)
class _Scale:
    """From values to pixels, `low` to `start` and `high` to `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        low, high, value = (
            tuple(map(math.log10, (self.low, self.high, value)))
            if self.logarithmic
            else (self.low, self.high, value)
        )
        share = (value - low) / (high - low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)


def chart(
    title: str,
    curves: Sequence[Curve],
    *,
    across: str,
    percent: bool = False,
    logarithmic: bool = False,
    mark: tuple[float, float] | None = None,
) -> str:
    """A chart with axes; "" where no curve has a point.

    Args:
        title: above the chart.
        curves: the last is drawn on top.
        across: what x counts.
        percent: whether y are shares, and stand in percent.
        logarithmic: whether the upright axis is, if the values are positive and far apart.
        mark: a point that stands out.
    """
    xs = [x for curve in curves for x, y in curve.points if y is not None]
    ys = [y for curve in curves for _, y in curve.points if y is not None]
    if not ys:
        return ""
    logarithmic = logarithmic and min(ys) > _FINEST and max(ys) / min(ys) > _WIDE_RANGE
    marks = _powers(min(ys), max(ys)) if logarithmic else _ticks(min(ys), max(ys))
    up = _Scale(marks[0], marks[-1], _HEIGHT - _BOTTOM, _TOP, logarithmic)
    wide = _across(min(xs), max(xs), _LEFT, _WIDTH - _RIGHT)
    parts = [_grid(up, marks, percent), _foot(wide, across)]
    parts += [_path(curve, wide, up) for curve in curves]
    if mark is not None:
        x, y = wide.at(mark[0]), up.at(mark[1])
        parts.append(f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
    named = [curve for curve in curves if curve.name]
    key = "".join(
        f'<span class="key {escaped(curve.style)}">{escaped(curve.name)}</span>'
        for curve in named
        if len(named) > 1
    )
    return (
        f'<figure class="chart"><figcaption><strong>{escaped(title)}</strong>{key}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escaped(title)}">'
        f"{''.join(parts)}</svg></figure>"
    )


def small_chart(points: Sequence[tuple[float, float | None]], last: float) -> str:
    """A curve of shares 0 … 1 without words, up to x = `last`."""
    known = [(x, y) for x, y in points if y is not None]
    if not known:
        return ""
    wide = _across(points[0][0], last, 2, _SMALL_WIDTH - 2)
    up = _Scale(0, 1, _SMALL_HEIGHT - 2, 2)
    path = _path(Curve("", points), wide, up)
    x, y = known[-1]
    return (
        f'<svg class="small" viewBox="0 0 {_SMALL_WIDTH} {_SMALL_HEIGHT}" aria-hidden="true">'
        f'<path class="grid-line" d="M0 {_SMALL_HEIGHT - 2}H{_SMALL_WIDTH}M0 2H{_SMALL_WIDTH}"/>'
        f'{path}<circle class="dot" cx="{wide.at(x):.1f}" cy="{up.at(y):.1f}" r="2.5"/></svg>'
    )


def _across(low: float, high: float, start: float, end: float) -> _Scale:
    """A single x stands in the middle."""
    return _Scale(low, high, start, end) if high > low else _Scale(low - 1, low + 1, start, end)


def _grid(up: _Scale, marks: Sequence[float], percent: bool) -> str:
    lines = "".join(f"M{_LEFT} {up.at(y):.1f}H{_WIDTH - _RIGHT}" for y in marks)
    numbers = "".join(
        f'<text x="{_LEFT - 6}" y="{up.at(y) + 4:.1f}" text-anchor="end">'
        f"{f'{100 * y:g} %' if percent else f'{y:g}'}</text>"
        for y in marks
    )
    return f'<path class="grid-line" d="{lines}"/>{numbers}'


def _foot(wide: _Scale, across: str) -> str:
    base = _HEIGHT - _BOTTOM
    whole = [x for x in _ticks(wide.low, wide.high) if wide.low <= x <= wide.high and x % 1 == 0]
    numbers = "".join(
        f'<text x="{wide.at(x):.1f}" y="{base + 16}" text-anchor="middle">{_thousands(x)}</text>'
        for x in whole
    )
    return (
        f"{numbers}"
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end">{escaped(across)}</text>'
    )


def _path(curve: Curve, wide: _Scale, up: _Scale) -> str:
    pieces: list[str] = []
    alone: list[tuple[float, float]] = []
    pen_down = False
    points = _thinned(curve.points)
    for number, (x, y) in enumerate(points):
        if y is None:
            pen_down = False
            continue
        place = wide.at(x), up.at(y)
        pieces.append(f"{'L' if pen_down else 'M'}{place[0]:.1f} {place[1]:.1f}")
        if not pen_down and (number + 1 == len(points) or points[number + 1][1] is None):
            alone.append(place)
        pen_down = True
    dots = "".join(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in alone)
    return f'<path class="curve {escaped(curve.style)}" d="{"".join(pieces)}"/>{dots}'


def _thinned(
    points: Sequence[tuple[float, float | None]],
) -> Sequence[tuple[float, float | None]]:
    """Of many points the lowest and the highest of each stretch, so that no peak is lost."""
    if len(points) <= 2 * _MOST_POINTS:
        return points
    kept: list[tuple[float, float | None]] = []
    size = -(-len(points) // _MOST_POINTS)
    for begin in range(0, len(points), size):
        stretch = [(y, x) for x, y in points[begin : begin + size] if y is not None]
        if stretch:
            kept += sorted({(x, y) for y, x in (min(stretch), max(stretch))})
        else:
            kept.append((points[begin][0], None))
    return kept


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, the first at or below `low` and the last at or above `high`."""
    spread = high - low or abs(high) or 1.0
    rough = max(spread / (_TICKS - 1), _FINEST)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * part for part in _STEPS if power * part >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return [float(f"{number * step:.10g}") for number in range(first, last + 1)]


def _powers(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = -(-(last - first) // _TICKS)
    last = first + stride * -(-(last - first) // stride)
    return [10.0**power for power in range(first, last + 1, stride)]


def _thousands(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 10_000 and value % 100 == 0 else f"{value:g}"
