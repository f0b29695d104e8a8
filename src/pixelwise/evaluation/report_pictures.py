"""Pictures for a report: drawn again, since none was kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.drawing import IGNORED
from pixelwise.data.example_sheet import draw_example
from pixelwise.data.faults import Fault
from pixelwise.data.page import picture_address
from pixelwise.evaluation.predictions import Judged, judge
from pixelwise.evaluation.report import Report
from pixelwise.formats.viewable import viewable

__all__ = ["DrawnReport", "drawn"]

_WORST, _MEDIAN, _PAIRS, _DOUBTED = 6, 3, 4, 16
_WIDEST = 1000
_MARGIN = 0.75
_LEAST_MARGIN = 24
_BLANK = 40
_LINE = 2
_DARK, _BRIGHT = (0, 0, 0), (255, 235, 60)
_NOTHING: tuple[int, int, int] = (128, 128, 128)
_Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class DrawnReport:
    """`data:` addresses of sheets of photo, truth, prediction and errors.

    Attributes:
        worst, median: by place in `Evaluation.names`.
        pairs: by place in `Report.pairs`.
        doubted: by place in `Report.doubted`: the region and what is around it.
    """

    worst: dict[int, str]
    median: dict[int, str]
    pairs: dict[int, str]
    doubted: dict[int, str]


@dataclass(frozen=True)
class _Wanted:
    """A sheet: of the whole picture, or of a box in it."""

    kind: str
    key: int
    box: _Box | None
    note: str


def drawn(
    report: Report, *, workers: int = 0, progress: Callable[[int], object] | None = None
) -> DrawnReport:
    """Reads and predicts the chosen pictures again, and draws them; what cannot be is left out.

    Args:
        report: what is told.
        workers: threads; 0 works in the calling one.
        progress: called with 1 for every picture that was read.
    """
    wanted = _wanted(report)
    made: dict[str, dict[int, str]] = {"worst": {}, "median": {}, "pairs": {}, "doubted": {}}
    table = _with_nothing(report)

    def draw(judged: Judged) -> list[tuple[_Wanted, str]]:
        return [
            (each, _sheet(judged, each, table, report.background)) for each in wanted[judged.place]
        ]

    subject = report.evaluation.subject
    sheets = judge(subject, draw, places=sorted(wanted), workers=workers, progress=progress)
    for answer in sheets:
        if not isinstance(answer, Fault):
            for each, address in answer:
                made[each.kind][each.key] = address
    return DrawnReport(**made)


def _wanted(report: Report) -> dict[int, list[_Wanted]]:
    """Sheets by the picture's place in the subject, so that each is read once."""
    evaluation = report.evaluation
    wanted: dict[int, list[_Wanted]] = {}

    def add(place: int, sheet: _Wanted) -> None:
        wanted.setdefault(place, []).append(sheet)

    worst = evaluation.worst(_WORST)
    for key in worst:
        add(evaluation.places[key], _Wanted("worst", key, None, ""))
    for key in report.median(_MEDIAN):
        if key not in worst:
            add(evaluation.places[key], _Wanted("median", key, None, ""))
    for key, seen in enumerate(report.pairs[:_PAIRS]):
        if seen.place >= 0:
            add(seen.place, _Wanted("pairs", key, None, ""))
    for key, doubted in enumerate(report.doubted[:_DOUBTED]):
        add(doubted.place, _Wanted("doubted", key, doubted.suspect.box, "inside the line"))
    return wanted


def _sheet(judged: Judged, wanted: _Wanted, table: ClassTable, background: int | None) -> str:
    image = _outlined(_photo(judged), wanted.box)
    rows, columns = _around(wanted.box, judged.truth.shape)
    sheet = draw_example(
        image[rows, columns],
        judged.truth[rows, columns],
        judged.labels[rows, columns],
        table,
        name=judged.name,
        note=wanted.note,
        background=background,
    )
    return picture_address(sheet, widest=_WIDEST)


def _photo(judged: Judged) -> NDArray[np.uint8]:
    if judged.image is None:
        return np.full((*judged.truth.shape, 3), _BLANK, np.uint8)
    return viewable(judged.image)


def _outlined(image: NDArray[np.uint8], box: _Box | None) -> NDArray[np.uint8]:
    """The picture with a line around the box."""
    if box is None:
        return image
    left, top, right, bottom = box
    drawn = image.copy()
    for margin, colour in ((_LINE, _DARK), (_LINE - 1, _BRIGHT)):
        rows = slice(max(0, top - margin), bottom + margin)
        columns = slice(max(0, left - margin), right + margin)
        drawn[rows, columns] = colour
    drawn[top:bottom, left:right] = image[top:bottom, left:right]
    return drawn


def _around(box: _Box | None, shape: Sequence[int]) -> tuple[slice, slice]:
    """Rows and columns of the box and a margin around it; of all where there is no box."""
    if box is None:
        return slice(None), slice(None)
    left, top, right, bottom = box
    margin = max(_LEAST_MARGIN, round(_MARGIN * max(right - left, bottom - top)))
    return (
        slice(max(0, top - margin), min(shape[0], bottom + margin)),
        slice(max(0, left - margin), min(shape[1], right + margin)),
    )


def _with_nothing(report: Report) -> ClassTable:
    """The classes, and one more for predictions of no class of the truth where there are any."""
    subject = report.evaluation.subject
    classes = subject.classes
    if not subject.match.leaves:
        return classes
    more = ClassInfo(len(classes), "(no class of the truth)", _NOTHING)
    return ClassTable(classes.name, (*classes.classes, more), IGNORED, classes.source)
