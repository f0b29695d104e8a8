"""The language of searches: from a text to conditions on shares of classes.

    query     = all { "or" all }
    all       = one { "and" one }
    one       = "not" one | "(" query ")" | condition
    condition = class [ ( ">" | ">=" | "<" | "<=" ) number [ "%" ] ] [ "in" place ]
    class     = word | "'" … "'" | '"' … '"'
    place     = ( "left" | "right" | "top" | "bottom" ) [ "half" ] | "centre"
              | ( "top" | "bottom" ) ( "left" | "right" ) | "cell" row "," column "of" cells

A class without a number is there at all: more than 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import UsageError
from pixelwise.searching.places import CELL_COUNTS, Place, cell_place, named_place

__all__ = ["AllOf", "AnyOf", "Condition", "Not", "Query", "conditions_of", "holds", "parse"]

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<quoted>"[^"]*"|'[^']*')
  | (?P<number>\d+(?:\.\d+)?|\.\d+)
  | (?P<compare>>=|<=|≥|≤|>|<)
  | (?P<sign>[()%,])
  | (?P<word>[^\W\d][\w./-]*)
  | (?P<other>\S)
  )""",
    re.VERBOSE,
)
_KEYWORDS = {"and", "or", "not", "in"}
_COMPARISONS = {"≥": ">=", "≤": "<="}
_DEEPEST = 50
_LONGEST = 10_000
# Python refuses to read numbers of thousands of digits.
_LONGEST_WHOLE = 10
_PLACES = (
    "left, right, top, bottom (halves), top left, …, centre (the middle half of both sides), "
    "or cell ROW,COLUMN of 2, 4 or 8"
)


@dataclass(frozen=True)
class Condition:
    """What is asked of the share of one class.

    Attributes:
        name: of the class, as it was written.
        compare: ">", ">=", "<" or "<=".
        share: 0..1, to compare with.
        place: where in the picture; None: in all of it.
        start: where the name stands in the text.
    """

    name: str
    compare: str
    share: float
    place: Place | None
    start: int

    @property
    def title(self) -> str:
        """Class and place, as a column of results is called."""
        return self.name if self.place is None else f"{self.name} in {self.place.name}"


@dataclass(frozen=True)
class Not:
    """What must not hold."""

    part: Query


@dataclass(frozen=True)
class AllOf:
    """What must hold together."""

    parts: tuple[Query, ...]


@dataclass(frozen=True)
class AnyOf:
    """Of which one must hold."""

    parts: tuple[Query, ...]


Query: TypeAlias = Condition | Not | AllOf | AnyOf


def conditions_of(query: Query) -> list[Condition]:
    """Every condition in a query, in the order in which they were written."""
    if isinstance(query, Condition):
        return [query]
    parts = (query.part,) if isinstance(query, Not) else query.parts
    return [condition for part in parts for condition in conditions_of(part)]


def holds(query: Query, shares: Callable[[Condition], NDArray[np.float64]]) -> NDArray[np.bool_]:
    """For which pictures a query holds, bool `[n]`.

    Args:
        query: what is asked.
        shares: gives the shares that a condition is about, float64 `[n]`.
    """
    if isinstance(query, Not):
        return ~holds(query.part, shares)
    if isinstance(query, AllOf | AnyOf):
        join = np.logical_and if isinstance(query, AllOf) else np.logical_or
        found: NDArray[np.bool_] = join.reduce([holds(part, shares) for part in query.parts])
        return found
    compare = {
        ">": np.greater,
        ">=": np.greater_equal,
        "<": np.less,
        "<=": np.less_equal,
    }[query.compare]
    answer: NDArray[np.bool_] = compare(shares(query), query.share)
    return answer


