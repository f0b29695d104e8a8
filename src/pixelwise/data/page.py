"""Pages of HTML that hold all they show: the frame, its style, and pictures as addresses."""

from __future__ import annotations

import base64
import io
from importlib import resources
from string import Template

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.colours import Colour
from pixelwise.data.wording import escaped
from pixelwise.version import VERSION

__all__ = ["SCROLL", "Section", "framed", "picture_address", "sections_with_links", "swatch"]

Section = tuple[str, str, str]
"""Its name in addresses, its title, its content; one without content is left out."""

# What scrolls must be reached by keyboard too.
SCROLL = '<div class="scroll" tabindex="0" role="region" aria-label="table">'
_QUALITY = 88


def framed(title: str, body: str) -> str:
    """The page; nothing in it is fetched, and it runs no script.

    Args:
        title: any text.
        body: HTML.
    """
    folder = resources.files("pixelwise.data")
    page = folder.joinpath("report_page.html").read_text("utf-8")
    style = folder.joinpath("report_style.css").read_text("utf-8")
    template = Template(page.replace("</style>", f"{style}</style>", 1))
    return template.substitute(title=escaped(title), body=body, version=VERSION)


def sections_with_links(sections: list[Section]) -> tuple[str, str]:
    """Links to the sections that have content, and these sections, as HTML."""
    shown = [(name, title, content) for name, title, content in sections if content]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in shown)
    bodies = (
        f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{content}</section>'
        for name, title, content in shown
    )
    return f'<nav aria-label="Sections">{links}</nav>', "\n".join(bodies)


def picture_address(picture: NDArray[np.uint8], *, widest: int) -> str:
    """A picture `[H, W, 3]` as a `data:` address of a JPEG, at most so many pixels wide."""
    image = Image.fromarray(picture)
    if image.width > widest:
        height = max(1, round(image.height * widest / image.width))
        image = image.resize((widest, height), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    # At full resolution of colour, for the colours are what the picture tells.
    image.save(stream, "JPEG", quality=_QUALITY, subsampling=0, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def swatch(colour: Colour | None) -> str:
    """A small square of that colour; nothing for None."""
    if colour is None:
        return ""
    red, green, blue = colour
    return f'<span class="swatch" style="background:rgb({red},{green},{blue})"></span>'
