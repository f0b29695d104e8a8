"""Numbers in words, the same on the terminal and in reports."""

from __future__ import annotations

import html

from pixelwise.percentages import percent

__all__ = ["counted", "duration", "escaped", "percent", "printable"]


def duration(seconds: float) -> str:
    """Such as "40 s", "12 min", "1 h 05 min", "3 d 4 h"."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def counted(count: int, what: str) -> str:
    """Such as "1 picture", "1,200 pictures"."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def printable(text: object) -> str:
    """A text in one line, with control characters written out: no file name commands a screen."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(text))


def escaped(text: object) -> str:
    """Any text as text in a page of HTML, in attributes too."""
    return html.escape(printable(text), quote=True)
