"""The files below a folder, seen in one walk."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

from pixelwise.data.texts import Texts
from pixelwise.errors import UsageError
from pixelwise.formats.images import IMAGE_SUFFIXES

__all__ = ["Listing", "is_picture", "stem_of"]

_PICTURES = tuple(sorted(IMAGE_SUFFIXES))

_JUNK = {
    "$RECYCLE.BIN",
    "@eaDir",
    "System Volume Information",
    "Thumbs.db",
    "__MACOSX",
    "__pycache__",
    "desktop.ini",
    "lost+found",
}
_LONGEST_TEXT = 1 << 26


class Listing:
    """Names of all files below a folder; hidden files and what systems leave behind left out.

    Paths are relative to the root, with "/" between their parts; "" is the root itself. Links to
    folders are followed, once each.

    Attributes:
        root: the folder.
        folders: for each folder that holds files, their names in order.
    """

    def __init__(self, root: Path, folders: dict[str, Sequence[str]]) -> None:
        self.root = root
        self.folders = folders
        self._suffixes = {
            folder: frozenset(map(_last_suffix, names)) for folder, names in folders.items()
        }

    @classmethod
    def of(cls, root: Path) -> Listing:
        """Walks the folder.

        Raises:
            UsageError: it is not there, is no folder, or cannot be listed.
        """
        folders: dict[str, Sequence[str]] = {}
        seen: set[tuple[int, int]] = set()
        pending = [""]
        while pending:
            folder = pending.pop()
            names, inner = _listed(root, folder, seen)
            if names:
                names.sort()
                folders[folder] = Texts.of(names)
            pending += inner
        return cls(root, dict(sorted(folders.items())))

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, str):
            return False
        folder, _, name = path.rpartition("/")
        names = self.folders.get(folder, ())
        place = bisect_left(names, name)
        return place < len(names) and names[place] == name

    def files(self, *suffixes: str, folder: str | None = None) -> Iterator[str]:
        """Paths of the files whose names end so (any case), of one folder or of all, in order.

        Args:
            suffixes: such as ".png"; none for all files.
            folder: one folder alone, without those inside it.
        """
        wanted = frozenset(map(_last_suffix, suffixes))
        for place in self.folders if folder is None else (folder,):
            # Each layout asks for its own files, and most folders hold none of them.
            if wanted and wanted.isdisjoint(self._suffixes.get(place, ())):
                continue
            for name in self.folders.get(place, ()):
                if not suffixes or name.lower().endswith(suffixes):
                    yield f"{place}/{name}" if place else name

    def pictures(self, *, folder: str | None = None) -> Iterator[str]:
        """Paths of the picture files, as `files` gives them."""
        return self.files(*_PICTURES, folder=folder)

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


def _last_suffix(name: str) -> str:
    return name.rpartition(".")[2].lower()


def is_picture(path: str) -> bool:
    """Whether the name is that of a picture file."""
    return path.lower().endswith(_PICTURES)


def stem_of(path: str) -> str:
    """The file's name without folder and last suffix."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _listed(root: Path, folder: str, seen: set[tuple[int, int]]) -> tuple[list[str], list[str]]:
    place = root / folder
    names: list[str] = []
    inner: list[tuple[bool, str]] = []
    try:
        status = place.stat()
        if (status.st_dev, status.st_ino) in seen:
            return [], []
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name in _JUNK:
                    continue
                if _is_folder(entry):
                    inner.append((entry.is_symlink(), entry.name))
                # A link that leads nowhere is listed: whoever reads it is told so. Reading a pipe
                # would wait for ever.
                elif entry.is_symlink() or entry.is_file():
                    names.append(entry.name)
    except (OSError, ValueError) as error:
        raise UsageError(
            "the folder cannot be listed",
            where=str(place),
            got=getattr(error, "strerror", None) or str(error),
            fix="give the folder that holds the data set",
        ) from error
    # The last is walked next: a folder before links to it, and always the same one of these.
    inner.sort(reverse=True)
    return names, [f"{folder}/{name}" if folder else name for _, name in inner]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
