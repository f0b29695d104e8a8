"""Splits that a data set tells in lists: text files that name its pictures line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pixelwise.data.dataset import Entry
from pixelwise.data.faults import Fault
from pixelwise.data.listing import Listing, stem_of
from pixelwise.errors import UsageError

__all__ = ["with_lists", "with_splits"]

_FOLDERS = ("", "splits", "ImageSets", "ImageSets/Segmentation", "lists")
# A list of pictures names pictures that are there, for the most part; other texts do not.
_LEAST_SHARE = 0.5
_UNIONS = {"trainval", "all", "trainvaltest"}


def with_lists(
    listing: Listing, entries: Sequence[Entry]
) -> tuple[tuple[Entry, ...], tuple[Fault, ...]]:
    """The entries with the splits of the lists found beside them, and what is wrong with those."""
    lists: dict[str, list[str]] = {}
    files: dict[str, str] = {}
    names: dict[str, int] = {}
    for folder in _FOLDERS:
        for path in listing.files(".txt", folder=folder):
            try:
                lines = [line.split() for line in listing.read_text(path).splitlines()]
            except UsageError:
                continue
            firsts = [words[0] for words in lines if words]
            # Worked out when it is asked for: it has four names for each picture.
            names = names or _places(entries)
            known = sum(name in names for name in firsts)
            if firsts and known >= _LEAST_SHARE * len(firsts):
                lists[stem_of(path)] = firsts
                files[stem_of(path)] = path
    named = {line for name, lines in lists.items() if name not in _UNIONS for line in lines}
    lists = {
        name: lines
        for name, lines in lists.items()
        if name not in _UNIONS or named.isdisjoint(lines)
    }
    return with_splits(entries, lists, files)


def with_splits(
    entries: Sequence[Entry],
    lists: Mapping[str, Sequence[str]],
    files: Mapping[str, str],
) -> tuple[tuple[Entry, ...], tuple[Fault, ...]]:
    """The entries with the splits of these lists.

    Args:
        entries: of the data set.
        lists: names of pictures by split: paths with or without suffix, or file names alone.
        files: where each list was read, for the faults.
    """
    if not lists:
        return tuple(entries), ()
    places = _places(entries)
    split_of: dict[int, str] = {}
    faults = []
    for split, names in lists.items():
        where = files.get(split, "")
        for name in names:
            place = places.get(name)
            if place is None:
                faults.append(
                    Fault(
                        "a list names a picture that is not there",
                        where,
                        got=name,
                        fix="add the picture and its mask, or take the line out of the list",
                    )
                )
            elif split_of.setdefault(place, split) != split:
                faults.append(
                    Fault(
                        "a picture stands in two splits",
                        entries[place].image,
                        got=f"{split_of[place]} and {split}",
                        fix="take it out of one of the lists",
                    )
                )
    named = [replace(entry, split=split_of.get(i, "")) for i, entry in enumerate(entries)]
    return tuple(named), tuple(faults)


def _places(entries: Sequence[Entry]) -> dict[str, int]:
    """Every way in which a list may name a picture; a name that several have is none."""
    places: dict[str, int] = {}
    for place, entry in enumerate(entries):
        file = entry.image.rpartition("/")[2]
        stem = stem_of(entry.image)
        for name in {entry.image, entry.name, file, stem}:
            places[name] = -1 if places.get(name, place) != place else place
    return {name: place for name, place in places.items() if place >= 0}
