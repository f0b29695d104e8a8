"""The files below a folder, seen in one walk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pixelwise.errors import UsageError

__all__ = ["Listing", "stem_of"]

_JUNK = {"__MACOSX", "__pycache__", "Thumbs.db", "desktop.ini"}
_LONGEST_TEXT = 1 << 26


class Listing:
    """Names of all files below a folder; hidden files and what systems leave behind left out.

    Paths are relative to the root, with "/" between their parts; "" is the root itself. Links to
    folders are followed, once each.

    Attributes:
        root: the folder.
        folders: for each folder that holds files, their names in order.
    """

    def __init__(self, root: Path, folders: dict[str, tuple[str, ...]]) -> None:
        self.root = root
        self.folders = folders

    @classmethod
    def of(cls, root: Path) -> Listing:
        """Walks the folder.

        Raises:
            UsageError: it is not there, is no folder, or cannot be listed.
        """
        folders: dict[str, tuple[str, ...]] = {}
        seen: set[tuple[int, int]] = set()
        pending = [""]
        while pending:
            folder = pending.pop()
            names, inner = _listed(root, folder, seen)
            if names:
                folders[folder] = tuple(sorted(names))
            pending += inner
        return cls(root, dict(sorted(folders.items())))

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, str):
            return False
        folder, _, name = path.rpartition("/")
        return name in self.folders.get(folder, ())

    def files(self, *suffixes: str, folder: str | None = None) -> Iterator[str]:
        """Paths of the files whose names end so (any case), of one folder or of all, in order.

        Args:
            suffixes: such as ".png"; none for all files.
            folder: one folder alone, without those inside it.
        """
        chosen = self.folders if folder is None else {folder: self.folders.get(folder, ())}
        for place, names in chosen.items():
            for name in names:
                if not suffixes or name.lower().endswith(suffixes):
                    yield f"{place}/{name}" if place else name

    def read_text(self, path: str) -> str:
        """A text file in UTF-8; bytes that are not stay as surrogates, as in file names.

        Raises:
            UsageError: it cannot be read, or is larger than any list of files would be.
        """
        place = self.root / path
        try:
            if place.stat().st_size > _LONGEST_TEXT:
                raise UsageError(
                    "the text file is too large to be a list",
                    where=str(place),
                    got=f"{place.stat().st_size:,} bytes, at most {_LONGEST_TEXT:,}",
                )
            return place.read_bytes().decode("utf-8-sig", "surrogateescape")
        except OSError as error:
            raise UsageError(
                "the file cannot be read", where=str(place), got=error.strerror or str(error)
            ) from error


def stem_of(path: str) -> str:
    """The file's name without folder and last suffix."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _listed(root: Path, folder: str, seen: set[tuple[int, int]]) -> tuple[list[str], list[str]]:
    place = root / folder
    try:
        status = place.stat()
        if (status.st_dev, status.st_ino) in seen:
            return [], []
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(place) as entries:
            shown = [e for e in entries if not e.name.startswith(".") and e.name not in _JUNK]
            # A link that leads nowhere is listed: whoever reads it is told so.
            names = [entry.name for entry in shown if not entry.is_dir()]
            inner = [entry.name for entry in shown if entry.is_dir()]
    except (OSError, ValueError) as error:
        raise UsageError(
            "the folder cannot be listed",
            where=str(place),
            got=getattr(error, "strerror", None) or str(error),
            fix="give the folder that holds the data set",
        ) from error
    return names, [f"{folder}/{name}" if folder else name for name in inner]
