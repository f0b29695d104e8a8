"""Decoded pictures and masks of a data set in mapped files: decoded once, then read as memory.

A folder on disk, or one in shared memory (`/dev/shm/…` on Linux). Each sample is stored under a
digest of its files' contents, the class table and how they are read, so that a changed file is
decoded anew when the cache is opened, and only it.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import PIL
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Dataset, Entry, Truth
from pixelwise.data.parallel import in_order
from pixelwise.data.pixel_store import (
    Content,
    PixelStore,
    Record,
    bytes_of,
    locked,
    new_name,
    pieces_of,
)
from pixelwise.data.sources import options_of, source_of
from pixelwise.data.targets import InstanceTarget, MaskTarget, MultiClassTarget, MultiLabelTarget
from pixelwise.errors import ImageFileError, MaskFileError, UsageError
from pixelwise.formats.files import write_atomic
from pixelwise.kernels.checks import usable_cores

__all__ = ["CachedDataset", "open_cache"]

_VERSION = "1"
_MOST_STALE = 0.25


@dataclass(frozen=True, eq=False, kw_only=True)
class CachedDataset(Dataset):
    """A data set whose samples come from a cache, as read-only views; the others from their files.

    Attributes:
        store: the cache.
        cached: names of the samples in it.
        stored_truth: reads what the cache holds; under another, as `mapped` gives it, the truth
            comes from its files.
        stored_classes: what the ids in the cache mean.
    """

    store: PixelStore = field(repr=False)
    cached: frozenset[str] = field(repr=False)
    stored_truth: Truth = field(repr=False)
    stored_classes: ClassTable = field(repr=False)

    def read_image(self, entry: Entry) -> NDArray[Any]:
        """The picture; see `Dataset.read_image`."""
        content = self._content(entry)
        return super().read_image(entry) if content is None else content["image"]

    def read_target(self, entry: Entry, size: tuple[int, int]) -> MaskTarget:
        """The truth; see `Dataset.read_target`."""
        own = self.truth is self.stored_truth and self.classes == self.stored_classes
        content = self._content(entry) if own else None
        if content is None or content["image"].shape[:2] != size:
            return super().read_target(entry, size)
        return _target_of(content)

    def _content(self, entry: Entry) -> Content | None:
        name = _name_of(entry)
        return self.store.read(self.store.records[name]) if name in self.cached else None


def open_cache(
    dataset: Dataset,
    folder: str | Path,
    *,
    limit: int,
    workers: int = 0,
    progress: Callable[[int], object] | None = None,
) -> CachedDataset:
    """Opens the cache of a data set, and first decodes what it lacks.

    All files are read and their contents compared each time; what was decoded from others, or by
    other rules, is decoded anew. The parts of one data set may share a folder: each keeps what the
    others have. Processes that open one cache at once build it once.

    A cache that is damaged is found by sizes and checksums, that of a sample when it is first
    read: the sample then comes from its files, and is decoded anew when the cache is next opened.

    Args:
        dataset: what to read; all kinds of targets and of pictures.
        folder: of the cache, made where it is not there; for one data set.
        limit: bytes that its files may have. Samples are stored in the order of the entries, up to
            the first that does not fit; the others are read from their files. Where much of it has
            to be replaced, old and new are there together for a while.
        workers: threads; 0 for every core that this process may use.
        progress: called with the number of samples dealt with since the last call.

    Raises:
        OutputError: the cache cannot be written; what was there before is as it was.
        UsageError: the limit is no whole number above 0.
    """
    if not isinstance(limit, int) or limit <= 0:
        raise UsageError(
            "the limit of a cache is a whole number of bytes above 0",
            where="argument limit",
            got=f"limit={limit!r}",
            fix="such as limit=2**30 for 1 GiB",
        )
    place = Path(folder).absolute()
    builder = _Builder(dataset, limit, workers or usable_cores(), progress or (lambda _: None))
    store = PixelStore.open(place)
    if not builder.is_done(store):
        with locked(place):
            store = builder.build(PixelStore.open(place))
    cached = frozenset(builder.fresh(store.records))
    note = f"{len(cached):,} of {len(dataset):,} samples come from the cache {place}"
    if len(cached) < len(dataset):
        note += f" (limit {limit / 2**30:.2f} GiB), the others from their files"
    facts = {each.name: getattr(dataset, each.name) for each in fields(Dataset)}
    return CachedDataset(
        **{**facts, "notes": (*dataset.notes, note)},
        store=store,
        cached=cached,
        stored_truth=dataset.truth,
        stored_classes=dataset.classes,
    )


@dataclass(frozen=True)
class _Task:
    """A sample to store: decoded, or copied where it has a record already."""

    name: str
    key: str
    entry: Entry | None
    record: Record | None


@dataclass(frozen=True)
class _Read:
    """A sample ready to be stored; no content where its files cannot be read."""

    task: _Task
    content: Content
    checksums: tuple[int, ...]


class _Builder:
    """Brings a store up to what the files hold."""

    def __init__(
        self, dataset: Dataset, limit: int, workers: int, progress: Callable[[int], object]
    ) -> None:
        self._dataset = dataset
        self._limit = limit
        self._workers = workers
        self._progress = progress
        self._entries = {_name_of(entry): entry for entry in dataset.entries}
        self._keys = _keys_of(dataset, workers)

    def fresh(self, records: Mapping[str, Record]) -> dict[str, Record]:
        """Records of samples of the data set whose files are as they were."""
        return {
            name: records[name]
            for name, key in self._keys.items()
            if name in records and records[name].key == key
        }

    def is_done(self, store: PixelStore) -> bool:
        """Whether the store has every sample whose files are there."""
        return store.size <= self._limit and len(self.fresh(store.records)) == len(self._keys)

    def build(self, store: PixelStore) -> PixelStore:
        """Stores what is missing."""
        fresh = self.fresh(store.records)
        kept = fresh | self._of_other_parts(store.records)
        stale = store.size - sum(record.size for record in kept.values())
        anew = store.size > self._limit or stale > _MOST_STALE * store.size
        used = {record.file for record in kept.values()}
        tasks = [
            _Task(name, key, self._entries[name], None)
            for name, key in self._keys.items()
            if name not in fresh
        ]
        self._progress(len(self._entries) - len(tasks))
        if anew:
            copies = (_Task(name, old.key, None, old) for name, old in kept.items())
            tasks, kept, used = [*copies, *tasks], {}, set()
        writer = _Writer(new_name(), self._limit - sum(len(store.files[file]) for file in used))
        with closing(self._contents(store, tasks)) as contents:
            write_atomic(store.folder / writer.file, writer.pieces(contents))
        return store.replace(kept | writer.records)

    def _contents(self, store: PixelStore, tasks: Sequence[_Task]) -> Generator[_Read, None, None]:
        def read(task: _Task) -> _Read:
            content = (task.record and store.read(task.record)) or self._decoded(task.name)
            checksums = tuple(zlib.crc32(bytes_of(array)) for array in content.values())
            return _Read(task, content, checksums)

        ahead = 2 * self._workers
        for answer in in_order(read, tasks, workers=self._workers, ahead=ahead):
            yield answer
            self._progress(int(answer.task.record is None))

    def _decoded(self, name: str) -> Content:
        entry = self._entries.get(name)
        if entry is None:
            return {}
        try:
            image = self._dataset.read_image(entry)
            target = self._dataset.read_target(entry, (image.shape[0], image.shape[1]))
        except (ImageFileError, MaskFileError):
            # Whoever reads the sample is told so then.
            return {}
        return {"image": image, **vars(target)}

    def _of_other_parts(self, records: Mapping[str, Record]) -> dict[str, Record]:
        """Records of samples that this part of the data set does not have, but its folder does."""
        return {
            name: record
            for name, record in records.items()
            if name not in self._entries
            and (self._dataset.root / name.partition("\0")[0]).is_file()
        }


class _Writer:
    """Puts samples into a file, one after the other, until one does not fit."""

    def __init__(self, file: str, room: int) -> None:
        self.file = file
        self.records: dict[str, Record] = {}
        self._room = room
        self._end = 0

    def pieces(self, contents: Iterable[_Read]) -> Iterator[memoryview]:
        """The bytes of the file."""
        for read in contents:
            arrays, pieces = pieces_of(read.content, read.checksums, self._end)
            record = Record(read.task.key, self.file, arrays)
            if self._end + record.size > self._room:
                return
            if arrays:
                self.records[read.task.name] = record
                self._end += record.size
                yield from pieces


def _name_of(entry: Entry) -> str:
    return f"{entry.image}\0{entry.truth}\0{entry.row}"


def _target_of(content: Content) -> MaskTarget:
    if "layers" in content:
        return MultiLabelTarget(layers=content["layers"], ignore=content["ignore"])
    if "instances" in content:
        return InstanceTarget(mask=content["mask"], instances=content["instances"])
    return MultiClassTarget(mask=content["mask"])


def _keys_of(dataset: Dataset, workers: int) -> dict[str, str]:
    """By name, what each sample is decoded from and how; without those whose files are missing."""
    rules = [_VERSION, PIL.__version__, dataset.classes.to_dict(), options_of(dataset.truth)]
    common = json.dumps(rules)
    sources = {_name_of(entry): source_of(dataset.truth, entry) for entry in dataset.entries}
    paths = dict.fromkeys(path for source in sources.values() for path in source.files)
    contents = in_order(
        lambda path: _digest(dataset.root / path), paths, workers=workers, ahead=4 * workers
    )
    digests = dict(zip(paths, contents, strict=True))
    keys = {}
    for name, source in sources.items():
        found = [digests[path] for path in source.files]
        if "" not in found:
            text = json.dumps([name, found, source.kept, common])
            keys[name] = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return keys


def _digest(path: Path) -> str:
    """A digest of the file's content; "" where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, _blake2b).hexdigest()
    except (OSError, ValueError):
        return ""


def _blake2b() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)
