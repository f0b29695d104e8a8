"""The report on a run as one page of HTML that holds all it shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pixelwise.data.charts import Curve, chart, small_chart
from pixelwise.data.page import (
    SCROLL,
    framed,
    picture_address,
    sections_with_links,
    swatch,
)
from pixelwise.data.wording import counted, duration, escaped, percent
from pixelwise.errors import PixelwiseError
from pixelwise.formats.images import read_image
from pixelwise.training.events import Quarantined, RolledBack
from pixelwise.training.history import History, Incident
from pixelwise.training.report import ClassScore, Report

__all__ = ["report_page"]

_WIDEST_PICTURE = 1100
_SMALL_CHARTS = 60
_INCIDENTS = 200
_FILES_OF_AN_INCIDENT = 16
_SMOOTHED_SHARE = 0.02
_LONGEST_VALUE = 400


def report_page(report: Report) -> str:
    """The page: score and protocol, warnings, curves, classes, pictures, events, plan.

    Nothing in it is fetched, and it runs no script. Names and values are text, whatever they hold.
    """
    history = report.history
    worst = [row.place for row in report.worst]
    others = [place for place in sorted(history.examples) if place not in worst]
    sections = [
        ("curves", "Curves", _curves(history)),
        ("classes", "Classes", _classes(report)),
        ("worst", "Worst pictures", _worst(report)),
        ("examples", "Examples", _pictures(history, [(place, "") for place in others])),
        ("events", "Events", _events(history.incidents)),
        ("plan", "Plan", _plan(history)),
    ]
    links, bodies = sections_with_links(sections)
    title = f"Training of {history.folder.resolve().name}"
    body = [
        f"<h1>{escaped(title)}</h1>",
        _verdict(report),
        _warnings(report.warnings),
        links,
        _facts(report),
        bodies,
    ]
    return framed(title, "\n".join(body))


def _verdict(report: Report) -> str:
    best = report.history.best
    if best is None:
        return '<p class="score">–<small> nothing scored yet</small></p>'
    interval = report.interval
    span = (
        f" · 95 % interval {percent(interval.low)} … {percent(interval.high)}" if interval else ""
    )
    return (
        f'<p class="score">{percent(best.mean_iou)} <small>mean IoU on the validation '
        f"pictures{span}</small></p>"
    )


def _warnings(warnings: Sequence[str]) -> str:
    lines = "".join(f"<li>{escaped(line)}</li>" for line in warnings)
    return f'<ul class="warning" aria-label="Beware">{lines}</ul>' if lines else ""


def _facts(report: Report) -> str:
    rows = [
        (title, [line for line in told if line])
        for title, told in (
            ("protocol", list(report.protocol)),
            ("model", _model(report.history)),
            ("course", _course(report.history)),
            ("data", _data(report.history)),
            ("speed", [_speed(report.history)]),
            ("machine", _machines(report.history)),
        )
    ]
    cells = "".join(
        f"<dt>{title}</dt><dd>{'<br>'.join(map(escaped, told))}</dd>"
        for title, told in rows
        if told
    )
    return f"<dl>{cells}</dl>"


def _model(history: History) -> list[str]:
    model = history.model
    if model is None:
        return []
    scores = [
        f"{score.metric} {percent(score.value)}: {score.protocol}" for score in model.card.scores
    ]
    size = f"{len(model.content) / 1e6:.1f} MB, SHA-256 {model.sha256}"
    return [f"{model.path.name}, {size}", *scores]


def _course(history: History) -> list[str]:
    start, best = history.start, history.best
    if start is None:
        return []
    done = history.stopped.epoch if history.stopped else None
    ended = (
        f"ended after {done} of {start.epochs} epochs: {history.stopped.why}"
        if (history.stopped)
        else f"not over; {counted(start.epochs, 'epoch')} are planned"
    )
    parts = [ended]
    if best is not None:
        right = best.pixel_accuracy
        accuracy = "" if right is None else f", {percent(right)} of all pixels right"
        parts.append(f"best epoch {best.epoch + 1}{accuracy}")
    return parts


def _data(history: History) -> list[str]:
    start = history.start
    if start is None:
        return []
    return [
        f"{counted(start.train, 'picture')} to learn from, {start.val:,} to validate, "
        f"{len(start.classes)} classes; {counted(start.parameters, 'parameter')}",
        *start.notes,
    ]


def _speed(history: History) -> str:
    parts = [duration(history.seconds)] if history.seconds else []
    if history.images_per_second is not None:
        parts.append(f"{history.images_per_second:,.1f} pictures/s")
    if history.memory_mib is not None:
        parts.append(f"at most {history.memory_mib:,.0f} MiB of memory")
    return " · ".join(parts)


def _machines(history: History) -> list[str]:
    told = []
    for machine in history.machines:
        versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
        told.append(
            f"{machine.device} · {machine.processor} · {counted(machine.cores, 'core')} · "
            f"{machine.system} · {machine.processes} process{'es' * (machine.processes != 1)} · "
            f"{versions}"
        )
    if history.start is not None:
        told.append(f"trained with pixelwise {history.start.version}")
    return list(dict.fromkeys(told))


def _curves(history: History) -> str:
    losses = [(float(step.step), step.loss) for step in history.steps]
    scores = [(float(score.epoch + 1), score.mean_iou) for score in history.scores]
    best = history.best
    mark, told = None, ""
    if best is not None and best.mean_iou is not None:
        mark = (best.epoch + 1.0, best.mean_iou)
        told = f": best {percent(best.mean_iou)} at epoch {best.epoch + 1}"
    drawn = [
        chart(f"mean IoU{told}", [Curve("", scores)], across="epoch", percent=True, mark=mark),
        chart(
            "loss",
            [Curve("each step", losses, "faint"), Curve("smoothed", _smoothed(losses))],
            across="step",
            logarithmic=True,
        ),
        chart(
            "learning rate",
            [Curve("", [(float(step.step), step.learning_rate) for step in history.steps])],
            across="step",
        ),
        chart(
            "gradient norm",
            [Curve("", [(float(step.step), step.gradient_norm) for step in history.steps])],
            across="step",
            logarithmic=True,
        ),
    ]
    charts = "".join(drawn)
    return f'<div class="charts">{charts}</div>' if charts else ""


def _smoothed(
    points: Sequence[tuple[float, float | None]],
) -> list[tuple[float, float | None]]:
    """A moving mean over the points before, a plain one while they are few."""
    window = max(5, round(_SMOOTHED_SHARE * len(points)))
    mean, seen = 0.0, 0
    smoothed: list[tuple[float, float | None]] = []
    for x, y in points:
        if y is not None:
            seen += 1
            mean += (y - mean) / min(seen, window)
            smoothed.append((x, mean))
    return smoothed


def _classes(report: Report) -> str:
    if not any(row.iou is not None for row in report.classes):
        return ""
    total = sum(row.pixels or 0 for row in report.classes)
    rows = "".join(_class_row(row, total) for row in report.classes)
    heads = "".join(
        f'<th class="number" scope="col">{title}</th>'
        for title in ("Dice", "precision", "recall", "pixels", "pictures")
    )
    return (
        f'{SCROLL}<table><thead><tr><th scope="col">class</th>'
        f'<th class="number" scope="col">IoU</th><th scope="col"><span class="bar-head">'
        f"0 … 100 %</span></th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        f"{_class_curves(report)}"
    )


def _class_row(row: ClassScore, total: int) -> str:
    width = 100 * (row.iou or 0)
    bar = f'<span class="track"><span class="bar" style="width:{width:.2f}%"></span></span>'
    share = percent(row.pixels / total) if row.pixels is not None and total else "–"
    pictures = "–" if row.pictures is None else f"{row.pictures:,}"
    numbers = (percent(row.dice), percent(row.precision), percent(row.recall), share, pictures)
    return (
        f'<tr><td class="name">{swatch(row.colour)}{escaped(row.name)}</td>'
        f'<td class="number">{percent(row.iou)}</td><td>{bar if row.iou is not None else ""}</td>'
        + "".join(f'<td class="number">{number}</td>' for number in numbers)
        + "</tr>"
    )


def _class_curves(report: Report) -> str:
    """IoU of each class over the epochs, the lowest first."""
    scores = report.history.scores
    if len(scores) < 2:
        return ""
    known = [
        (row.iou, channel, row) for channel, row in enumerate(report.classes) if row.iou is not None
    ]
    known.sort(key=lambda entry: entry[:2])
    figures = []
    for iou, channel, row in known[:_SMALL_CHARTS]:
        points = [
            (float(score.epoch + 1), score.iou[channel] if channel < len(score.iou) else None)
            for score in scores
        ]
        drawn = small_chart(points, points[-1][0])
        figures.append(
            f"<figure>{drawn}<figcaption><span>{swatch(row.colour)}{escaped(row.name)}</span>"
            f"<span>{percent(iou)}</span></figcaption></figure>"
        )
    rest = len(known) - _SMALL_CHARTS
    more = f"<p>{rest:,} classes with a higher IoU are not shown.</p>" if rest > 0 else ""
    return (
        "<h3>IoU over the epochs, 0 … 100 %, the lowest first</h3>"
        f'<div class="many">{"".join(figures)}</div>{more}'
    )


def _worst(report: Report) -> str:
    if not report.worst:
        return ""
    shown = [
        (row.place, f"{row.name}: mean IoU {percent(row.mean_iou)}")
        for row in report.worst
        if row.place in report.history.examples
    ]
    rest = "".join(
        f'<tr><td>{escaped(row.name)}</td><td class="number">{percent(row.mean_iou)}</td></tr>'
        for row in report.worst
        if row.place not in report.history.examples
    )
    table = (
        f'{SCROLL}<table><thead><tr><th scope="col">picture</th><th class="number" scope="col">'
        f"mean IoU</th></tr></thead><tbody>{rest}</tbody></table></div>"
    )
    return _pictures(report.history, shown) + (table if rest else "")


def _pictures(history: History, places: Sequence[tuple[int, str]]) -> str:
    names = history.counts.names if history.counts else ()
    figures = []
    for place, note in places:
        address = _data_address(history.examples[place])
        name = names[place] if place < len(names) else f"validation picture {place + 1}"
        if address:
            alt = escaped(f"photo, truth, prediction and errors of {name}")
            figures.append(
                f'<figure><img src="{address}" alt="{alt}" loading="lazy">'
                f"<figcaption>{escaped(note or name)}</figcaption></figure>"
            )
    return f'<div class="grid wide">{"".join(figures)}</div>' if figures else ""


def _data_address(path: Path) -> str:
    """The picture as a `data:` address; "" where it cannot be read."""
    try:
        return picture_address(read_image(path), widest=_WIDEST_PICTURE)
    except (PixelwiseError, OSError):
        return ""


def _events(incidents: Sequence[Incident]) -> str:
    if not incidents:
        return ""
    rows = "".join(
        f"<tr><td>{what}</td><td>{escaped(told)}</td></tr>"
        for what, told in map(_event, incidents[:_INCIDENTS])
    )
    rest = len(incidents) - _INCIDENTS
    more = f"<p>… and {rest:,} more: see report.json.</p>" if rest > 0 else ""
    return (
        f'{SCROLL}<table><thead><tr><th scope="col">what</th><th scope="col">details</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>{more}"
    )


def _event(incident: Incident) -> tuple[str, str]:
    if isinstance(incident, Quarantined):
        return "file left out", f"{incident.file}: {incident.what}"
    if isinstance(incident, RolledBack):
        names = ", ".join(incident.names[:_FILES_OF_AN_INCIDENT])
        more = len(incident.names) - _FILES_OF_AN_INCIDENT
        rest = f" and {more:,} more" if more > 0 else ""
        return "step taken back", f"step {incident.step}: {incident.why} ({names}{rest})"
    return "smaller batches", f"parts of {counted(incident.micro_batch, 'picture')}"


def _plan(history: History) -> str:
    rows = "".join(
        f"<tr><td><code>{escaped(choice.name)}</code></td><td>{escaped(_value(choice.value))}</td>"
        f'<td class="reason">{escaped(choice.reason)}</td></tr>'
        for choice in history.plan
    )
    heads = "".join(f'<th scope="col">{title}</th>' for title in ("choice", "value", "reason"))
    table = f'<table class="plan"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    return f"{SCROLL}{table}</div>" if rows else ""


def _value(value: object) -> str:
    if value is None:
        return "–"
    told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return told if len(told) <= _LONGEST_VALUE else f"{told[:_LONGEST_VALUE]} …"
