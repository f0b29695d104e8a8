"""A comparison as text and as plain data."""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelwise.data.wording import percent, printable
from pixelwise.evaluation.compare import Comparison, Difference
from pixelwise.evaluation.measures import Figure
from pixelwise.evaluation.protocol import card_of
from pixelwise.evaluation.tables import number, units_of

__all__ = ["comparison_data", "comparison_rows", "picture_rows"]

_TITLES = ("A", "B", "B - A", "95 % interval", "B better")


def comparison_data(comparison: Comparison) -> dict[str, Any]:
    """Everything in types that JSON has."""
    per_class = [figure for figure in comparison.figures if figure.per_class]
    return {
        "a": card_of(comparison.a),
        "b": card_of(comparison.b),
        "pictures": len(comparison.names),
        "units": units_of(comparison.figures),
        "figures": {key: vars(each) for key, each in comparison.overall.items()},
        "classes": [
            {
                "name": info.name,
                **{f.key: vars(comparison.by_class[f.key][channel]) for f in per_class},
            }
            for channel, info in enumerate(comparison.classes)
        ],
        "by_picture": [
            {"name": name, "a": _known(a), "b": _known(b)}
            for name, (a, b) in zip(comparison.names, comparison.by_picture.tolist(), strict=True)
        ],
        "most_different": [comparison.names[place] for place in comparison.most_different(20)],
    }


def comparison_rows(comparison: Comparison) -> list[list[tuple[str, ...]]]:
    """Tables as rows of text, titles first: figures of all classes, then one for each per class."""
    overall: list[tuple[str, ...]] = [("figure", *_TITLES)]
    tables = [overall]
    for figure in comparison.figures:
        if not figure.per_class:
            overall.append((figure.title, *_row(comparison.overall[figure.key], figure)))
            continue
        rows: list[tuple[str, ...]] = [(f"{figure.title} of", *_TITLES)]
        rows += [
            (printable(info.name), *_row(each, figure))
            for info, each in zip(comparison.classes, comparison.by_class[figure.key], strict=True)
        ]
        tables.append(rows)
    return tables


def picture_rows(comparison: Comparison, count: int) -> list[tuple[str, ...]]:
    """The pictures where A and B differ most, titles first."""
    rows: list[tuple[str, ...]] = [("picture", "mIoU of A", "of B", "B - A")]
    for place in comparison.most_different(count):
        a, b = comparison.by_picture[place].tolist()
        name = printable(comparison.names[place])
        rows.append((name, percent(a), percent(b), f"{100 * (b - a):+.1f}"))
    return rows


def _row(each: Difference, figure: Figure) -> tuple[str, ...]:
    a, b = (_shown(value, figure) for value in (each.a, each.b))
    if each.difference is None:
        return a, b, "–", "", ""
    difference = number(each.difference, figure, sign=True)
    interval = ""
    if each.low is not None and each.high is not None:
        low, high = (number(end, figure, sign=True) for end in (each.low, each.high))
        interval = f"{low} … {high}"
    return a, b, difference, interval, percent(each.better)


def _shown(value: float | None, figure: Figure) -> str:
    return "–" if value is None else f"{number(value, figure)} {figure.unit}".rstrip()


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
