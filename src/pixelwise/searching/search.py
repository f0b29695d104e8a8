"""Pictures of a folder of results for which a query holds, those with the largest share first."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelwise.class_entries import is_whole, key_of
from pixelwise.classes import ClassTable
from pixelwise.errors import ClassNameError, OutputError, UsageError, did_you_mean
from pixelwise.inference.remote import is_address
from pixelwise.presence import CELL_SIDE
from pixelwise.searching.blocks import DamagedError, Facts, Files, Places
from pixelwise.searching.entries import NO_RESULT, NOTHING, PART, RESULT, UNREADABLE
from pixelwise.searching.index import INDEX_NAME, find_files, read_index, update_index
from pixelwise.searching.query import Condition, Query, conditions_of, holds, parse

__all__ = ["Found", "SearchAnswer", "search"]

_TABLES = ("cityscapes", "camvid", "voc", "coco", "ade20k")
_UNSORTED = 10_000


@dataclass(frozen=True)
class Found:
    """A picture for which the query holds.

    Attributes:
        labels: its label map.
        source: name of the picture, as predict was given it; empty where it had none.
        size: `(H, W)` in pixels.
        shares: for each condition, called as "car" or "car in left", the share that was compared,
            0..1.
    """

    labels: Path
    source: str
    size: tuple[int, int]
    shares: dict[str, float]

    @property
    def name(self) -> str:
        """The picture, or its label map where the picture has no name."""
        return self.source or str(self.labels)


@dataclass(frozen=True)
class SearchAnswer:
    """What a search found.

    Attributes:
        found: the pictures, those with the largest share in the first condition first, at most
            as many as were asked for.
        matches: how many there are.
        pictures: how many were looked at.
        classes: names of the classes that these could show.
        skipped: why files were passed over, and how many.
        notes: what else should be known, such as that no index could be kept.
    """

    found: tuple[Found, ...]
    matches: int
    pictures: int
    classes: tuple[str, ...]
    skipped: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def search(
    folder: str | os.PathLike[str],
    text: str,
    *,
    limit: int | None = None,
    progress: Callable[[int], Callable[[int], object]] = lambda _: lambda _: None,
) -> SearchAnswer:
    """Looks for pictures by what is in them: `pw.search("out", "car > 5% and not person")`.

    Results tell shares of classes and where they are in their headers, so no pixel is decoded. An
    index in the folder spares reading headers again; see docs/search.md for it and the language.

    Args:
        folder: what `pixelwise predict` wrote, or any folder with label maps of pixelwise below it.
        text: the query.
        limit: how many pictures are given at most; None: all.
        progress: is told the number of files, and gives what is told of each.

    Raises:
        UsageError: the text is no query, the limit no whole number above 0, or the folder holds no
            results.
        ClassNameError: lists the classes that none of the pictures could show.
    """
    if limit is not None and not (is_whole(limit) and limit >= 1):
        raise UsageError("the limit is a whole number above 0", got=repr(limit))
    query = parse(text)
    if not str(folder):
        raise UsageError("a folder to search in has a name that is empty")
    if is_address(str(folder)):
        raise UsageError(
            "a search needs the results on a disk",
            where=str(folder),
            fix="copy the folder labels; the table in summary/ answers questions on whole pictures",
        )
    place = Path(folder)
    paths = find_files(place)
    if not paths:
        raise _no_results(place, {})
    own = place / INDEX_NAME
    tell = progress(len(paths))
    for anew in (False, True):
        try:
            update_index(place, paths, own, anew=anew, progress=tell)
            return _answer(place, own, text, query, limit, [])
        except DamagedError:
            continue
        except OutputError as error:
            reason = error.what
            break
    else:
        reason = "another program changes it"
    with tempfile.TemporaryDirectory(prefix="pixelwise-") as other:
        index = Path(other) / INDEX_NAME
        update_index(place, paths, index)
        note = f"the index cannot be kept, so every search reads all: {reason}"
        return _answer(place, index, text, query, limit, [note])


def _answer(
    folder: Path, index: Path, text: str, query: Query, limit: int | None, notes: list[str]
) -> SearchAnswer:
    conditions = conditions_of(query)
    placed = any(condition.place for condition in conditions)
    known, kinds = _overview(index)
    skipped = {
        "not a label map of pixelwise": kinds[NO_RESULT],
        "cannot be read": kinds[UNREADABLE],
    }
    skipped = {reason: count for reason, count in skipped.items() if count}
    if not kinds[RESULT]:
        # In a folder of something else nothing is left behind.
        index.unlink(missing_ok=True)
        raise _no_results(folder, skipped)
    meant = _meant(conditions, known, text)
    best = _Best(folder, conditions, limit)
    unplaced = 0
    for files, facts, places in read_index(index, places=placed):
        block = _Block(facts, places, meant)
        wanted = holds(query, block.shares) & (facts.kind == RESULT)
        if placed:
            unplaced += int(((facts.kind == RESULT) & ~facts.placed).sum())
            wanted &= facts.placed
        best.add(files, facts, np.flatnonzero(wanted), block)
    if unplaced:
        skipped["does not tell where classes are: predict it again"] = unplaced
    return SearchAnswer(
        found=best.sorted(),
        matches=best.matches,
        pictures=kinds[RESULT] - unplaced,
        classes=tuple(sorted(known)),
        skipped=skipped,
        notes=tuple(notes),
    )


class _Block:
    """Shares of the pictures of a block."""

    def __init__(
        self, facts: Facts, places: Places | None, meant: dict[str, frozenset[str]]
    ) -> None:
        self._facts = facts
        self._cells = None if places is None else places.cells()
        self._meant = meant
        self._owner = np.repeat(np.arange(len(facts.kind)), facts.count)

    def shares(self, condition: Condition) -> NDArray[np.float64]:
        """Of the class and place of a condition, float64 `[n]`; 0 of a place without pixels."""
        pixels = self._pixels(self._meant[key_of(condition.name)], condition)
        area = self._area(condition) - self._pixels(frozenset([NOTHING]), condition)
        shares: NDArray[np.float64] = pixels / np.maximum(area, 1)
        return shares

    def _pixels(self, names: frozenset[str], condition: Condition) -> NDArray[np.int64]:
        numbers = [number for number, name in enumerate(self._facts.names) if name in names]
        rows = np.flatnonzero(np.isin(self._facts.name, numbers))
        counts = self._facts.pixels[rows]
        if condition.place is not None and self._cells is not None:
            counts = self._cells[rows][:, condition.place.cells].sum(axis=1)
        found = np.zeros(len(self._facts.kind), np.int64)
        np.add.at(found, self._owner[rows], counts)
        return found

    def _area(self, condition: Condition) -> NDArray[np.int64]:
        sides = []
        for axis in (0, 1):
            side = self._facts.size[:, axis]
            first, last = (0, CELL_SIDE)
            if condition.place is not None:
                first, last = (condition.place.rows, condition.place.columns)[axis]
            sides.append(last * side // CELL_SIDE - first * side // CELL_SIDE)
        area: NDArray[np.int64] = sides[0] * sides[1]
        return area


class _Best:
    """The pictures found so far; of those, only as many as are wanted."""

    def __init__(self, folder: Path, conditions: list[Condition], limit: int | None) -> None:
        self.matches = 0
        self._folder = folder
        self._conditions = list({condition.title: condition for condition in conditions}.values())
        self._limit = limit
        self._rows: list[tuple[float, str, Found]] = []

    def add(self, files: Files, facts: Facts, rows: NDArray[np.int64], block: _Block) -> None:
        """Takes rows of a block."""
        self.matches += len(rows)
        if not len(rows):
            return
        shares = np.stack([block.shares(condition)[rows] for condition in self._conditions], axis=1)
        if self._limit is not None and len(rows) > self._limit:
            # Stable, so that of equal shares the first paths stay.
            keep = np.argsort(-shares[:, 0], kind="stable")[: self._limit]
            rows, shares = rows[keep], shares[keep]
        titles = [condition.title for condition in self._conditions]
        for row, values in zip(rows.tolist(), shares.tolist(), strict=True):
            path = files.paths[row]
            found = Found(
                labels=self._folder / path,
                source=facts.sources[row],
                size=(int(facts.size[row, 0]), int(facts.size[row, 1])),
                shares=dict(zip(titles, values, strict=True)),
            )
            self._rows.append((-values[0], path, found))
        if self._limit is not None and len(self._rows) > self._limit + _UNSORTED:
            self._rows = sorted(self._rows, key=lambda row: row[:2])[: self._limit]

    def sorted(self) -> tuple[Found, ...]:
        """The best first, those of equal shares by their paths."""
        rows = sorted(self._rows, key=lambda row: row[:2])[: self._limit]
        return tuple(found for _, _, found in rows)


def _overview(index: Path) -> tuple[set[str], list[int]]:
    """Names of all classes, and how many files there are of each kind."""
    known: set[str] = set()
    kinds = np.zeros(PART + 1, np.int64)
    for _, facts, _ in read_index(index, places=False):
        known.update(facts.names)
        kinds += np.bincount(facts.kind, minlength=len(kinds))
    return known - {NOTHING}, kinds.tolist()


def _meant(conditions: list[Condition], known: set[str], text: str) -> dict[str, frozenset[str]]:
    """For the key of each name in a query the classes of the folder that it means.

    Raises:
        ClassNameError: lists the names that mean none.
    """
    by_key: dict[str, set[str]] = {}
    for name in known:
        by_key.setdefault(key_of(name), set()).add(name)
    meant: dict[str, frozenset[str]] = {}
    unknown = []
    for condition in conditions:
        key = key_of(condition.name)
        names = by_key.get(key) or _by_alias(condition.name, by_key)
        meant[key] = frozenset(names)
        if not names and condition.name not in unknown:
            unknown.append(condition.name)
    if unknown:
        raise ClassNameError(
            "no picture in the folder could show this class",
            where=text,
            got=", ".join(map(repr, unknown)),
            fix=did_you_mean(unknown[0], known),
        )
    return meant


def _by_alias(name: str, by_key: dict[str, set[str]]) -> set[str]:
    """Classes of the folder that a built-in table knows under this name, in the first that does."""
    for title in _TABLES:
        table = ClassTable.builtin(title)
        if name in table:
            info = table.find(name)
            found = {
                each
                for alias in (info.name, *info.aliases)
                for each in by_key.get(key_of(alias), ())
            }
            if found:
                return found
    return set()


def _no_results(folder: Path, skipped: dict[str, int]) -> UsageError:
    reasons = ", ".join(f"{count:,} × {reason}" for reason, count in skipped.items())
    return UsageError(
        "the folder holds no results to search in",
        where=str(folder),
        got=reasons,
        fix="give the folder that pixelwise predict wrote with -o",
    )
