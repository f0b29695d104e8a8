"""The folder of a run: its plan, its logs, its checkpoints, its model."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pixelwise.errors import OutputError, OutputExistsError, UsageError
from pixelwise.formats.files import make_folder, sweep_leftovers, write_atomic

__all__ = ["Log", "RunFolder"]


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

    def begin(self) -> None:
        """Makes the folder.

        Raises:
            OutputExistsError: there is something in it.
            OutputError: it cannot be made.
        """
        if self.path.is_dir() and any(self.path.iterdir()):
            raise OutputExistsError(
                "the folder of the run is not empty",
                where=str(self.path),
                fix="choose another folder, or go on with that run: --resume",
            )
        make_folder(self.path)

    def resume(self) -> None:
        """Looks whether a run can go on here, and sweeps what a killed process left.

        Raises:
            UsageError: there is no run.
        """
        missing = [file.name for file in (self.plan, self.splits) if not file.is_file()]
        if missing:
            raise UsageError(
                "there is no run to go on with",
                where=str(self.path),
                got=f"no {', '.join(missing)}",
                fix="give the folder that an earlier `pixelwise train -o` made",
            )
        sweep_leftovers(self.path)


class Log:
    """JSON lines that can be cut back to where a checkpoint stood.

    Args:
        path: of the file; it is made.
        length: bytes that are kept of what is there.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path, length: int | None) -> None:
        self._path = path
        if path.is_file() and length is not None and path.stat().st_size != length:
            write_atomic(path, path.read_bytes()[:length])
        try:
            self._file = path.open("ab")
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
        line = json.dumps(event, ensure_ascii=False, allow_nan=False)
        try:
            self._file.write(line.encode() + b"\n")
            self._file.flush()
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
            self._file.truncate(length)
            self._file.seek(length)
        except OSError as error:
            raise self._fault(error) from error

    def _fault(self, error: OSError) -> OutputError:
        return OutputError(
            "the log cannot be written",
            where=str(self._path),
            got=error.strerror or str(error),
            fix="free some space, then go on: pixelwise train --resume RUN",
        )
