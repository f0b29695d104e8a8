"""A font that has the letters of a text: Pillow's own, or one of the system."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import ImageFont

__all__ = ["Lettering", "lettering"]

_SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "LiberationSans-Regular.ttf",
    "FreeSans.ttf",
    "arialuni.ttf",
    "Arial Unicode.ttf",
    "arial.ttf",
    "Arial.ttf",
    "msyh.ttc",
    "Hiragino Sans GB.ttc",
)
# Never a letter: every font shows its sign for what it lacks.
_NO_LETTER = "\uffff"


@dataclass(frozen=True, eq=False)
class Lettering:
    """Texts, and a font that can show them.

    Attributes:
        font: has every letter of the texts.
        texts: of one line each.
    """

    font: ImageFont.FreeTypeFont
    texts: tuple[str, ...]


def lettering(texts: Sequence[str], size: int) -> Lettering:
    """Pillow's built-in font where it has all letters, else the font of the system with the most.

    What no font has loses its accents, or becomes "?". What cannot be shown, such as a line break,
    is written out as in Python.

    Args:
        texts: of any letters.
        size: of the letters, in pixels.
    """
    # One letter with its accent, where there is such, as fonts have them.
    lines = [unicodedata.normalize("NFC", text) for text in texts]
    lines = ["".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in lines]
    wanted = {letter for line in lines for letter in line if not letter.isascii()}
    best, most = None, frozenset[str]()
    for font in _fonts(size):
        had = _had(font, wanted)
        if best is None or len(had) > len(most):
            best, most = font, had
        if len(most) == len(wanted):
            break
    if best is None:
        raise RuntimeError("Pillow has a font of its own")
    return Lettering(best, tuple("".join(_shown(c, most) for c in line) for line in lines))


def _fonts(size: int) -> Iterator[ImageFont.FreeTypeFont]:
    built_in = ImageFont.load_default(size)
    if isinstance(built_in, ImageFont.FreeTypeFont):
        yield built_in
    for name in _SYSTEM_FONTS:
        try:
            yield ImageFont.truetype(name, size)
        except OSError:
            continue


def _had(font: ImageFont.FreeTypeFont, letters: set[str]) -> frozenset[str]:
    lacking = _drawn(font, _NO_LETTER)
    return frozenset(c for c in letters if c.isspace() or _drawn(font, c) != lacking)


def _drawn(font: ImageFont.FreeTypeFont, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


def _shown(letter: str, had: frozenset[str]) -> str:
    if letter.isascii() or letter in had:
        return letter
    plain = "".join(c for c in unicodedata.normalize("NFKD", letter) if c.isascii())
    return plain or "?"
