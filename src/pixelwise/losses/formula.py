"""Sums of losses written as text: `"cross-entropy + 0.5 tversky(alpha=0.3, beta=0.7)"`."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pixelwise.errors import UsageError, did_you_mean

__all__ = ["FormulaTerm", "Option", "parse_formula"]

_BETWEEN_TERMS = re.compile(r"\+(?![^(]*\))")
_TERM = re.compile(
    r"(?P<weight>[\d.][\d.eE-]*)?\s*\*?\s*(?P<name>[a-z][a-z-]*)\s*(?:\((?P<options>[^()]*)\))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Option:
    """What a number in the brackets of a term may be: `least` to `most`, both included."""

    default: float
    least: float
    most: float
    whole: bool = False

    def allows(self, value: float) -> bool:
        """Whether the option may be this number."""
        return self.least <= value <= self.most and not (self.whole and value % 1)

    def __str__(self) -> str:
        kind = "whole number" if self.whole else "number"
        return f"{kind} from {_number(self.least)} to {_number(self.most)}"


@dataclass(frozen=True)
class FormulaTerm:
    """One term of a sum; `str` gives it with every option written out."""

    weight: float
    name: str
    options: Mapping[str, float]

    def __str__(self) -> str:
        weight = "" if self.weight == 1 else f"{_number(self.weight)} "
        options = ", ".join(f"{name}={_number(value)}" for name, value in self.options.items())
        return f"{weight}{self.name}({options})" if options else f"{weight}{self.name}"


def parse_formula(text: str, known: Mapping[str, Mapping[str, Option]]) -> tuple[FormulaTerm, ...]:
    """Reads a sum of losses.

    Args:
        text: terms with `+` between them; each a name, before it perhaps a weight above 0, after
            it perhaps options in brackets.
        known: the names, and the options of each.

    Raises:
        UsageError: lists every fault of the text.
    """
    faults: list[str] = []
    terms = [_term(part.strip(), known, faults) for part in _BETWEEN_TERMS.split(text)]
    found = [term for term in terms if term is not None]
    names = Counter(term.name for term in found)
    faults += [f"{name}: more than once" for name, times in names.items() if times > 1]
    if faults:
        raise UsageError(
            "the loss cannot be understood",
            where=f"loss {text!r}",
            got="; ".join(faults),
            fix='write a sum of names, such as "cross-entropy + 0.5 dice"',
        )
    return tuple(found)


def _term(
    text: str, known: Mapping[str, Mapping[str, Option]], faults: list[str]
) -> FormulaTerm | None:
    match = _TERM.fullmatch(text)
    if match is None:
        faults.append(f"{text!r}: not of the form `0.5 name(option=2)`")
        return None
    name = match["name"].lower()
    if name not in known:
        faults.append(f"{name}: no such loss ({did_you_mean(name, known)})")
        return None
    weight = _read_number(match["weight"] or "1")
    if weight is None or weight <= 0:
        faults.append(f"{text!r}: the weight is not a number above 0")
        return None
    options = _options(name, match["options"] or "", known[name], faults)
    return FormulaTerm(weight, name, options)


def _options(
    term: str, text: str, known: Mapping[str, Option], faults: list[str]
) -> dict[str, float]:
    given: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, written = (piece.strip() for piece in part.partition("="))
        value = _read_number(written)
        if name not in known:
            choices = did_you_mean(name, known) if known else "it has none"
            faults.append(f"{term}({part}): no such option ({choices})")
        elif name in given:
            faults.append(f"{term}: {name} more than once")
        elif value is None or not known[name].allows(value):
            faults.append(f"{term}({part}): not a {known[name]}")
        else:
            given[name] = value
    return {name: given.get(name, option.default) for name, option in known.items()}


def _read_number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
