"""The protocol card: what a score needs beside it to mean something."""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelwise.data.wording import counted, percent
from pixelwise.evaluation.evaluate import Evaluated, Evaluation
from pixelwise.version import VERSION

__all__ = ["card_of", "card_rows"]

_SIZES_SHOWN = 3


def card_of(evaluation: Evaluated) -> dict[str, Any]:
    """The card as plain data."""
    subject = evaluation.subject
    return {
        **subject.predictions.facts,
        **subject.truths.facts,
        "pictures": len(evaluation.names),
        "left_out": len(evaluation.faults),
        "picture_hash": subject.picture_hash(),
        "sizes": _sizes(evaluation),
        "classes": list(evaluation.classes.names),
        "map": list(subject.match.notes),
        "ignored": _ignored(evaluation),
        "averaging": [measure.told for measure in evaluation.measures],
        "interval": _interval(evaluation),
        "pixelwise": VERSION,
    }


def card_rows(card: dict[str, Any]) -> list[tuple[str, str]]:
    """The card for people: title and text."""
    left_out = f", {counted(card['left_out'], 'picture')} left out" if card["left_out"] else ""
    hashes = [card[key] for key in ("model_hash", "predictions_hash") if key in card]
    rows = [
        ("predictions", card["predictions"]),
        ("SHA-256", hashes[0] if hashes else ""),
        ("input", card.get("input", "")),
        ("data", card["data"]),
        ("split", f"{card['split']}: {counted(card['pictures'], 'picture')}{left_out}"),
        ("training", card.get("learned", "")),
        ("picture list", f"SHA-256 {card['picture_hash']}"),
        ("sizes", card["sizes"]),
        ("classes", f"{len(card['classes'])}: {', '.join(card['classes'])}"),
        ("map", "; ".join(card["map"]) or "by name"),
        ("ignored", card["ignored"]),
        *(("averaging", line) for line in card["averaging"]),
        ("interval", card["interval"]),
        ("pixelwise", card["pixelwise"]),
    ]
    return [(title, text) for title, text in rows if text]


def _sizes(evaluation: Evaluated) -> str:
    sizes, counts = np.unique(np.array(evaluation.sizes), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_SIZES_SHOWN]
    shown = ", ".join(f"{sizes[place][1]}×{sizes[place][0]}" for place in order)
    more = f" and {len(sizes) - len(order):,} more" if len(sizes) > len(order) else ""
    return f"each picture at the size of its truth, never resized: {shown}{more} (width × height)"


def _ignored(evaluation: Evaluated) -> str:
    subject = evaluation.subject
    number = subject.truths.classes.ignore_index
    if isinstance(evaluation, Evaluation):
        rules = [] if number is None else [f"id {number} of the truth"]
        rules += ["classes ignored by the map"] if subject.match.ignores else []
    else:
        rules = ["what the truth ignores, in every class"] if evaluation.ignored else []
    if not rules:
        return "nothing: every pixel counts"
    share = evaluation.ignored / sum(height * width for height, width in evaluation.sizes)
    return (
        f"{' and '.join(rules)}: {percent(share)} of all pixels; what is predicted there changes "
        "no figure"
    )


def _interval(evaluation: Evaluated) -> str:
    units = evaluation.units
    if units.count < 2:
        return "none: there is one picture"
    note = f"; {units.note}" if units.note else ""
    return f"95 %, studentised jackknife over {units.count:,} {units.kind}{note}"
