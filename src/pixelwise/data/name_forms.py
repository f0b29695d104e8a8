"""The names of many samples taken apart into folders, words and numbers, in compact arrays."""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Form", "Names"]

_SPLIT_WORDS = "train training val valid validation dev test testing trainval train2017 val2017"
_SPLIT_FOLDERS = frozenset(_SPLIT_WORDS.split())
_DIGITS = re.compile("[0-9]+")
_LARGEST = (1 << 63) - 1


@dataclass(frozen=True, eq=False)
class Form:
    """Names in one folder that differ in their numbers alone.

    Attributes:
        text: the file's name with "#" for each number.
        places: of the samples, int32 `[n]`, rising.
        numbers: int64 `[n, k]`; Python's own where one has too many digits.
    """

    text: str
    places: NDArray[np.int32]
    numbers: NDArray[Any]

    @property
    def varying(self) -> list[int]:
        """The columns of numbers that are not the same for all."""
        same = (self.numbers == self.numbers[0]).all(axis=0)
        return np.flatnonzero(~same).tolist()

    def runs(self, columns: Sequence[int], running: int | None = None) -> Iterator[NDArray[Any]]:
        """Rows whose numbers in these columns are equal, in the order of the running one."""
        keys = [_ranks(self.numbers[:, column]) for column in columns]
        least = [] if running is None else [_ranks(self.numbers[:, running])]
        apart = np.zeros(len(self.places) - 1, np.bool_)
        order = np.lexsort([*least, *keys]) if least or keys else np.arange(len(self.places))
        for key in keys:
            apart |= key[order[1:]] != key[order[:-1]]
        bounds = np.flatnonzero(apart) + 1
        for begin, end in pairwise([0, *bounds.tolist(), len(order)]):
            yield order[begin:end]


class Names:
    """Names of N samples.

    Args:
        names: paths with "/" between their parts, without suffixes.

    Attributes:
        folders: the parts of paths that tell samples apart, neither splits nor the same for all;
            each once, in the order of the samples.
        folder_of: int32 `[N]`, places in `folders`.
        forms: names with numbers that several have in common; in the order of the samples.
    """

    def __init__(self, names: Collection[str]) -> None:
        paths: dict[str, int] = {}
        path_of = array("i", (paths.setdefault(_split(name)[0], len(paths)) for name in names))
        self.folders, numbers = _telling(paths, lambda numbers: _distinct(names, path_of, numbers))
        self.folder_of = numbers[np.asarray(path_of, np.int32)]
        self.forms = _forms(names, self.folder_of)

    def __len__(self) -> int:
        return len(self.folder_of)


def _split(name: str) -> tuple[str, str]:
    folder, _, file = name.rpartition("/")
    return folder, file


def _telling(
    paths: Iterable[str], distinct: Callable[[NDArray[np.int32]], bool]
) -> tuple[tuple[tuple[str, ...], ...], NDArray[np.int32]]:
    """The distinct folders without what tells nothing, and the place of each path's in them."""
    split = [path.split("/") if path else [] for path in paths]
    depths: defaultdict[int, set[str]] = defaultdict(set)
    for parts in split:
        for depth, folder in enumerate(parts):
            depths[depth].add(folder)

    def numbered(without: frozenset[str]) -> tuple[tuple[tuple[str, ...], ...], NDArray[np.int32]]:
        found: dict[tuple[str, ...], int] = {}
        numbers = [
            found.setdefault(
                tuple(
                    folder
                    for depth, folder in enumerate(parts)
                    if len(depths[depth]) > 1 and folder.lower() not in without
                ),
                len(found),
            )
            for parts in split
        ]
        return tuple(found), np.array(numbers, np.int32)

    # A video may be cut over splits; but equal names in two splits are two pictures.
    joined, apart = numbered(_SPLIT_FOLDERS), numbered(frozenset())
    return joined if joined[0] == apart[0] or distinct(joined[1]) else apart


def _distinct(names: Collection[str], path_of: Sequence[int], numbers: NDArray[np.int32]) -> bool:
    """Whether no two samples have the same file name and number of their folder."""
    folders = numbers.tolist()
    keys = (
        hash((folders[path], _split(name)[1])) for path, name in zip(path_of, names, strict=True)
    )
    # A set of the names themselves would take more memory than all the rest.
    return len(np.unique(np.fromiter(keys, np.int64, len(names)))) == len(names)


def _forms(names: Collection[str], folder_of: NDArray[np.int32]) -> tuple[Form, ...]:
    places: dict[tuple[int, str], array[int]] = {}
    numbers: dict[tuple[int, str], array[int] | list[int]] = {}
    several = _several(names, folder_of)
    for place, name in compress(enumerate(names), several):
        file = _split(name)[1]
        found = [int(digits) for digits in _DIGITS.findall(file)]
        if not found:
            continue
        key = int(folder_of[place]), _DIGITS.sub("#", file)
        places.setdefault(key, array("i")).append(place)
        own = numbers.setdefault(key, array("q"))
        if max(found) > _LARGEST and isinstance(own, array):
            own = numbers[key] = own.tolist()
        own.extend(found)
    return tuple(
        Form(key[1], np.asarray(places[key], np.int32), _rows(own, len(places[key])))
        for key, own in numbers.items()
    )


def _rows(numbers: array[int] | list[int], count: int) -> NDArray[Any]:
    kind = object if isinstance(numbers, list) else np.int64
    return np.asarray(numbers, kind).reshape(count, -1)


def _several(names: Collection[str], folder_of: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which names have a form, but for its numbers, that others in their folder have as well.

    Hashes may take one for such that is none, and never the other way round.
    """
    keys = np.fromiter(
        (
            hash((folder, _DIGITS.sub("#", _split(name)[1])))
            for folder, name in zip(folder_of.data, names, strict=True)
        ),
        np.int64,
        len(names),
    )
    order = np.argsort(keys)
    keys = keys[order]
    alike = keys[1:] == keys[:-1]
    several = np.zeros(len(names), np.bool_)
    several[order[1:][alike]] = True
    several[order[:-1][alike]] = True
    return several


def _ranks(column: NDArray[Any]) -> NDArray[Any]:
    """Numbers in the order of those of the column, which NumPy can sort."""
    if column.dtype != object:
        return column
    return np.unique(column, return_inverse=True)[1].reshape(-1)
