"""Splits as files: a plain text list each, and `split.json`, which knows their hashes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pixelwise.errors import OutputExistsError, UsageError
from pixelwise.formats.files import sweep_leftovers, write_atomic

__all__ = [
    "SUMMARY",
    "check_free",
    "check_split_names",
    "read_split",
    "sha256_of",
    "write_split_files",
]

SUMMARY = "split.json"
_FORMAT = "pixelwise split"
_VERSION = 1
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LONGEST = 1 << 28


def check_split_names(names: Sequence[str]) -> list[str]:
    """What is wrong with names of splits, which are file names too."""
    return [
        f"{name!r} is no name for a split: letters, digits, _ and - only"
        for name in names
        if not _NAME.fullmatch(name)
    ]


def sha256_of(names: Sequence[str], folder: str = "") -> str:
    """The hash of a list, as its file has it.

    Raises:
        UsageError: a name holds a line break, so that a list cannot hold it.
    """
    return hashlib.sha256(_content(names, folder)).hexdigest()


def check_free(folder: Path, names: Sequence[str], *, overwrite: bool) -> None:
    """Refuses to write splits of these names where files of theirs are.

    Raises:
        OutputExistsError: files are in the way, and `overwrite` is False.
    """
    files = [*(f"{name}.txt" for name in names), SUMMARY]
    taken = [file for file in files if (folder / file).exists()]
    if taken and not overwrite:
        raise OutputExistsError(
            "files are in the way",
            where=str(folder),
            got=", ".join(taken),
            fix="name another folder, or pass --overwrite (overwrite=True)",
        )


def write_split_files(
    lists: Mapping[str, Sequence[str]],
    summary: Mapping[str, Any],
    folder: Path,
    *,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Writes `<split>.txt` for each list, one path a line, and `split.json` beside them.

    `split.json` is written last: lists of an interrupted run do not fit the old one, and
    `read_split` says so. Replaced splits take their lists with them, unless those were edited.

    Args:
        lists: paths of pictures by split.
        summary: what else `split.json` tells.
        folder: made if it is not there.
        overwrite: replace files that are in the way.

    Raises:
        OutputExistsError: files are in the way, and `overwrite` is False; nothing was written.
        OutputError: a file cannot be written.
        UsageError: a name holds a line break.
    """
    contents = {f"{name}.txt": _content(names, str(folder)) for name, names in lists.items()}
    check_free(folder, list(lists), overwrite=overwrite)
    hashes = {name: sha256_of(names) for name, names in lists.items()}
    document = {"format": _FORMAT, "version": _VERSION, "sha256": hashes, **summary}
    stale = _stale(folder, set(contents))
    sweep_leftovers(folder)
    for file, content in contents.items():
        write_atomic(folder / file, content)
    write_atomic(folder / SUMMARY, (json.dumps(document, indent=1) + "\n").encode())
    # A test list of the split before would name pictures that now train.
    for path in stale:
        path.unlink(missing_ok=True)
    return tuple(folder / file for file in (*contents, SUMMARY))


def read_split(folder: Path) -> dict[str, tuple[str, ...]]:
    """Paths of pictures by split, as `pixelwise data split` wrote them.

    Raises:
        UsageError: the folder holds no such split, or its lists are not as they were written; all
            such lists are named.
    """
    hashes = _hashes(folder)
    lists: dict[str, tuple[str, ...]] = {}
    faults = []
    for name, expected in hashes.items():
        content = _read(folder / f"{name}.txt")
        if content is None:
            faults.append(f"{name}.txt is missing")
        elif hashlib.sha256(content).hexdigest() != expected:
            faults.append(f"{name}.txt has another SHA-256 than {SUMMARY} says")
        else:
            text = content.decode("utf-8", "surrogateescape")
            lists[name] = tuple(text.split("\n")[:-1])
    if faults:
        raise UsageError(
            "the lists of the split are not as they were written",
            where=str(folder),
            got=" · ".join(faults),
            fix="make the split again: pixelwise data split … --overwrite; or, if the lists were "
            f"edited on purpose, put them beside the pictures without {SUMMARY}",
        )
    return lists


def _content(names: Sequence[str], where: str) -> bytes:
    broken = [name for name in names if "\n" in name or "\r" in name]
    if broken:
        raise UsageError(
            "names with line breaks cannot stand in a list",
            where=where,
            got=", ".join(map(ascii, broken[:10])),
            fix="rename these files",
        )
    return "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")


def _hashes(folder: Path) -> dict[str, str]:
    content = _read(folder / SUMMARY)
    if content is None:
        raise UsageError(
            "this folder holds no split",
            where=str(folder),
            got=f"no {SUMMARY}",
            fix="make one with `pixelwise data split`",
        )
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _unknown(folder, str(error)) from error
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise _unknown(folder, "another document")
    if document.get("version") != _VERSION:
        raise _unknown(folder, f"version {document.get('version')!r}, known: {_VERSION}")
    hashes = document.get("sha256")
    if not isinstance(hashes, dict) or not hashes or check_split_names(list(hashes)):
        raise _unknown(folder, "no hashes of lists")
    return hashes


def _unknown(folder: Path, got: str) -> UsageError:
    return UsageError(
        f"the file is no {SUMMARY} of a split that this version reads",
        where=str(folder / SUMMARY),
        got=got,
        fix="make the split again: pixelwise data split … --overwrite",
    )


def _read(path: Path) -> bytes | None:
    try:
        if not path.is_file() or path.stat().st_size > _LONGEST:
            return None
        return path.read_bytes()
    except OSError:
        return None


def _stale(folder: Path, kept: set[str]) -> list[Path]:
    """Lists of the split before that are still as they were written, and are not written anew."""
    try:
        old = read_split(folder)
    except UsageError:
        return []
    return [folder / f"{name}.txt" for name in old if f"{name}.txt" not in kept]
