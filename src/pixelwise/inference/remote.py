"""Object stores: files by their address, read within bounds and put whole, through fsspec.

fsspec is loaded by the first address, never by a path.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import (
    ImageFileError,
    MissingExtraError,
    OutputError,
    PixelwiseError,
    UsageError,
)
from pixelwise.extras import extra
from pixelwise.formats.files import write_atomic
from pixelwise.formats.images import ImageSource, read_image

__all__ = [
    "Entry",
    "Place",
    "RemotePath",
    "is_address",
    "place_of",
    "read_limit",
    "read_source",
    "write_whole",
]

# A put to these shows whole or not at all. Over HTTP nothing can be listed or put.
_SCHEMES = ("gs", "memory", "s3")
_DRIVERS = {"gs": "gcsfs", "s3": "s3fs"}
_BYTES_PER_PIXEL = 8
_ROOM_FOR_METADATA = 1 << 24


@dataclass(frozen=True)
class Entry:
    """What a listing says of a file or folder.

    Attributes:
        name: its last part.
        is_folder: whether it holds others.
        size: bytes.
        stamp: a number that changes when the content does: of its time or of the store's tag.
    """

    name: str
    is_folder: bool
    size: int = 0
    stamp: int = 0


@dataclass(frozen=True)
class RemotePath:
    """A file or folder in an object store, with those of `Path`'s methods that results need.

    Attributes:
        address: such as `s3://bucket/folder/photo.jpg`, without "/" at its end.
    """

    address: str

    def __str__(self) -> str:
        return self.address

    def __truediv__(self, part: str | Path) -> RemotePath:
        return RemotePath(f"{self.address}/{Path(part).as_posix()}")

    @property
    def name(self) -> str:
        """The last part."""
        return self.address.rpartition("/")[2]

    @property
    def parent(self) -> RemotePath:
        """The folder that holds it."""
        return RemotePath(self.address.rpartition("/")[0])

    @property
    def suffix(self) -> str:
        """The ending of the name, such as ".jpg"."""
        return Path(self.name).suffix

    def exists(self) -> bool:
        """Whether a file or folder has this address.

        Raises:
            OutputError: the store does not say.
        """
        store = self._store()
        with _told(OutputError, "the store does not answer", self.address):
            return bool(store.exists(self.address))

    def read_bytes(self, *, limit: int | None = None) -> bytes:
        """The whole content.

        Args:
            limit: bytes; nothing beyond is read, and a longer file is refused.

        Raises:
            ImageFileError: it is not there, is too long, or cannot be read.
        """
        store = self._store()
        with (
            _told(ImageFileError, "the file cannot be read", self.address),
            store.open(self.address, "rb", cache_type="none") as stream,
        ):
            if limit is None:
                return bytes(stream.read())
            content = bytes(stream.read(limit + 1))
        if len(content) > limit:
            raise ImageFileError(
                "the file is longer than its picture may be large",
                where=self.address,
                got=f"more than {limit:,} bytes",
                fix="raise the limit of megapixels",
            )
        return content

    def write_bytes(self, content: bytes) -> None:
        """Puts the content; the address shows the old one until the new one is whole.

        Raises:
            OutputError: it cannot be put.
        """
        store = self._store()
        with _told(OutputError, "the file cannot be written", self.address):
            store.pipe_file(self.address, content)

    def entry(self) -> Entry | None:
        """What the store says of this address; None where it holds nothing.

        Raises:
            UsageError: the store does not say.
        """
        store = self._store()
        with _told(UsageError, "the store does not answer", self.address):
            try:
                return _entry_of(store.info(self.address))
            except FileNotFoundError:
                return None

    def entries(self) -> list[Entry]:
        """Files and folders in this one, by name.

        Raises:
            UsageError: it cannot be listed.
        """
        store = self._store()
        with _told(UsageError, "the folder cannot be listed", self.address):
            listed = store.ls(self.address, detail=True)
        # Some stores keep an empty file with the folder's own address, and list it.
        own = self.address.partition("://")[2]
        entries = [_entry_of(facts) for facts in listed if str(facts["name"]).strip("/") != own]
        return sorted(entries, key=lambda entry: entry.name)

    def matches(self) -> list[tuple[RemotePath, Entry]]:
        """Files that fit this address as a pattern of `*`, `?`, `[…]` and `**`, in order.

        Raises:
            UsageError: the store cannot be listed.
        """
        store = self._store()
        with _told(UsageError, "the store cannot be listed", self.address):
            found = store.glob(self.address, detail=True)
        scheme = self.address.partition("://")[0]
        pairs = [
            (RemotePath(f"{scheme}://{path.lstrip('/')}"), _entry_of(found[path]))
            for path in sorted(found)
        ]
        return [(path, entry) for path, entry in pairs if not entry.is_folder]

    def remove(self) -> None:
        """Removes the file.

        Raises:
            OutputError: it cannot be removed.
        """
        store = self._store()
        with _told(OutputError, "the file cannot be removed", self.address):
            store.rm_file(self.address)

    def _store(self) -> Any:
        scheme = self.address.partition("://")[0]
        with extra("cloud"):
            import fsspec
        try:
            # Kept listings would hide what other machines have written since.
            return fsspec.filesystem(scheme, use_listings_cache=False)
        except ImportError as error:
            driver = _DRIVERS.get(scheme, "")
            raise MissingExtraError(
                f"the package {driver} is not installed",
                where=self.address,
                fix=f"pip install {driver}",
            ) from error


Place: TypeAlias = Path | RemotePath


def is_address(source: object) -> bool:
    """Whether this names something by an address such as `s3://…`, not by a path."""
    return isinstance(source, str) and "://" in source


def place_of(text: str) -> Place:
    """The path, or the address in an object store, that a text names; nothing is opened.

    `file://` addresses are paths.

    Raises:
        UsageError: an address of another kind.
    """
    if not is_address(text):
        return Path(text)
    scheme, _, rest = text.partition("://")
    if scheme == "file" and "%00" not in rest:
        parts = urlsplit(text)
        if parts.netloc not in {"", "localhost"} or not parts.path:
            raise UsageError(
                "a file address names a path from the root, on this machine",
                where=text,
                fix="such as file:///data/photos, or give the path alone",
            )
        return Path(url2pathname(unquote(parts.path)))
    if scheme not in _SCHEMES or not rest.strip("/"):
        known = ", ".join(f"{each}://" for each in ("file", *_SCHEMES))
        raise UsageError(
            "pixelwise reads paths, and addresses in object stores",
            where=text,
            got=f"{scheme}://" + (" without a bucket" * (scheme in _SCHEMES)),
            fix=f"download it first, or give an address of {known}",
        )
    return RemotePath(f"{scheme}://{rest.strip('/')}")


def read_limit(max_megapixels: float) -> int:
    """Most bytes that a file of so many megapixels is read for: unpacked RGBA of 16 bits."""
    return int(max_megapixels * 1e6 * _BYTES_PER_PIXEL) + _ROOM_FOR_METADATA


def read_source(
    source: ImageSource, *, max_megapixels: float, timeout: float | None, name: str = ""
) -> NDArray[np.uint8]:
    """A picture as `read_image` reads it; a text with "://" is an address in an object store.

    Raises:
        ImageFileError: the picture cannot be read.
        ArrayError: an array is no picture.
        UsageError: an address of no object store.
        MissingExtraError: what reads this store is not installed.
    """
    if isinstance(source, str) and is_address(source):
        place = place_of(source)
        name = name or source
        source = (
            place if isinstance(place, Path) else place.read_bytes(limit=read_limit(max_megapixels))
        )
    return read_image(source, max_megapixels=max_megapixels, timeout=timeout, name=name)


def write_whole(place: Place, content: bytes | memoryview) -> None:
    """Writes a file whole or not at all, wherever it lies.

    Raises:
        OutputError: it cannot be written; the old one is as it was.
    """
    if isinstance(place, Path):
        write_atomic(place, content)
    else:
        place.write_bytes(bytes(content))


def _entry_of(facts: dict[str, Any]) -> Entry:
    named = ("ETag", "etag", "md5Hash", "LastModified", "updated", "mtime", "created")
    tag = next((str(facts[key]) for key in named if facts.get(key)), "")
    digest = hashlib.blake2b(tag.encode(), digest_size=8).digest()
    return Entry(
        name=posixpath.basename(str(facts["name"]).rstrip("/")),
        is_folder=facts.get("type") == "directory",
        size=int(facts.get("size") or 0),
        stamp=int.from_bytes(digest, "big") >> 1,
    )


@contextmanager
def _told(kind: type[PixelwiseError], what: str, address: str) -> Iterator[None]:
    """Whatever a store's driver raises, by our own name: each has a family of its own."""
    try:
        yield
    except (PixelwiseError, FileNotFoundError) as error:
        if isinstance(error, PixelwiseError):
            raise
        raise kind("there is no such file", where=address, fix="check the address") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:500]
        raise kind(
            what,
            where=address,
            got=f"{type(error).__name__}: {reason}",
            fix="check address, network and credentials",
        ) from error
