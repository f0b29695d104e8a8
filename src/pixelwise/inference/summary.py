"""A Parquet table with a row for every finished picture: a summary, and the record of a run."""

from __future__ import annotations

import hashlib
import io
import os
import re
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ImageFileError, OutputError, OutputExistsError
from pixelwise.extras import extra
from pixelwise.inference.job_list import Job
from pixelwise.inference.picture_facts import PictureFacts
from pixelwise.inference.remote import Place, RemotePath, write_whole

__all__ = ["SUMMARY_FOLDER", "Summary"]

SUMMARY_FOLDER = "summary"

_PART = re.compile(r"part-(\d{12})-[0-9a-f]{8}\.parquet")
# What a killed run has to look at again, though not to work out.
_ROWS_BETWEEN_WRITES = 1000
_SECONDS_BETWEEN_WRITES = 5.0
_ROWS_OF_A_PART = 100_000
_DIGEST_BYTES = 16
_DIGESTS = f"S{_DIGEST_BYTES}"


class Summary:
    """The table, as a folder of Parquet files that every reader takes as one.

    ============  =========================================================================
    column        holds
    ============  =========================================================================
    source        string: path or address of the picture, as it was given
    name          string: of its results, without suffix: `labels/NAME.png`
    height        int32: pixels
    width         int32: pixels
    bytes         int64: of the picture file
    source_hash   string: SHA-256 of the picture file
    model         string: name of the model
    model_hash    string: SHA-256 of the model file
    classes       list of struct, those that occur, the largest first: id int32, name string,
                  share double 0..1, and x1, y1, x2, y2 int32: the box of all its pixels, x2 and
                  y2 just outside
    state         binary: a digest of source, name, bytes, time or tag of the file, model and what
                  was asked for; a later run passes over what has the same
    ============  =========================================================================

    Rows go to a new part every thousand pictures or five seconds; `finish` puts parts together and
    keeps the last row of each name.

    Args:
        folder: the output folder; the table lies in `summary/` in it.
        model: name of the model.
        model_hash: SHA-256 of the model file.
        asked: what else is made of every picture, such as "layers".
    """

    def __init__(self, folder: Place, *, model: str, model_hash: str, asked: str) -> None:
        with extra("ray"):
            import pyarrow
            import pyarrow.parquet
        self._arrow: ModuleType = pyarrow
        self._parquet: ModuleType = pyarrow.parquet
        self._folder = folder / SUMMARY_FOLDER
        self._model = model
        self._model_hash = model_hash
        self._asked = asked
        self._rows: list[dict[str, Any]] = []
        self._written_at = time.monotonic()
        self._states: NDArray[np.bytes_] = np.zeros(0, _DIGESTS)
        self._next = 0

    def open(self) -> None:
        """Reads which pictures are done.

        Raises:
            OutputExistsError: a file among the parts is none.
            OutputError: the folder cannot be read.
        """
        found = [self._column(name, "state") for name in self._parts()]
        states = [np.array(column.to_pylist(), _DIGESTS) for column in found]
        self._states = np.unique(np.concatenate([self._states, *states]))

    def holds(self, job: Job) -> bool:
        """Whether this picture, as it is now, was done by this model with all that is asked for."""
        if not job.stamp:
            return False
        state = np.array(self._state(job), self._states.dtype)
        place = int(np.searchsorted(self._states, state))
        return place < len(self._states) and bool(self._states[place] == state)

    def add(self, job: Job, facts: PictureFacts, source_hash: str) -> None:
        """A row for a finished picture.

        Raises:
            OutputError: a part cannot be written.
        """
        classes = [
            {"id": fact.id, "name": fact.name, "share": fact.share}
            | dict(zip(("x1", "y1", "x2", "y2"), fact.box, strict=True))
            for fact in facts.classes
        ]
        self._rows.append(
            {
                "source": _text(job.source),
                "name": _text(job.name),
                "height": facts.height,
                "width": facts.width,
                "bytes": job.size,
                "source_hash": source_hash,
                "model": self._model,
                "model_hash": self._model_hash,
                "classes": classes,
                "state": self._state(job),
            }
        )
        due = time.monotonic() - self._written_at > _SECONDS_BETWEEN_WRITES
        if due or len(self._rows) >= _ROWS_BETWEEN_WRITES:
            self.flush()

    def flush(self) -> None:
        """Writes the rows that are not yet written.

        Raises:
            OutputError: the part cannot be written.
        """
        if self._rows:
            self._write(self._arrow.Table.from_pylist(self._rows, schema=self._schema()))
        self._rows = []
        self._written_at = time.monotonic()

    def finish(self) -> None:
        """Puts the parts together; of several rows of one name the last stays.

        The new parts are whole before the old ones go, so a kill leaves rows twice, never none;
        the next `finish` mends that.

        Raises:
            OutputError: a part cannot be written or removed.
        """
        self.flush()
        parts = self._parts()
        names = [
            np.array([_digest(text) for text in self._column(part, "name").to_pylist()], _DIGESTS)
            for part in parts
        ]
        if not names:
            return
        lengths = [len(column) for column in names]
        together = np.concatenate(names)
        last = np.zeros(len(together), np.bool_)
        last[len(together) - 1 - np.unique(together[::-1], return_index=True)[1]] = True
        small = sum(length < _ROWS_OF_A_PART for length in lengths)
        if last.all() and small <= 1:
            return
        waiting: list[Any] = []
        for part, keep in zip(parts, np.split(last, np.cumsum(lengths)[:-1]), strict=True):
            waiting.append(self._read(part).filter(self._arrow.array(keep)))
            if sum(table.num_rows for table in waiting) >= _ROWS_OF_A_PART:
                self._write(self._arrow.concat_tables(waiting))
                waiting = []
        if waiting:
            self._write(self._arrow.concat_tables(waiting))
        for part in parts:
            self._remove(part)

    def totals(self) -> tuple[int, list[tuple[str, float, int]]]:
        """Pictures in the table, and for each class its name, sum of shares, and pictures.

        Raises:
            OutputExistsError: a part cannot be read.
        """
        pictures = 0
        sums: dict[str, tuple[float, int]] = {}
        for part in self._parts():
            lists = self._column(part, "classes").combine_chunks()
            pictures += len(lists)
            rows = lists.flatten()
            columns = [rows.field("name"), rows.field("share")]
            table = self._arrow.table(columns, names=["name", "share"]).group_by("name")
            for row in table.aggregate([("share", "sum"), ("share", "count")]).to_pylist():
                share, count = sums.get(row["name"], (0.0, 0))
                sums[row["name"]] = share + row["share_sum"], count + row["share_count"]
        found = [(name, share, count) for name, (share, count) in sums.items()]
        return pictures, sorted(found, key=lambda each: -each[1])

    def _parts(self) -> list[str]:
        """Names of the parts, the oldest first."""
        if isinstance(self._folder, Path):
            there = self._folder.is_dir()
            listed = [path.name for path in self._folder.iterdir()] if there else []
        else:
            entry = self._folder.entry()
            listed = [each.name for each in self._folder.entries()] if entry else []
        found = sorted(name for name in listed if _PART.fullmatch(name))
        if found:
            self._next = max(self._next, int(found[-1].split("-")[1]) + 1)
        return found

    def _column(self, part: str, name: str) -> Any:
        return self._read(part, [name]).column(name)

    def _read(self, part: str, columns: list[str] | None = None) -> Any:
        place = self._folder / part
        try:
            source = io.BytesIO(place.read_bytes())
            table = self._parquet.read_table(source, columns=columns)
            if columns is None:
                return table.cast(self._schema())
            table.column(columns[0])
        except (ImageFileError, OSError, KeyError, ValueError) as error:
            raise OutputExistsError(
                "this part of the summary cannot be read",
                where=str(place),
                got=" ".join(str(error).split())[:200],
                fix="remove it: its pictures are looked at again, and not worked out again",
            ) from error
        return table

    def _write(self, table: Any) -> None:
        buffer = io.BytesIO()
        self._parquet.write_table(table, buffer, compression="zstd")
        name = f"part-{self._next:012d}-{os.urandom(4).hex()}.parquet"
        self._next += 1
        write_whole(self._folder / name, buffer.getbuffer())

    def _remove(self, part: str) -> None:
        place = self._folder / part
        if isinstance(place, RemotePath):
            place.remove()
            return
        try:
            place.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                "an old part of the summary cannot be removed",
                where=str(place),
                got=error.strerror or str(error),
                fix="remove it: its rows stand in a newer part",
            ) from error

    def _state(self, job: Job) -> bytes:
        facts = (job.source, job.name, job.size, job.stamp, self._model_hash, self._asked)
        return _digest("\0".join(map(str, facts)))

    def _schema(self) -> Any:
        arrow = self._arrow
        numbers = [(key, arrow.int32()) for key in ("x1", "y1", "x2", "y2")]
        row = [("id", arrow.int32()), ("name", arrow.string()), ("share", arrow.float64())]
        return arrow.schema(
            [
                ("source", arrow.string()),
                ("name", arrow.string()),
                ("height", arrow.int32()),
                ("width", arrow.int32()),
                ("bytes", arrow.int64()),
                ("source_hash", arrow.string()),
                ("model", arrow.string()),
                ("model_hash", arrow.string()),
                ("classes", arrow.list_(arrow.struct([*row, *numbers]))),
                ("state", arrow.binary()),
            ]
        )


def _text(name: object) -> str:
    """A file name as UTF-8 can hold it: bytes that are no text are shown by escapes."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def _digest(text: str) -> bytes:
    # A zero at the end would be lost: NumPy takes it for padding.
    content = text.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()
    return digest.replace(b"\0", b"\1")
