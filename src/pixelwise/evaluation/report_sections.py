"""Tables and charts of a report, as HTML in which every name is text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.charts import Curve, chart
from pixelwise.data.page import SCROLL, swatch
from pixelwise.data.wording import counted, escaped, percent
from pixelwise.evaluation.error_kinds import ErrorKind
from pixelwise.evaluation.evaluate import Estimate, Evaluation
from pixelwise.evaluation.object_sizes import AREAS, DISTANCES
from pixelwise.evaluation.report import Report
from pixelwise.evaluation.tables import shown
from pixelwise.metrics.calibration import CalibrationScores
from pixelwise.metrics.thresholds import ThresholdScores

__all__ = [
    "by_border",
    "by_size",
    "calibration",
    "classes",
    "confusion",
    "kinds",
    "pairs",
    "scores",
    "thresholds",
]

_MOST_CONFUSED = 40
_CURVE_POINTS = 200
_KINDS = (
    (ErrorKind.BOUNDARY, "boundary", "the predicted class is in the truth within {width}"),
    (ErrorKind.EXTENT, "extent", "the region is found, but too large or too small"),
    (ErrorKind.MISSED, "missed", "of a region that is not found"),
    (ErrorKind.INVENTED, "invented", "of a predicted region that is not there"),
    (ErrorKind.WRONG_CLASS, "wrong class", "of a region that is found under another name"),
)


def scores(evaluation: Evaluation) -> str:
    """All figures of which there is one alone, with their intervals."""
    rows = [
        (escaped(figure.title), *map(escaped, shown(evaluation.overall[figure.key], figure)))
        for figure in evaluation.figures
        if not figure.per_class
    ]
    return _table(("figure", "value", "95 % interval"), rows)


def classes(evaluation: Evaluation) -> str:
    """A bar for each class, and its figures, the lowest IoU first."""
    figures = [figure for figure in evaluation.figures if figure.per_class]
    total = max(1, int(evaluation.confusion.sum()))
    iou = evaluation.by_class["iou"]
    order = sorted(
        range(len(iou)), key=lambda channel: (iou[channel].value is None, iou[channel].value or 0)
    )
    rows = []
    for channel in order:
        info = evaluation.classes.classes[channel]
        share = percent(int(evaluation.confusion[channel].sum()) / total)
        cells = [
            f"{swatch(info.colour)}{escaped(info.name)}",
            _bar_with_span(iou[channel]),
        ]
        for figure in figures:
            value, span = shown(evaluation.by_class[figure.key][channel], figure)
            cells.append(f"{escaped(value)}<br><small>{escaped(span)}</small>")
        rows.append((*cells, share))
    titles = ("class", "IoU, 0 … 100 %", *(figure.heading for figure in figures), "of all pixels")
    return _table(titles, rows)


def confusion(evaluation: Evaluation) -> str:
    """Shares of each true class, and counts below."""
    counts = evaluation.confusion
    names = [*evaluation.classes.names, "(no class)"]
    wrong = counts.sum(1) - np.diagonal(counts) + counts[:, : len(counts)].sum(0)
    kept = np.sort(np.argsort(-wrong, kind="stable")[:_MOST_CONFUSED]).tolist()
    columns = [*kept, *([len(counts)] if counts[:, -1].any() else [])]
    part = counts[np.ix_(kept, columns)]
    totals = np.maximum(counts.sum(1)[kept], 1)
    note = (
        f'<p class="note">The {len(kept)} of {len(counts)} classes with the most wrong pixels.</p>'
        if len(kept) < len(counts)
        else ""
    )
    row_names = [names[place] for place in kept]
    column_names = [names[place] for place in columns]
    told = (
        '<p class="note">A row is a class of the truth, a column a class of the prediction. A cell '
        "is the share of the row: of the pixels of this class, how many were predicted so.</p>"
    )
    shares = _matrix(row_names, column_names, part / totals[:, None], part, as_shares=True)
    pixels = _matrix(row_names, column_names, part / totals[:, None], part, as_shares=False)
    return f"{told}{note}{shares}<details><summary>In pixels</summary>{pixels}</details>"


def pairs(report: Report) -> str:
    """The most confused classes."""
    names = (*report.evaluation.classes.names, "(no class of the truth)")
    rows = [
        (
            escaped(names[seen.pair.truth]),
            escaped(names[seen.pair.found]),
            f"{seen.pair.pixels:,}",
            percent(seen.pair.share),
            escaped(report.evaluation.subject.truths.names[seen.place]) if seen.place >= 0 else "",
        )
        for seen in report.pairs
    ]
    titles = ("truth", "taken for", "pixels", "of the class", "most of it in")
    return _table(titles, rows, numbers=(2, 3)) if rows else ""


def kinds(report: Report) -> str:
    """Kinds of errors over all pixels, and of each class."""
    sums = report.kinds.sum(1)
    wrong = int(sums[1:].sum())
    if not wrong:
        return "<p>No pixel is wrong.</p>"
    low, high = report.widths
    width = counted(low, "pixel") if low == high else f"{low} to {high} pixels"
    rows = [
        (
            title,
            _bar(int(sums[kind]) / wrong),
            percent(int(sums[kind]) / wrong),
            f"{int(sums[kind]):,}",
            escaped(told.format(width=width)),
        )
        for kind, title, told in _KINDS
    ]
    whole = _table(("kind", "0 … 100 %", "of errors", "pixels", "what it is"), rows, numbers=(2, 3))
    per_class = []
    for channel, info in enumerate(report.evaluation.classes):
        column = report.kinds[:, channel]
        total = int(column.sum())
        if total:
            cells = [percent(int(column[kind]) / total) for kind, _, _ in _KINDS]
            per_class.append((f"{swatch(info.colour)}{escaped(info.name)}", *cells))
    titles = ("class", *(title for _, title, _ in _KINDS))
    return (
        f"{whole}<h3>Of the pixels of each class</h3>{_table(titles, per_class)}"
        '<p class="note">Invented pixels count for the class that was predicted, all others for '
        "that of the truth.</p>"
    )


def by_size(report: Report) -> str:
    """How well objects are found, by their pixels."""
    rows = []
    for title, (objects, found, pixels, right) in zip(
        _ranges(AREAS, "pixels"), report.sizes.tolist(), strict=True
    ):
        if objects:
            share = right / pixels
            rows.append(
                (
                    title,
                    _bar(share),
                    percent(share),
                    percent(found / objects),
                    f"{objects:,}",
                )
            )
    told = (
        "Objects of the truth; where it tells none, connected regions of one class. An object is "
        "found where half of its pixels are right."
    )
    titles = ("size", "0 … 100 %", "pixels right", "objects found", "objects")
    return _table(titles, rows) + f'<p class="note">{told}</p>' if rows else ""


def by_border(report: Report) -> str:
    """How many pixels are right, by their distance to a border of the truth."""
    rows = [
        (title, _bar(right / pixels), percent(right / pixels), f"{pixels:,}")
        for title, (pixels, right) in zip(_distance_ranges(), report.borders.tolist(), strict=True)
        if pixels
    ]
    return _table(("distance", "0 … 100 %", "pixels right", "pixels"), rows) if rows else ""


def calibration(found: CalibrationScores | None) -> str:
    """The reliability diagram."""
    if found is None:
        return ""
    diagram = found.reliability
    known = np.flatnonzero(diagram.pixels > 0)
    points = [
        (100 * float(diagram.confidence[place]), float(diagram.accuracy[place])) for place in known
    ]
    drawn = chart(
        "How often the prediction is right",
        [
            Curve("as it should be", [(0.0, 0.0), (100.0, 1.0)], "faint"),
            Curve("as it is", points),
        ],
        across="confidence, %",
        percent=True,
    )
    rows = [
        (
            f"{100 * diagram.edges[place]:.0f} … {100 * diagram.edges[place + 1]:.0f} %",
            percent(float(diagram.confidence[place])),
            percent(float(diagram.accuracy[place])),
            f"{int(diagram.pixels[place]):,}",
        )
        for place in known
    ]
    table = _table(("confidence", "mean confidence", "right", "pixels"), rows)
    return (
        f'<div class="charts">{drawn}</div><p class="note">A curve below the line: the model is '
        "surer than it should be. <code>pixelwise calibrate</code> mends that.</p>"
        f"<details><summary>In numbers</summary>{table}</details>"
    )


def thresholds(found: ThresholdScores | None) -> str:
    """Precision over recall, ROC, and Dice over the threshold."""
    if found is None or not found.foreground:
        return ""
    places = np.unique(np.linspace(0, len(found.thresholds) - 1, _CURVE_POINTS).astype(int))
    curves = (
        ("precision over recall", found.recall, found.precision, "recall, %"),
        (
            "true over false positive rate",
            found.false_positive_rate,
            found.recall,
            "false positives, %",
        ),
        (
            f"Dice: best {percent(found.best_dice)} at {found.best_threshold:.3f}",
            found.thresholds,
            found.dice,
            "threshold, %",
        ),
    )
    drawn = "".join(
        chart(title, [Curve("", _points(x[places], y[places]))], across=across, percent=True)
        for title, x, y, across in curves
    )
    return f'<div class="charts">{drawn}</div>'


def _points(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[tuple[float, float | None]]:
    order = np.argsort(x, kind="stable")
    return [(100 * float(x[place]), float(y[place])) for place in order if not np.isnan(x[place])]


def _matrix(
    rows: Sequence[str],
    columns: Sequence[str],
    shares: NDArray[np.float64],
    counts: NDArray[np.int64],
    *,
    as_shares: bool,
) -> str:
    heads = "".join(f'<th scope="col">{escaped(name)}</th>' for name in columns)
    lines = []
    for name, own, pixels in zip(rows, shares.tolist(), counts.tolist(), strict=True):
        cells = "".join(
            f'<td class="number cell" style="--share:{share:.3f}">'
            f"{_share_shown(share, count) if as_shares else f'{count:,}'}</td>"
            for share, count in zip(own, pixels, strict=True)
        )
        lines.append(f'<tr><th scope="row">{escaped(name)}</th>{cells}</tr>')
    return (
        f'{SCROLL}<table class="matrix"><thead><tr><th scope="col">truth / prediction</th>{heads}'
        f"</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _share_shown(share: float, count: int) -> str:
    if not count:
        return ""
    return f"{100 * share:.1f}" if share >= 0.0005 else "&lt; 0.1"


def _table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Sequence[int] | None = None,
) -> str:
    """A table of cells that are HTML already; all columns but the first hold numbers, or these."""
    right = range(1, len(titles)) if numbers is None else numbers

    def kind(column: int) -> str:
        if column in right:
            return ' class="number"'
        return ' class="told"' if 0 < column == len(titles) - 1 else ' class="name"'

    heads = "".join(
        f'<th scope="col"{kind(column)}>{escaped(title)}</th>'
        for column, title in enumerate(titles)
    )
    lines = "".join(
        "<tr>"
        + "".join(f"<td{kind(column)}>{cell}</td>" for column, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f"{SCROLL}<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"


def _bar(share: float) -> str:
    return f'<span class="track"><span class="bar" style="width:{100 * share:.2f}%"></span></span>'


def _bar_with_span(estimate: Estimate) -> str:
    """A bar up to the value, with a line from one end of the interval to the other."""
    if estimate.value is None:
        return ""
    span = ""
    if estimate.low is not None and estimate.high is not None:
        left, wide = 100 * estimate.low, 100 * (estimate.high - estimate.low)
        span = f'<span class="span" style="left:{left:.2f}%;width:{wide:.2f}%"></span>'
    width = f"{100 * estimate.value:.2f}"
    return (
        f'<span class="track spanned"><span class="bar" style="width:{width}%"></span>{span}</span>'
    )


def _ranges(ends: Sequence[int], unit: str) -> list[str]:
    first = f"fewer than {ends[0]:,} {unit}"
    middle = [f"{low:,} … {high - 1:,}" for low, high in pairwise(ends)]
    return [first, *middle, f"{ends[-1]:,} and more"]


def _distance_ranges() -> list[str]:
    told = [
        f"{low + 1} … {high} pixels" if high > low + 1 else counted(high, "pixel")
        for low, high in pairwise((0, *DISTANCES))
    ]
    return [*told, f"more than {DISTANCES[-1]} pixels"]
