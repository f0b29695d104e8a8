"""Splits that a data set tells in lists: text files that name its pictures line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pixelwise.data.dataset import Entry
from pixelwise.data.entries import Entries
from pixelwise.data.faults import Fault
from pixelwise.data.layouts.names import split_of, tokens_of
from pixelwise.data.layouts.tables import TABLE_FILES
from pixelwise.data.listing import Listing, stem_of
from pixelwise.errors import UsageError

__all__ = ["with_lists", "with_splits"]

_FOLDERS = ("", "splits", "ImageSets", "ImageSets/Segmentation", "lists")
# A list of pictures names pictures that are there, for the most part; other texts do not.
_LEAST_SHARE = 0.5
_UNIONS = {"trainval", "all", "trainvaltest"}


def with_lists(
    listing: Listing, entries: Sequence[Entry]
) -> tuple[Sequence[Entry], tuple[Fault, ...]]:
    """The entries with the splits of the lists found beside them, and what is wrong with those."""
    lists: dict[str, list[str]] = {}
    files: dict[str, str] = {}
    texts = _texts(listing)
    lines_and_words = {
        name for lines in texts.values() for line in lines for name in (line, line.split()[0])
    }
    names = _places(entries, lines_and_words)
    for path, lines in texts.items():
        # "a.jpg a.png" names a picture and its mask; "photo 1.jpg" is one name.
        listed = [line if line in names else line.split()[0] for line in lines]
        known = sum(name in names for name in listed)
        if listed and known >= _LEAST_SHARE * len(listed):
            name = _split_name(stem_of(path))
            name = stem_of(path) if name in lists else name
            lists[name] = listed
            files[name] = path
    if not lists:
        return entries, ()
    return _beside_folders(entries, _without_unions(entries, lists, names), files)


def _split_name(stem: str) -> str:
    """The name of a list's split, as folders tell it: "train" for Training.txt."""
    return (split_of(stem) if len(tokens_of(stem)) == 1 else "") or stem


def _texts(listing: Listing) -> dict[str, list[str]]:
    """The lines of the text files that may be lists, by file; empty lines left out."""
    texts = {}
    for folder in _FOLDERS:
        for path in listing.files(".txt", folder=folder):
            if path in TABLE_FILES:
                continue
            try:
                text = listing.read_text(path).replace("\\", "/")
            except UsageError:
                continue
            lines = [line.strip().removeprefix("./") for line in text.splitlines()]
            texts[path] = [line for line in lines if line]
    return texts


def _without_unions(
    entries: Sequence[Entry], lists: Mapping[str, list[str]], names: Mapping[str, int]
) -> dict[str, list[str]]:
    """The lists, without those of all pictures of several splits that are told otherwise."""
    places = {
        name: {names[line] for line in lines if line in names} for name, lines in lists.items()
    }
    told = {place for place, entry in enumerate(entries) if entry.split}
    told = told.union(*(places[name] for name in lists if name not in _UNIONS))
    return {
        name: lines
        for name, lines in lists.items()
        if name not in _UNIONS or told.isdisjoint(places[name])
    }


def _beside_folders(
    entries: Sequence[Entry], lists: Mapping[str, list[str]], files: Mapping[str, str]
) -> tuple[Sequence[Entry], tuple[Fault, ...]]:
    """The entries with the splits of the lists; what no list is about stays as its folder says."""
    listed, faults = with_splits(entries, lists, files)
    named = Entries.of(
        old if not new.split and old.split not in lists else new
        for old, new in zip(entries, listed, strict=True)
    )
    return named, faults


def with_splits(
    entries: Sequence[Entry],
    lists: Mapping[str, Sequence[str]],
    files: Mapping[str, str],
) -> tuple[Sequence[Entry], tuple[Fault, ...]]:
    """The entries with the splits of these lists.

    Args:
        entries: of the data set.
        lists: names of pictures by split: paths with or without suffix, or file names alone.
        files: where each list was read, for the faults.
    """
    if not lists:
        return entries, ()
    wanted = {name for names in lists.values() for name in names}
    places = _places(entries, wanted)
    if 2 * len(places) < len(wanted):
        return entries, (_of_another(entries, wanted.difference(places), len(wanted), files),)
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
    named = Entries.of(
        replace(entry, split=split_of.get(place, "")) for place, entry in enumerate(entries)
    )
    return named, tuple(faults)


def _of_another(
    entries: Sequence[Entry], unknown: set[str], count: int, files: Mapping[str, str]
) -> Fault:
    example = f"; pictures there are such as {entries[0].image}" if entries else ""
    return Fault(
        "these splits are of another data set",
        next(iter(files.values()), ""),
        got=f"{len(unknown):,} of {count:,} names are not there, such as {min(unknown)}{example}",
        fix="name the folder of this data set's splits, or make some with `pixelwise data split`",
    )


def _places(entries: Sequence[Entry], wanted: set[str]) -> dict[str, int]:
    """Pictures by the wanted names: all ways to name one; a name that several have is none."""
    places: dict[str, int] = {}
    for place, entry in enumerate(entries) if wanted else ():
        file = entry.image.rpartition("/")[2]
        stem = stem_of(entry.image)
        for name in wanted.intersection((entry.image, entry.name, file, stem)):
            places[name] = -1 if places.get(name, place) != place else place
    return {name: place for name, place in places.items() if place >= 0}
