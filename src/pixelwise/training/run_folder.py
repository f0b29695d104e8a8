"""The folder of a run: its plan, its logs, its checkpoints, its model."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pixelwise.errors import OutputError, OutputExistsError, PixelwiseError, UsageError
from pixelwise.formats.files import make_folder, sweep_leftovers, take_lock, write_atomic

__all__ = ["Log", "RunFolder"]

_LOCK = ".lock"


@dataclass(frozen=True)
class RunFolder:
    """Where everything of a run lies.

    Attributes:
        path: of the folder.
    """

    path: Path

    @property
    def plan(self) -> Path:
        """The choices, YAML."""
        return self.path / "plan.yaml"

    @property
    def splits(self) -> Path:
        """Names of the pictures that are learned from and scored on, JSON."""
        return self.path / "splits.json"

    @property
    def log(self) -> Path:
        """What happened, JSON lines: no times, so that it is the same however often it was cut."""
        return self.path / "log.jsonl"

    @property
    def timing(self) -> Path:
        """How long it took, JSON lines."""
        return self.path / "timing.jsonl"

    @property
    def checkpoint(self) -> Path:
        """All that going on needs."""
        return self.path / "checkpoint.safetensors"

    @property
    def best(self) -> Path:
        """The weights that scored best."""
        return self.path / "best.safetensors"

    @property
    def pictures(self) -> Path:
        """Counts of each picture at the best scoring, JSON."""
        return self.path / "val_counts.json"

    @property
    def examples(self) -> Path:
        """Folder of predictions as pictures."""
        return self.path / "examples"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's files."""
        return self.path / "tensorboard"

    @property
    def model(self) -> Path:
        """The finished model file."""
        return self.path / "model.onnx"

    @property
    def unscored(self) -> Path:
        """The model file while it is scored."""
        return self.path / "model.unscored.onnx"

    def is_begun(self) -> bool:
        """Whether there is a checkpoint, whole or in shards."""
        return any(self.checkpoint.with_suffix(end).is_file() for end in (".safetensors", ".json"))

    def is_over(self) -> bool:
        """Whether the training has ended, and its model is there."""
        if not (self.log.is_file() and self.model.is_file()):
            return False
        last = self.log.read_bytes().rstrip().rpartition(b"\n")[2]
        return last.startswith(b'{"event": "stopped"')

    def check_free(self) -> None:
        """Makes sure that a run can begin here.

        Raises:
            OutputExistsError: there is something in the folder.
        """
        if self.path.is_dir() and not self._is_unused():
            raise OutputExistsError(
                "the folder of the run is not empty",
                where=str(self.path),
                fix="choose another folder, or go on with that run: --resume",
            )

    def _is_unused(self) -> bool:
        """Whether nothing is there but what a run left that ended before it had a plan."""
        sweep_leftovers(self.path)
        names = {entry.name for entry in self.path.iterdir()}
        return not names or (_LOCK in names and names <= {_LOCK, self.splits.name})

    @contextmanager
    def held(self) -> Iterator[None]:
        """Makes the folder, and keeps other processes from training there; a dead one lets go.

        Raises:
            UsageError: another process trains there.
            OutputError: the folder cannot be made or written.
        """
        make_folder(self.path)
        lock = self.path / _LOCK
        try:
            # Made in place: a file renamed to it would leave two processes with two locks.
            stream = lock.open("ab")
        except OSError:
            write_atomic(lock, b"")  # which tells what is wrong
            stream = lock.open("ab")
        with stream:
            if not take_lock(stream.fileno()):
                raise UsageError(
                    "another process trains in this folder",
                    where=str(self.path),
                    fix="wait until it has ended, or choose another folder",
                )
            yield

    @contextmanager
    def left_free_by_errors(self) -> Iterator[None]:
        """Takes the plan back where an error comes before the training: none can go on from it."""
        try:
            yield
        except PixelwiseError:
            if {entry.name for entry in self.path.iterdir()} <= {
                _LOCK,
                self.plan.name,
                self.splits.name,
            }:
                self.plan.unlink(missing_ok=True)
                self.splits.unlink(missing_ok=True)
            raise

    def check_begun(self) -> None:
        """Makes sure that a run can go on here.

        Raises:
            UsageError: there is no run.
        """
        missing = [file.name for file in (self.plan, self.splits) if not file.is_file()]
        if missing:
            raise UsageError(
                "there is no run to go on with",
                where=str(self.path),
                got=f"no {', '.join(missing)}",
                fix="give the folder that an earlier `pixelwise train -o` made; if that was ended "
                "before it had a plan, give the same command again",
            )


class Log:
    """JSON lines that can be cut back to where a checkpoint stood.

    Args:
        path: of the file; it is made.
        length: bytes that are kept of what is there; None keeps every whole line.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path, length: int | None) -> None:
        self._path = path
        try:
            # Without a buffer: what did not fit on the disk would be tried again on closing.
            self._file = path.open("ab", buffering=0)
            if length is None:
                length = _end_of_lines(path)
            if self._file.tell() != length:
                self.cut(length)
        except OSError as error:
            raise self._fault(error) from error

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, event: Mapping[str, object]) -> None:
        """Adds a line."""
        line = json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n"
        # A name may hold bytes that no encoding has: JSON reads their escapes back.
        rest = memoryview(line.encode(errors="backslashreplace"))
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._fault(error) from error

    def sync(self) -> int:
        """Brings everything to the disk; gives the length in bytes."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._fault(error) from error
        return self._file.tell()

    def cut(self, length: int) -> None:
        """Takes back every line behind `length` bytes."""
        try:
            self._file.truncate(min(length, self._file.seek(0, os.SEEK_END)))
            self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise self._fault(error) from error

    def _fault(self, error: OSError) -> OutputError:
        return OutputError(
            "the log cannot be written",
            where=str(self._path),
            got=error.strerror or str(error),
            fix="free some space",
        )


def _end_of_lines(path: Path) -> int:
    """Bytes up to the end of the last whole line."""
    return path.read_bytes().rfind(b"\n") + 1
