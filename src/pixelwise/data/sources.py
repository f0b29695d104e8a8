"""What the truth of a picture is read from: its files, and what its reader keeps for it.

Readers follow one rule, so that this can be told of all of them: they are frozen dataclasses, in
which a mapping with text for keys holds the files of each picture, a field `pictures` what is kept
for each `Entry.row`, and every other field an option; a field may be such a reader itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from pixelwise.data.dataset import Entry, Truth
from pixelwise.data.joining import JoinedTruth

__all__ = ["Source", "files_of", "options_of", "source_of"]


@dataclass(frozen=True, slots=True)
class Source:
    """What one sample is read from.

    Attributes:
        files: relative to the root, the picture first.
        kept: what the reader keeps for it, in types that JSON has.
    """

    files: tuple[str, ...]
    kept: list[Any]


def options_of(truth: Truth) -> Any:
    """How all truths are read, in types that JSON has."""
    if isinstance(truth, JoinedTruth):
        return [type(truth).__name__, *(options_of(part.truth) for part in truth.parts)]
    if not is_dataclass(truth):
        return repr(truth)
    options = {}
    for name, value in _parts(truth):
        if is_dataclass(value):
            options[name] = options_of(value)
        elif not _is_by_picture(value) and name != "pictures":
            options[name] = _plain(value)
    return [type(truth).__name__, options]


def source_of(truth: Truth, entry: Entry) -> Source:
    """The files and facts of one sample."""
    if isinstance(truth, JoinedTruth):
        part = truth.part(entry)
        source = source_of(part.truth, part.inner(entry))
        files = tuple(part.folder + path for path in source.files)
        return Source(files, source.kept)
    kept = list(_kept_for(truth, entry))
    named = dict.fromkeys([entry.image, entry.truth, *(path for each in kept for path in each[1])])
    return Source(tuple(path for path in named if path), [each[0] for each in kept])


def files_of(truth: Any) -> Iterator[str]:
    """The further files of all pictures, beside those that the entries name."""
    if isinstance(truth, JoinedTruth):
        for part in truth.parts:
            yield from (part.folder + path for path in files_of(part.truth))
        return
    if not is_dataclass(truth):
        return
    for _, value in _parts(truth):
        if is_dataclass(value):
            yield from files_of(value)
        elif _is_by_picture(value):
            yield from _texts(value)


def _kept_for(truth: Any, entry: Entry) -> Iterator[tuple[Any, list[str]]]:
    """What is kept, part by part, and the files that it names."""
    for name, value in _parts(truth):
        if is_dataclass(value):
            yield from _kept_for(value, entry)
        elif _is_by_picture(value) and entry.image in value:
            yield _plain(value[entry.image]), list(_texts(value[entry.image]))
        elif name == "pictures":
            yield _plain(value[entry.row]), []


def _parts(truth: Any) -> Iterator[tuple[str, Any]]:
    return ((part.name, getattr(truth, part.name)) for part in fields(truth) if part.repr)


def _is_by_picture(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)


def _plain(value: Any) -> Any:
    """The value in types that JSON has, of arrays a digest."""
    if isinstance(value, np.ndarray):
        content = hashlib.blake2b(np.ascontiguousarray(value).tobytes(), digest_size=16)
        return [value.dtype.str, list(value.shape), content.hexdigest()]
    if is_dataclass(value):
        return [type(value).__name__, *(_plain(inner) for _, inner in _parts(value))]
    if isinstance(value, Mapping):
        return sorted(([_plain(key), _plain(inner)] for key, inner in value.items()), key=repr)
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return repr(value)
