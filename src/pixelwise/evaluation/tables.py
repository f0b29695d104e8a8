"""Scores as text, Markdown, CSV and plain data; each form holds the protocol too."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from pixelwise.data.wording import printable
from pixelwise.evaluation.evaluate import Estimate, Evaluated, Evaluation
from pixelwise.evaluation.measures import Figure
from pixelwise.evaluation.protocol import card_of, card_rows
from pixelwise.formats.spacing import PIXELS

__all__ = ["csv_text", "markdown", "number", "plain_data", "shown", "table_rows", "units_of"]


def plain_data(evaluation: Evaluated) -> dict[str, Any]:
    """Everything in types that JSON has; figures that do not exist are null."""
    per_class = [figure for figure in evaluation.figures if figure.per_class]
    return {
        "protocol": card_of(evaluation),
        "units": units_of(evaluation.figures),
        "figures": {key: vars(estimate) for key, estimate in evaluation.overall.items()},
        "classes": [
            {
                "name": info.name,
                **{
                    figure.key: vars(evaluation.by_class[figure.key][channel])
                    for figure in per_class
                },
            }
            for channel, info in enumerate(evaluation.classes)
        ],
        **_confusion(evaluation),
        "pictures": [
            {"name": name, "mean_iou": None if np.isnan(value) else value}
            for name, value in zip(evaluation.names, evaluation.by_picture.tolist(), strict=True)
        ],
        "faults": [
            {"picture": fault.file, "what": fault.what, "got": fault.got, "fix": fault.fix}
            for fault in evaluation.faults
        ],
    }


def _confusion(evaluation: Evaluated) -> dict[str, Any]:
    """Pixels by truth and prediction; nothing where classes lie over each other."""
    if not isinstance(evaluation, Evaluation):
        return {}
    return {
        "confusion": {
            "truth": list(evaluation.classes.names),
            "prediction": [*evaluation.classes.names, "(nothing)"],
            "pixels": evaluation.confusion.tolist(),
        }
    }


def table_rows(evaluation: Evaluated) -> list[list[tuple[str, ...]]]:
    """Tables as rows of text, titles first: figures of all classes, then of each, by measure."""
    overall: list[tuple[str, ...]] = [("figure", "value", "95 % interval")]
    overall += [
        (figure.title, *shown(evaluation.overall[figure.key], figure))
        for figure in evaluation.figures
        if not figure.per_class
    ]
    tables = [overall]
    for measure in evaluation.measures:
        each = [figure for figure in measure.figures if figure.per_class]
        rows: list[tuple[str, ...]] = [("class", *(figure.heading for figure in each))]
        rows += [
            (printable(info.name), *(_short(evaluation.by_class[f.key][channel], f) for f in each))
            for channel, info in enumerate(evaluation.classes)
        ]
        tables += [rows] if each else []
    return tables


def shown(estimate: Estimate, figure: Figure) -> tuple[str, str]:
    """Value and interval, such as "75.9 %" and "74.5 … 77.2"."""
    if estimate.value is None:
        return "–", ""
    value = f"{number(estimate.value, figure)} {figure.unit}".rstrip()
    if estimate.low is None or estimate.high is None:
        return value, ""
    return value, f"{number(estimate.low, figure)} … {number(estimate.high, figure)}"


def number(value: float, figure: Figure, *, sign: bool = False) -> str:
    """The value of a figure without its unit, such as "75.9"; with its sign where asked for."""
    plus = "+" if sign else ""
    if figure.unit == "%":
        return f"{100 * value:{plus}.1f}"
    # Of a length in metres two decimals may be nothing.
    tiny = figure.unit != PIXELS and 0 < abs(value) < 1
    return f"{value:{plus}.3g}" if tiny or not figure.unit else f"{value:{plus}.2f}"


def units_of(figures: Sequence[Figure]) -> dict[str, str]:
    """By key, the units of those that are lengths."""
    return {figure.key: figure.unit for figure in figures if figure.is_length}


def markdown(evaluation: Evaluated) -> str:
    """Tables, and the protocol as a list."""
    card = "".join(f"- {title}: {_cell(text)}\n" for title, text in card_rows(card_of(evaluation)))
    return "\n".join([*map(_markdown_table, table_rows(evaluation)), card])


def csv_text(evaluation: Evaluated) -> str:
    """One line for each figure: class ("" for all), value, interval, unit; the protocol after.

    Values are unrounded, shares of 0 … 1, and empty where there is none; lengths have a unit.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("class", "figure", "value", "low", "high", "unit"))
    units = units_of(evaluation.figures)
    for key, each in evaluation.overall.items():
        writer.writerow(("", key, each.value, each.low, each.high, units.get(key, "")))
    for key, estimates in evaluation.by_class.items():
        unit = units.get(key, "")
        for info, each in zip(evaluation.classes, estimates, strict=True):
            writer.writerow((info.name, key, each.value, each.low, each.high, unit))
    for title, text in card_rows(card_of(evaluation)):
        writer.writerow(("protocol", title, text, "", "", ""))
    return stream.getvalue()


def _short(estimate: Estimate, figure: Figure) -> str:
    value, interval = shown(estimate, figure)
    number = value.removesuffix(f" {figure.unit}")
    return f"{number} ({interval.replace(' … ', '–')})" if interval else number


def _markdown_table(rows: Sequence[tuple[str, ...]]) -> str:
    head, *body = rows
    lines = [head, ("---", *("---:" for _ in head[1:])), *body]
    return "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in lines)


def _cell(text: str) -> str:
    escaped = "".join(f"\\{letter}" if letter in "\\|`*_<>[]" else letter for letter in text)
    return printable(escaped)
