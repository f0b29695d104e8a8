"""The report on an evaluation as one page of HTML that holds all it shows."""

from __future__ import annotations

from collections.abc import Sequence

from pixelwise.data.page import SCROLL, Section, framed, sections_with_links
from pixelwise.data.wording import counted, escaped, percent
from pixelwise.evaluation.protocol import card_of, card_rows
from pixelwise.evaluation.report import Report
from pixelwise.evaluation.report_pictures import DrawnReport
from pixelwise.evaluation.report_sections import (
    by_border,
    by_size,
    calibration,
    classes,
    confusion,
    kinds,
    pairs,
    scores,
    thresholds,
)

__all__ = ["report_page"]

_FEW_PICTURES = 30
_FAULTS = 100
_DOUBTED_NOTE = (
    "Regions that the model takes for another class than the truth says, and is sure of, ranked by "
    "the pixels that it would win. Look at them before you believe the scores: some are errors of "
    "the model, some of the truth. It means something only for pictures that the model did not "
    "learn from."
)


def report_page(report: Report, pictures: DrawnReport) -> str:
    """The page: scores and protocol, classes, errors, pictures, labels in doubt.

    Nothing in it is fetched, and it runs no script. Names and values are text, whatever they hold.

    Args:
        report: what is told.
        pictures: of the same report.
    """
    sections: list[Section] = [
        ("scores", "Scores", scores(report.evaluation)),
        ("classes", "Classes", classes(report.evaluation)),
        ("confusion", "Confusion", confusion(report.evaluation)),
        ("pairs", "Most confused", pairs(report) + _pair_pictures(report, pictures)),
        ("kinds", "Kinds of errors", kinds(report)),
        ("sizes", "Size of objects", by_size(report)),
        ("borders", "Distance to borders", by_border(report)),
        ("calibration", "Calibration", calibration(report.calibration)),
        ("thresholds", "Thresholds", thresholds(report.curves)),
        ("worst", "Worst pictures", _pictures(report, pictures.worst)),
        ("median", "Middling pictures", _pictures(report, pictures.median)),
        ("labels", "Labels in doubt", _doubted(report, pictures)),
        ("faults", "Not judged", _faults(report)),
    ]
    links, bodies = sections_with_links(sections)
    facts = report.evaluation.subject
    title = f"{facts.predictions.facts['predictions']} on {facts.truths.facts['data']}"
    body = [
        f"<h1>{escaped(title)}</h1>",
        _verdict(report),
        _warnings(report),
        links,
        _card(report),
        bodies,
    ]
    return framed(title, "\n".join(body))


def _verdict(report: Report) -> str:
    mean = report.evaluation.overall["mean_iou"]
    span = (
        ""
        if mean.low is None or mean.high is None
        else f" · 95 % interval {percent(mean.low)} … {percent(mean.high)}"
    )
    number = counted(len(report.evaluation.names), "picture")
    return f'<p class="score">{percent(mean.value)} <small>mean IoU on {number}{span}</small></p>'


def _warnings(report: Report) -> str:
    evaluation = report.evaluation
    told = []
    if evaluation.faults:
        told.append(
            f"{counted(len(evaluation.faults), 'picture')} could not be judged and have no part "
            "in any score."
        )
    if len(evaluation.names) < _FEW_PICTURES:
        told.append(
            f"{counted(len(evaluation.names), 'picture')} only: the scores say little about others."
        )
    if evaluation.units.of is None and evaluation.units.note:
        told.append(f"{evaluation.units.note[0].upper()}{evaluation.units.note[1:]}.")
    lines = "".join(f"<li>{escaped(line)}</li>" for line in told)
    return f'<ul class="warning" aria-label="Beware">{lines}</ul>' if lines else ""


def _card(report: Report) -> str:
    rows = "".join(
        f"<dt>{title}</dt><dd>{escaped(text)}</dd>"
        for title, text in card_rows(card_of(report.evaluation))
    )
    return f"<details><summary>Protocol</summary><dl>{rows}</dl></details>"


def _pictures(report: Report, addresses: dict[int, str]) -> str:
    evaluation = report.evaluation
    figures = [
        _figure(
            addresses[place],
            evaluation.names[place],
            f"{evaluation.names[place]}: mean IoU {percent(float(evaluation.by_picture[place]))}",
        )
        for place in sorted(addresses, key=lambda place: float(evaluation.by_picture[place]))
    ]
    return _grid(figures)


def _pair_pictures(report: Report, pictures: DrawnReport) -> str:
    names = (*report.evaluation.classes.names, "no class of the truth")
    subject = report.evaluation.subject
    figures = []
    for key, address in sorted(pictures.pairs.items()):
        seen = report.pairs[key]
        name = subject.truths.names[seen.place]
        told = f"{names[seen.pair.truth]} taken for {names[seen.pair.found]}: {name}"
        figures.append(_figure(address, name, told))
    return _grid(figures)


def _doubted(report: Report, pictures: DrawnReport) -> str:
    if not report.doubted:
        return ""
    names = report.evaluation.classes.names
    subject = report.evaluation.subject
    rows = []
    for number, doubted in enumerate(report.doubted, start=1):
        suspect = doubted.suspect
        cells = (
            str(number),
            subject.truths.names[doubted.place],
            names[suspect.truth],
            names[suspect.found],
            f"{suspect.area:,}",
            percent(suspect.sure),
            percent(suspect.left),
            "x {}, y {}".format(*suspect.box[:2]),
        )
        rows.append("<tr>" + "".join(f"<td>{escaped(cell)}</td>" for cell in cells) + "</tr>")
    titles = ("", "picture", "truth says", "model sees", "pixels", "sure of", "left", "where")
    heads = "".join(f'<th scope="col">{title}</th>' for title in titles)
    figures = []
    for key, address in sorted(pictures.doubted.items()):
        suspect = report.doubted[key].suspect
        name = subject.truths.names[report.doubted[key].place]
        told = (
            f"{key + 1}. {name}: labelled {names[suspect.truth]}, seen as {names[suspect.found]} "
            f"({percent(suspect.sure)})"
        )
        figures.append(_figure(address, name, told))
    return (
        f'<p class="note">{_DOUBTED_NOTE}</p>{_grid(figures)}'
        f"{SCROLL}<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _faults(report: Report) -> str:
    faults = report.evaluation.faults
    if not faults:
        return ""
    rows = "".join(
        f"<tr><td>{escaped(fault.file)}</td><td>{escaped(fault.what)}</td>"
        f"<td>{escaped(fault.got)}</td></tr>"
        for fault in faults[:_FAULTS]
    )
    more = len(faults) - _FAULTS
    rest = f"<p>… and {more:,} more.</p>" if more > 0 else ""
    heads = "".join(f'<th scope="col">{title}</th>' for title in ("picture", "what", "got"))
    return (
        f"{SCROLL}<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{rest}"
    )


def _figure(address: str, name: str, told: str) -> str:
    alt = escaped(f"photo, truth, prediction and errors of {name}")
    return (
        f'<figure><img src="{address}" alt="{alt}" loading="lazy">'
        f"<figcaption>{escaped(told)}</figcaption></figure>"
    )


def _grid(figures: Sequence[str]) -> str:
    return f'<div class="grid wide">{"".join(figures)}</div>' if figures else ""
