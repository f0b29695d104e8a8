"""From the flags of the command line to a `Refinement`; `Refinement.to_flags` is the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pixelwise.class_entries import listed, shown
from pixelwise.errors import SettingsError, did_you_mean
from pixelwise.refine.options import WHOLE
from pixelwise.refine.plan import Refinement

__all__ = ["SUPERPIXELS", "read_refinement"]

SUPERPIXELS = "superpixels"


def read_refinement(
    *,
    refine: str = "none",
    snap: str | None = None,
    smooth: int = 0,
    fill_holes: Sequence[str] = (),
    keep_largest: Sequence[str] = (),
    min_area: int = 0,
) -> Refinement:
    """What the flags ask for.

    Args:
        refine: `METHOD[:NAME=VALUE,…]`, such as "crf:iterations=3,colour_weight=4".
        snap: "superpixels", or None.
        smooth: radius in pixels; 0: not at all.
        fill_holes: names of classes.
        keep_largest: names of classes.
        min_area: in pixels; 0: not at all.

    Raises:
        SettingsError: lists everything that is wrong.
    """
    faults: list[str] = []
    method, _, text = refine.partition(":")
    options = _read_options(text, faults) if text.strip() else {}
    if snap not in (None, SUPERPIXELS):
        faults.append(f"--snap {shown(snap)}: {did_you_mean(str(snap)[:80], [SUPERPIXELS])}")
    try:
        asked = Refinement(
            method=method.strip().lower(),  # type: ignore[arg-type]  # it is checked there
            options=options,
            snap=snap is not None,
            smooth=smooth,
            fill_holes=tuple(fill_holes),
            keep_largest=tuple(keep_largest),
            min_area=min_area,
        )
    except SettingsError as error:
        faults.append(error.got)
    if faults:
        raise SettingsError(
            "results cannot be refined so",
            got=listed(faults),
            fix="correct all that is listed, as in --refine crf:iterations=3,colour_weight=4",
        )
    return asked


def _read_options(text: str, faults: list[str]) -> dict[str, Any]:
    """Names and numbers; what is no number stays a text, which `Refinement` refuses."""
    options: dict[str, Any] = {}
    for pair in text.split(","):
        key, equals, value = (part.strip() for part in pair.partition("="))
        name = key.lower().replace("-", "_")
        if not equals or not name:
            faults.append(f"--refine … {shown(pair)}: expected NAME=VALUE")
        elif name in options:
            faults.append(f"--refine … {shown(pair)}: {name} is given twice")
        else:
            options[name] = _number(name, value)
    return options


def _number(name: str, text: str) -> float | str:
    try:
        return int(text) if name in WHOLE else float(text)
    except ValueError:
        return text
