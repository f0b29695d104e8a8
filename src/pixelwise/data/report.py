"""The report on a data set as text for a terminal."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pixelwise.data.check import Report
from pixelwise.data.faults import Fault, Severity

__all__ = ["FaultKind", "by_kind", "facts_of", "report_text", "share"]

_SURE = 0.9
_WIDTH = 80
_SHOWN_FILES = 5
_MOST_SPLITS = 3
_LONGEST_NAME = 24
_LONGEST_GOT = 240
_INDENT = 13


@dataclass(frozen=True)
class FaultKind:
    """All faults of one kind.

    Attributes:
        what: their common words.
        severity: "error" or "warning".
        fixes: what to do, the most frequent first.
        faults: in their order.
    """

    what: str
    severity: Severity
    fixes: tuple[str, ...]
    faults: tuple[Fault, ...]


def by_kind(faults: Iterable[Fault]) -> tuple[FaultKind, ...]:
    """The faults grouped by their words: errors first, then the more frequent kinds."""
    groups: dict[tuple[Severity, str], list[Fault]] = {}
    for fault in faults:
        groups.setdefault((fault.severity, fault.what), []).append(fault)
    kinds = [
        FaultKind(
            what,
            severity,
            tuple(fix for fix, _ in Counter(f.fix for f in members if f.fix).most_common()),
            tuple(members),
        )
        for (severity, what), members in groups.items()
    ]
    return tuple(sorted(kinds, key=lambda kind: (kind.severity != "error", -len(kind.faults))))


def report_text(report: Report) -> list[str]:
    """The report in lines of at most 80 columns, but for names that are longer."""
    facts = report.facts()
    lines = [_title(facts), ""]
    lines += [line for title, told in facts_of(report, facts) for line in _entry(title, told)]
    lines += ["", *_classes(facts)]
    lines += _faults(report)
    lines += ["", _summary(report, facts)]
    return lines


def share(part: float) -> str:
    """A share of 0 … 1 in percent, with enough digits to tell it from nothing."""
    percent = 100 * part
    if percent == 0:
        return "–"
    if percent < 0.01:
        return "<0.01 %"
    return f"{percent:.2f} %" if percent < 1 else f"{percent:.1f} %"


def _sureness(sureness: float) -> str:
    """How sure a decision is, in words."""
    if sureness >= _SURE:
        return "sure"
    return "quite sure" if sureness >= 0.7 else "a guess"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _title(facts: dict[str, Any]) -> str:
    parts = [f"{name} {count:,}" for name, count in facts["splits"].items()]
    loose = facts["pictures"] - sum(facts["splits"].values())
    if parts and loose:
        parts.append(f"in no split {loose:,}")
    splits = f" ({', '.join(parts)})" if parts else ""
    return f"{facts['path']}: {_counted(facts['pictures'], 'picture')}{splits}"


def facts_of(report: Report, facts: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """What is told of a data set before its classes: titles, each with its lines.

    Args:
        report: the report.
        facts: its facts.
    """
    layout = f"{facts['layout']}, {_sureness(facts['sureness'])} ({facts['sureness']:.2f})"
    if facts["sureness"] < _SURE:
        layout += "; if it is another, say so: --layout, --images and --masks, --classes"
    rows = [
        ("layout", [layout, *facts["notes"]]),
        ("truth", [_truth(facts)]),
        ("sizes", [_sizes(facts["sizes"])]),
    ]
    forms = [f"{form['stored']} × {form['pictures']:,}" for form in facts["forms"]]
    rows.append(("files", [" · ".join(forms) or "none can be read"]))
    copies = sum(map(len, report.copies))
    alike = len(report.near)
    parts = [f"{copies:,} pictures are copies of each other"] if copies else []
    parts += [f"{alike:,} pair{'s look' if alike != 1 else ' looks'} alike"] if alike else []
    if parts:
        rows.append(("duplicates", ["; ".join(parts)]))
    groups = facts["groups"]
    if groups["kind"] != "none":
        rows.append(
            (
                "groups",
                [
                    f"{groups['pictures']:,} pictures in {groups['count']:,} groups of several "
                    f"({groups['kind']}, {_sureness(groups['sureness'])}): {groups['reason']}"
                ],
            )
        )
    return rows


def _truth(facts: dict[str, Any]) -> str:
    table = facts["class_table"]
    looked_at = _counted(facts["looked_at"], "picture")
    have = "has" if facts["looked_at"] == 1 else "have"
    parts = [f"{facts['labelled']:,} of {looked_at} {have} a readable truth"]
    if facts["objects"]:
        parts.append(_counted(facts["objects"], "object"))
    ignored = facts["ignored_pixels"]
    if ignored:
        total = ignored + facts["counted_pixels"]
        colours = " · ".join(
            f"{tuple(row['colour'])} × {row['pixels']:,} in {_counted(row['masks'], 'mask')}"
            for row in facts["ignored_colours"]
            if row["masks"]
        )
        told = f" ({colours})" if colours else ""
        parts.append(f"{share(ignored / total)} of the pixels are ignored{told}")
    elif table["ignore_index"] is None:
        parts.append("every pixel counts")
    if facts["rest"] is not None:
        names = {row["id"]: row["name"] for row in facts["classes"]}
        parts.append(f"{names[facts['rest']]!r} means: any class but the others of this table")
    return "; ".join(parts)


def _sizes(sizes: dict[str, Any]) -> str:
    def told(size: Sequence[int]) -> str:
        return f"{size[0]}×{size[1]}"

    if not sizes["distinct"]:
        return "none can be read"
    if sizes["distinct"] == 1:
        return f"all {told(sizes['least'])} (width × height)"
    return (
        f"{sizes['distinct']:,} different: {told(sizes['least'])} … {told(sizes['median'])} … "
        f"{told(sizes['greatest'])} (width × height; least, median, greatest)"
    )


def _classes(facts: dict[str, Any]) -> list[str]:
    """A table of the classes that occur, the most frequent first."""
    rows = [row for row in facts["classes"] if row["pictures"]]
    if not rows:
        return ["no class has a pixel"]
    rows.sort(key=lambda row: -row["pixels"])
    splits = list(facts["splits"]) if 1 < len(facts["splits"]) <= _MOST_SPLITS else []
    titles = ["id", "class", "pixels", "pictures", *splits]
    cells = [
        [
            str(row["id"]),
            _shortened(row["name"], _LONGEST_NAME),
            share(row["share"]),
            f"{row['pictures']:,}",
            *(share(row["splits"][name]["share"]) for name in splits),
        ]
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [titles, *cells]) for column in range(len(titles))]
    room = _WIDTH - sum(widths) - 2 * len(widths) - 2
    most = rows[0]["share"]
    lines = []
    for number, line in enumerate([titles, *cells]):
        told = [
            cell.ljust(width) if column == 1 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        bar = _bar(rows[number - 1]["share"] / most, min(room, 20)) if number else ""
        lines.append(f"  {'  '.join(told)}  {bar}".rstrip())
    return lines


def _bar(part: float, width: int) -> str:
    eighths = max(1, round(8 * width * part)) if width > 0 else 0
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _faults(report: Report) -> list[str]:
    lines = []
    for kind in by_kind(report.faults):
        times = len(kind.faults)
        count = f" × {times:,}" if times > 1 else ""
        lines += ["", *_wrapped(f"{kind.severity}{count}: {kind.what}", 0, 4)]
        for fault in kind.faults[:_SHOWN_FILES]:
            if fault.file:
                lines.append(f"    {fault.file}")
            if fault.got:
                lines += _wrapped(_shortened(fault.got, _LONGEST_GOT), 6, 6)
        if times > _SHOWN_FILES:
            lines.append(f"    … and {times - _SHOWN_FILES:,} more (--json lists all)")
        lines += [line for fix in kind.fixes[:2] for line in _wrapped(f"fix: {fix}", 2, 7)]
    return lines


def _summary(report: Report, facts: dict[str, Any]) -> str:
    errors = sum(fault.severity == "error" for fault in report.faults)
    warnings = len(report.faults) - errors
    seen = "" if report.complete else f"only {facts['looked_at']:,} pictures were looked at; "
    if not report.faults:
        return f"{seen}no faults found"
    return (
        f"{seen}{errors:,} error{'s' * (errors != 1)}, {warnings:,} warning{'s' * (warnings != 1)}"
    )


def _entry(title: str, told: Sequence[str]) -> list[str]:
    lines = [line for text in told for line in _wrapped(text, _INDENT, _INDENT)]
    return [f"  {title:<{_INDENT - 2}}{lines[0].lstrip()}", *lines[1:]]


def _wrapped(text: str, first: int, others: int) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=" " * first,
        subsequent_indent=" " * others,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
