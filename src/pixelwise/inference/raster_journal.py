"""What a run over a raster has done so far, kept so that a killed one goes on."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from pixelwise.errors import OutputError
from pixelwise.formats.files import make_folder, take_lock, write_atomic

__all__ = ["Journal", "Progress"]

_NAME = "journal.json"


@dataclass(frozen=True)
class Progress:
    """How far a run is, and how its picture is cut.

    Attributes:
        tile: `(H, W)`.
        batch: tiles that run together.
        strips: of columns that are worked through one after the other.
        stripes: finished ones.
    """

    tile: tuple[int, int]
    batch: int
    strips: int
    stripes: int


class Journal:
    """The folder of a run that is under way; one process at a time has it.

    Args:
        folder: is made.
        facts: what the results of the run depend on. What lies in the folder from a run with other
            facts is removed.

    Attributes:
        folder: where the run keeps its files.

    Raises:
        OutputError: the folder cannot be made, or another process is at it.
    """

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.folder = folder
        self._facts = json.loads(json.dumps(facts))
        make_folder(folder)
        self._lock = _locked(folder)
        if self._stored().get("facts") != self._facts:
            self._empty()

    def progress(self) -> Progress | None:
        """How far the run is; None where nothing is there to go on from."""
        stored: Any = self._stored().get("progress")
        try:
            return Progress(
                tile=tuple(stored["tile"]),
                batch=stored["batch"],
                strips=stored["strips"],
                stripes=stored["stripes"],
            )
        except (KeyError, TypeError):
            return None

    def write(self, progress: Progress) -> None:
        """Says how far the run is; what it has written must be on the disk before.

        Raises:
            OutputError: it cannot be written.
        """
        text = json.dumps({"facts": self._facts, "progress": asdict(progress)})
        write_atomic(self.folder / _NAME, text.encode())

    def remove(self) -> None:
        """Removes the folder, once the results stand in their places, and its parent if empty."""
        self._lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()

    def close(self) -> None:
        """Lets others have the folder; what is in it stays."""
        self._lock.close()

    def _stored(self) -> dict[str, Any]:
        try:
            stored = json.loads((self.folder / _NAME).read_text())
        except (OSError, ValueError):
            return {}
        return stored if isinstance(stored, dict) else {}

    def _empty(self) -> None:
        for path in self.folder.iterdir():
            if path.name != _LOCK:
                path.unlink()


_LOCK = "lock"


def _locked(folder: Path) -> IO[bytes]:
    try:
        lock = (folder / _LOCK).open("ab")
    except OSError as error:
        raise OutputError(
            "the folder cannot be written to", where=str(folder), got=str(error)
        ) from error
    if not take_lock(lock.fileno()):
        lock.close()
        raise OutputError(
            "another process works on this raster",
            where=str(folder),
            fix="wait for it, or give another output folder",
        )
    return lock
