"""The report on a data set as one page of HTML that holds all it shows."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from importlib import resources
from string import Template
from typing import Any

import numpy as np

from pixelwise.data.check import Report
from pixelwise.data.findings import background_of
from pixelwise.data.report import FaultKind, by_kind, facts_of, share
from pixelwise.data.thumbnails import thumbnail
from pixelwise.version import VERSION

__all__ = ["report_page"]

_SIDE, _SMALL_SIDE = 320, 176
_SAMPLES = 12
_EXAMPLES = 3
_CLASSES_WITH_EXAMPLES = 48
_PAIRS = 12
_GROUPS = 12
_FAULT_ROWS = 200
_FAULT_PICTURES = 4
_MOST_PIXELS = 1e9
# What scrolls must be reached by keyboard too.
_SCROLL = '<div class="scroll" tabindex="0" role="region" aria-label="table">'


def report_page(report: Report) -> str:
    """The page: facts, class balance, faults, samples, examples of classes, duplicates, groups.

    Nothing in it is fetched, and it runs no script. Names and values are text, whatever they hold.
    """
    facts = report.facts()
    pictures = _Pictures(report)
    sections = [
        ("faults", "Faults", _faults(report, pictures)),
        ("classes", "Classes", _classes(facts)),
        ("samples", "Samples", _samples(report, pictures)),
        ("examples", "Examples of each class", _examples(report, facts, pictures)),
        ("duplicates", "Duplicates", _duplicates(report, pictures)),
        ("groups", "Groups", _groups(report, pictures)),
    ]
    shown = [(name, title, body) for name, title, body in sections if body]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in shown)
    body = [
        f"<h1>{_text(_title(facts))}</h1>",
        _verdict(report),
        f'<nav aria-label="Sections">{links}</nav>',
        _facts(report, facts),
        *(
            f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{content}</section>'
            for name, title, content in shown
        ),
    ]
    template = resources.files("pixelwise.data").joinpath("report_page.html").read_text("utf-8")
    return Template(template).substitute(
        title=_text(f"{_title(facts)}: data check"), body="\n".join(body), version=VERSION
    )


class _Pictures:
    """Figures of samples, by place."""

    def __init__(self, report: Report) -> None:
        self._dataset = report.dataset
        place = background_of(report.dataset)
        self._background = None if place is None else report.dataset.classes.ids[place]
        self._places: dict[str, int] = {}
        for number, entry in enumerate(report.dataset.entries[: len(report.statistics)]):
            self._places.setdefault(entry.image, number)
            if entry.truth and entry.row < 0:
                self._places.setdefault(entry.truth, number)

    def place_of(self, file: str) -> int | None:
        """The sample that a picture or mask file belongs to."""
        return self._places.get(file)

    def pair(self, place: int, note: str = "") -> str:
        """Picture and overlay side by side."""
        entry = self._dataset.entries[place]
        drawn = thumbnail(self._dataset, entry, side=_SIDE, background=self._background)
        name = _text(entry.image)
        images = _image(drawn.picture, f"picture {name}")
        images += _image(drawn.overlay, f"classes over {name}")
        return _figure(f'<div class="pair">{images}</div>', entry.image, note)

    def example(self, place: int, number: int, note: str) -> str:
        """The picture with one class coloured."""
        entry = self._dataset.entries[place]
        drawn = thumbnail(
            self._dataset, entry, side=_SMALL_SIDE, background=self._background, only=number
        )
        return _figure(_image(drawn.overlay, f"class in {_text(entry.image)}"), entry.image, note)

    def single(self, place: int, note: str = "") -> str:
        """The picture alone."""
        entry = self._dataset.entries[place]
        drawn = thumbnail(self._dataset, entry, side=_SMALL_SIDE, background=self._background)
        return _figure(_image(drawn.picture, f"picture {_text(entry.image)}"), entry.image, note)


def _text(value: object) -> str:
    """Any text as text: markup escaped, and what cannot be shown or encoded written out."""
    shown = "".join(
        letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(value)
    )
    return html.escape(shown, quote=True)


def _image(address: str, alt: str) -> str:
    """`alt` is escaped already."""
    return f'<img src="{address}" alt="{alt}" loading="lazy">' if address else ""


def _figure(images: str, name: str, note: str) -> str:
    caption = f"{_text(name)}<br>{_text(note)}" if note else _text(name)
    return f"<figure>{images}<figcaption>{caption}</figcaption></figure>"


def _grid(figures: Iterable[str], *, small: bool = False) -> str:
    return f'<div class="grid{" small" * small}">{"".join(figures)}</div>'


def _title(facts: dict[str, Any]) -> str:
    return f"{facts['path']}: {facts['pictures']:,} picture{'s' * (facts['pictures'] != 1)}"


def _verdict(report: Report) -> str:
    errors = sum(fault.severity == "error" for fault in report.faults)
    warnings = len(report.faults) - errors
    partial = "" if report.complete else "Interrupted: not all pictures were looked at. "
    if not report.faults:
        return f'<p class="good">{partial}No faults found.</p>'
    kind = "error" if errors else "warning"
    told = f"{errors:,} error{'s' * (errors != 1)}, {warnings:,} warning{'s' * (warnings != 1)}"
    return f'<p class="{kind}">{partial}{told}.</p>'


def _facts(report: Report, facts: dict[str, Any]) -> str:
    rows = "".join(
        f"<dt>{_text(title)}</dt><dd>{'<br>'.join(_text(line) for line in told)}</dd>"
        for title, told in facts_of(report, facts)
    )
    return f"<dl>{rows}</dl>"


def _classes(facts: dict[str, Any]) -> str:
    rows = sorted(facts["classes"], key=lambda row: -row["pixels"])
    most = max((row["share"] for row in rows), default=0) or 1
    colours = {info["id"]: info["colour"] for info in facts["class_table"]["classes"]}
    splits = list(facts["splits"]) if len(facts["splits"]) > 1 else []
    heads = "".join(f'<th class="number" scope="col">{_text(name)}</th>' for name in splits)
    lines = []
    for row in rows:
        red, green, blue = colours[row["id"]]
        swatch = f'<span class="swatch" style="background:rgb({red},{green},{blue})"></span>'
        width = 100 * row["share"] / most
        bar = f'<span class="track"><span class="bar" style="width:{width:.2f}%"></span></span>'
        cells = "".join(
            f'<td class="number">{share(row["splits"][name]["share"])}</td>' for name in splits
        )
        lines.append(
            f'<tr><td class="number">{row["id"]}</td>'
            f'<td class="name">{swatch}{_text(row["name"])}</td>'
            f'<td class="number">{share(row["share"])}</td><td>{bar if row["pixels"] else ""}</td>'
            f'<td class="number">{row["pictures"]:,}</td>{cells}</tr>'
        )
    return (
        f'{_SCROLL}<table><thead><tr><th class="number" scope="col">id</th>'
        '<th scope="col">class</th><th class="number" scope="col">pixels</th>'
        '<th scope="col">balance</th><th class="number" scope="col">pictures</th>'
        f"{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _faults(report: Report, pictures: _Pictures) -> str:
    return "".join(_fault_kind(kind, pictures) for kind in by_kind(report.faults))


def _fault_kind(kind: FaultKind, pictures: _Pictures) -> str:
    rows = "".join(
        f"<tr><td>{_text(fault.file) or 'the data set'}</td><td>{_text(fault.got)}</td></tr>"
        for fault in kind.faults[:_FAULT_ROWS]
    )
    rest = len(kind.faults) - _FAULT_ROWS
    more = f"<p>… and {rest:,} more; --json lists all.</p>" if rest > 0 else ""
    fixes = "".join(f'<p class="fix">Fix: {_text(fix)}</p>' for fix in kind.fixes[:3])
    places = [pictures.place_of(fault.file) for fault in kind.faults[:_FAULT_PICTURES]]
    shown = _grid(pictures.pair(place) for place in places if place is not None)
    return (
        f'<details open><summary><span class="{kind.severity}">{kind.severity}</span>: '
        f"{_text(kind.what)} ({len(kind.faults):,})</summary>{fixes}"
        f'{_SCROLL}<table><thead><tr><th scope="col">file</th>'
        f'<th scope="col">found</th></tr></thead><tbody>{rows}</tbody></table></div>{more}'
        f"{shown if any(place is not None for place in places) else ''}</details>"
    )


def _samples(report: Report, pictures: _Pictures) -> str:
    """A spread over the data set, of those that can be read."""
    readable = np.flatnonzero(report.statistics.readable)
    if not len(readable):
        return ""
    chosen = np.unique(np.linspace(0, len(readable) - 1, _SAMPLES).round().astype(int))
    return _grid(pictures.pair(place) for place in readable[chosen].tolist())


def _examples(report: Report, facts: dict[str, Any], pictures: _Pictures) -> str:
    """For each class the pictures that show most of it."""
    statistics = report.statistics
    owners = statistics.owners
    areas = np.maximum(statistics.areas, 1)
    parts = []
    rows = sorted(facts["classes"], key=lambda row: -row["pixels"])
    rows = [row for row in rows if row["pictures"]]
    shown = rows[:_CLASSES_WITH_EXAMPLES]
    # Each example is decoded again, which takes its time where pictures are large.
    work = len(shown) * float(np.median(areas)) if shown else 1.0
    examples = int(np.clip(_MOST_PIXELS / work, 1, _EXAMPLES))
    for row in shown:
        its = np.flatnonzero(statistics.places == report.dataset.classes.index(row["id"]))
        shares = statistics.pixels[its] / areas[owners[its]]
        best = its[np.argsort(-shares, kind="stable")[:examples]]
        figures = [
            pictures.example(place, row["id"], share(part))
            for place, part in zip(
                owners[best].tolist(), (statistics.pixels[best] / areas[owners[best]]), strict=True
            )
        ]
        parts.append(f"<h3>{_text(row['name'])}</h3>{_grid(figures, small=True)}")
    if len(rows) > _CLASSES_WITH_EXAMPLES:
        parts.append(f"<p>{len(rows) - _CLASSES_WITH_EXAMPLES} rarer classes are not shown.</p>")
    return "".join(parts)


def _duplicates(report: Report, pictures: _Pictures) -> str:
    """Copies, then what looks alike, side by side."""
    pairs = [(places[:2].tolist(), f"{len(places):,} copies") for places in report.copies[:_PAIRS]]
    pairs += [
        ([one, other], f"{bits} of 64 bits apart")
        for one, other, bits in report.near[: _PAIRS - len(pairs)].tolist()
    ]
    if not pairs:
        return ""
    figures = [_side_by_side(pictures, places, note) for places, note in pairs]
    rest = len(report.copies) + len(report.near) - len(pairs)
    more = f"<p>… and {rest:,} more; --json lists all.</p>" if rest > 0 else ""
    return _grid(figures) + more


def _side_by_side(pictures: _Pictures, places: Sequence[int], note: str) -> str:
    singles = "".join(pictures.single(place) for place in places)
    return f'<div><div class="pair">{singles}</div><p class="note">{_text(note)}</p></div>'


def _groups(report: Report, pictures: _Pictures) -> str:
    """The largest groups: first, middle and last picture."""
    groups = report.groups
    if groups.kind == "none":
        return ""
    largest = np.argsort(-groups.sizes, kind="stable")[: np.count_nonzero(groups.sizes > 1)]
    parts = [f"<p>{_text(groups.kind)}: {_text(groups.reason)}</p>"]
    for number in largest[:_GROUPS].tolist():
        places = np.flatnonzero(groups.of == number)
        chosen = places[np.unique([0, len(places) // 2, len(places) - 1])]
        parts.append(
            f"<h3>{len(places):,} pictures</h3>"
            + _grid((pictures.single(place) for place in chosen.tolist()), small=True)
        )
    if len(largest) > _GROUPS:
        parts.append(f"<p>… and {len(largest) - _GROUPS:,} more groups.</p>")
    return "".join(parts)