def parse(text: str) -> Query:
    """What a text asks for.

    Raises:
        UsageError: the text is no query; the message points at the place.
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise UsageError(f"a search is a text of at most {_LONGEST:,} letters", got=repr(text)[:60])
    return _Parser(text).parse()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int


class _Parser:
    """One rule of the grammar each; `_next` is the token that is looked at."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [
            _Token(str(match.lastgroup), match[str(match.lastgroup)], match.start(match.lastgroup))
            for match in _TOKEN.finditer(text)
            if match.lastgroup is not None
        ]
        self._tokens.append(_Token("end", "", len(text.rstrip())))
        self._at = 0
        self._depth = 0

    def parse(self) -> Query:
        query = self._any()
        if self._next.kind != "end":
            self._refuse_rest()
        return query

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += token.kind != "end"
        return token

    def _takes(self, *words: str) -> str:
        """The next token if it is one of these words or signs, else nothing."""
        token = self._next
        if token.kind in {"word", "sign"} and token.text.lower() in words:
            return self._take().text.lower()
        return ""

    def _any(self) -> Query:
        parts = [self._all()]
        while self._takes("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all(self) -> Query:
        parts = [self._one()]
        while self._takes("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _one(self) -> Query:
        self._depth += 1
        if self._depth > _DEEPEST:
            self._refuse("too many brackets and nots in each other", f"at most {_DEEPEST}")
        found: Query
        if self._takes("not"):
            found = Not(self._one())
        elif self._takes("("):
            found = self._any()
            if not self._takes(")"):
                self._refuse("a bracket is not closed", "a ) is missing, or an and or or before")
        else:
            found = self._condition()
        self._depth -= 1
        return found

    def _condition(self) -> Condition:
        token = self._next
        is_name = token.kind in {"quoted", "word"}
        if token.text in {'"', "'"}:
            self._refuse("a quotation mark is not closed", "give the second one")
        if not is_name or (token.kind == "word" and token.text.lower() in _KEYWORDS):
            self._refuse("here the name of a class is expected", "such as: car > 5%")
        name = self._take().text
        name = name[1:-1] if token.kind == "quoted" else name
        follows = self._next
        if follows.kind in {"word", "number"} and follows.text.lower() not in _KEYWORDS:
            self._refuse(
                "a name with spaces, or a condition after another",
                f'quotes or an "and": "{name} {follows.text}", or {name} and {follows.text}',
            )
        compare, share = ">", 0.0
        if self._next.kind == "compare":
            compare = self._take().text
            share = self._share()
        place = self._place() if self._takes("in") else None
        if place and self._next.kind == "compare":
            self._refuse(
                "the place comes after the number", f"such as: {name} > 5% in {place.name}"
            )
        return Condition(name, _COMPARISONS.get(compare, compare), share, place, token.start)

    def _share(self) -> float:
        token = self._next
        if token.kind != "number":
            self._refuse("here a number is expected", "a share such as 5% or 0.05")
        value = Decimal(self._take().text)
        percent = self._takes("%")
        share = value / 100 if percent else value
        if share > 1:
            self._at -= 2 if percent else 1
            self._refuse(
                "a share of a picture is 0 … 100 %, or 0 … 1",
                "at most 100%" if percent else f"if per cent is meant: {token.text}%",
            )
        return float(share)

    def _place(self) -> Place:
        if self._takes("cell"):
            return self._cell()
        start, words = self._at, []
        while self._next.kind == "word" and self._next.text.lower() not in _KEYWORDS:
            words.append(self._take().text.lower())
        place = named_place(tuple(words)) if words else None
        if place is None:
            self._at = start
            self._refuse("no such place", _PLACES)
        return place

    def _cell(self) -> Place:
        start = self._at
        row = self._whole()
        comma = self._takes(",")
        column = self._whole()
        of = self._takes("of")
        side = self._whole()
        if not (comma and of and side in CELL_COUNTS and 1 <= row <= side and 1 <= column <= side):
            self._at = start
            self._refuse(
                "a cell is given by row and column, from 1 at the top left",
                "such as: cell 1,4 of 4; of 2, 4 or 8 along each side",
            )
        return cell_place(row, column, side)

    def _whole(self) -> int:
        token = self._next
        is_short = (
            token.kind == "number" and token.text.isdigit() and len(token.text) < _LONGEST_WHOLE
        )
        return int(self._take().text) if is_short else 0

    def _refuse_rest(self) -> NoReturn:
        token = self._next
        if token.text == "=":
            self._refuse("shares are compared by >, >=, < or <=", "two of them for a range")
        if token.text == ")":
            self._refuse("a bracket is closed that was not opened", "remove it")
        if token.text == ",":
            self._refuse("a comma has no meaning here", "decimals have a point: 0.05")
        self._refuse("here and, or or the end is expected", "join conditions with and or or")

    def _refuse(self, what: str, fix: str) -> NoReturn:
        shown = re.sub(r"\s", " ", self._text)
        start = self._next.start
        first = max(0, start - 60)
        piece = shown[first : start + 20]
        raise UsageError(what, got=f"{piece}\n  {' ' * (start - first)}^", fix=fix)
