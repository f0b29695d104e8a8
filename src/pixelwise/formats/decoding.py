"""From any file source to upright pixels: the opening, the limits, and where to decode."""

from __future__ import annotations

import difflib
import io
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
from PIL import Image, ImageFile

from pixelwise.errors import ImageFileError, UsageError
from pixelwise.formats._decode_child import decode_in_child
from pixelwise.formats._pillow import Picture, decode_pillow, decode_stream

__all__ = ["DEFAULT_MEGAPIXELS", "FileSource", "Picture", "decode", "describe_source"]

FileSource: TypeAlias = str | os.PathLike[str] | bytes | Image.Image
DEFAULT_MEGAPIXELS = 200.0
_NEIGHBOURS_LOOKED_AT = 5000


def describe_source(source: object) -> str:
    """The name of a source in messages: its path, or "bytes", "array", "PIL image"."""
    if isinstance(source, bytes | bytearray | memoryview):
        return "bytes"
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(os.fspath(source))
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "") or "PIL image")
    return "array" if isinstance(source, np.ndarray) else f"an object of {type(source).__name__}"


def decode(
    source: FileSource,
    *,
    max_megapixels: float = DEFAULT_MEGAPIXELS,
    timeout: float | None = None,
    name: str = "",
) -> Picture:
    """Reads a picture whole, refuses it by its header when it is too large, and turns it upright.

    Args:
        source: path, file content or Pillow picture.
        max_megapixels: larger pictures are refused.
        timeout: seconds for a process of its own; None: in this process.
        name: what messages call a source that is no path.

    Raises:
        ImageFileError: the source is missing, unreadable, foreign, damaged, too large or too slow.
        UsageError: an option has a value that it cannot have.
    """
    for option, value in (("max_megapixels", max_megapixels), ("timeout", timeout)):
        if value is not None and not (value > 0 and not math.isnan(value)):
            raise UsageError(f"{option} must be above 0", got=f"{option}={value!r}")
    path = describe_source(source)
    name = name or path
    if isinstance(source, Image.Image):
        return decode_pillow(source, name, max_megapixels)
    content = bytes(source) if isinstance(source, bytes | bytearray | memoryview) else Path(path)
    with _opened(content, name) as stream:
        # The second switch makes Pillow pass cut-off files; a fresh process has it off.
        if timeout is None and not ImageFile.LOAD_TRUNCATED_IMAGES:
            picture = decode_stream(stream, name, max_megapixels)
            if picture is not None:
                return picture
    return decode_in_child(content, name, max_megapixels, timeout)


@contextmanager
def _opened(content: bytes | Path, name: str) -> Iterator[IO[bytes]]:
    if isinstance(content, bytes):
        yield io.BytesIO(content)
        return
    try:
        mode = content.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ImageFileError(
                "a folder, where one picture is needed", where=name, fix="name the files in it"
            )
        if not stat.S_ISREG(mode):
            raise ImageFileError("not a regular file", where=name, fix="name a picture file")
        stream = content.open("rb")
    except ImageFileError:
        raise
    except FileNotFoundError as error:
        raise ImageFileError(
            "there is no such file", where=name, fix=_fix_of_missing(content, name)
        ) from error
    except PermissionError as error:
        raise ImageFileError(
            "reading the file is not permitted", where=name, fix="change its permissions"
        ) from error
    except (OSError, ValueError) as error:
        raise ImageFileError(
            "the file cannot be opened",
            where=name[:200],
            got=str(error)[:200],
            fix="check its path",
        ) from error
    with stream:
        yield stream


def _fix_of_missing(path: Path, name: str) -> str:
    if "://" in name:
        return "pixelwise reads files only: download it first"
    try:
        neighbours = [entry.name for entry in islice(path.parent.iterdir(), _NEIGHBOURS_LOOKED_AT)]
    except (OSError, ValueError):
        return f"the folder {path.parent} is not there either: check the path"
    near = difflib.get_close_matches(path.name, neighbours, n=3, cutoff=0.6)
    return "did you mean " + " or ".join(near) + "?" if near else "check the name and the folder"
