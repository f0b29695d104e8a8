"""Decoding in a process of its own: one that can be killed, and whose globals are nobody else's.

The child gets the cap as an argument and the file as standard input. It answers with one line of
JSON, the fields of a `Picture` or of an error, and then the raw pixels.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pixelwise.errors import ImageFileError
from pixelwise.formats._pillow import Picture, decode_stream

__all__ = ["decode_in_child", "main"]

_START = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from pixelwise.formats._decode_child import main; main()"
)
_PIPE_READ = 1 << 20


def decode_in_child(
    source: Path | bytes, name: str, max_megapixels: float, timeout: float | None
) -> Picture:
    """Decodes a file or its bytes in a child process, which is killed after `timeout` seconds.

    Raises:
        ImageFileError: as from `decode_stream`; or the child took too long or died.
    """
    late = threading.Event()
    with _start(source, name, max_megapixels) as child:

        def stop() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(timeout or 0, stop)
        if timeout is not None:
            timer.start()
        try:
            header, pixels = _answer(child, source)
        finally:
            timer.cancel()
            child.kill()
    if late.is_set():
        raise ImageFileError(
            "the picture takes too long to decode",
            where=name,
            got=f"stopped after {timeout:g} s",
            fix="if you trust the file, raise the timeout",
        )
    if "error" in header:
        what, got, fix = header["error"]
        raise ImageFileError(what, where=name, got=got, fix=fix)
    if pixels is None:
        raise ImageFileError(
            "the picture cannot be decoded: the decoding process died",
            where=name,
            got=f"exit status {child.returncode}",
            fix="the file is damaged, or too large for the memory: export it again",
        )
    palette = header.pop("palette")
    return Picture(
        pixels=pixels,
        palette=None if palette is None else np.array(palette, np.uint8),
        colour_key=None if (key := header.pop("colour_key")) is None else tuple(key),
        **header,
    )


def main() -> None:
    """The child: decodes standard input onto standard output."""
    # Both are switches of this one process; sizes were and will be checked against our own cap.
    Image.MAX_IMAGE_PIXELS = None
    max_megapixels = float(sys.argv[1])
    stream = sys.stdin.buffer
    try:
        picture = decode_stream(
            stream if stream.seekable() else io.BytesIO(stream.read()), "", max_megapixels
        )
    except ImageFileError as error:
        _write_line({"error": [error.what, error.got, error.fix]})
        return
    if picture is None:
        return
    _write_line(
        {
            "shape": picture.pixels.shape,
            "dtype": picture.pixels.dtype.name,
            "kind": picture.kind,
            "stored_as": picture.stored_as,
            "container": picture.container,
            "bits": picture.bits,
            "palette": None if picture.palette is None else picture.palette.tolist(),
            "colour_key": picture.colour_key,
            "white_is_zero": picture.white_is_zero,
        }
    )
    sys.stdout.buffer.write(np.ascontiguousarray(picture.pixels).data)
    sys.stdout.buffer.flush()


def _write_line(header: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n")
    sys.stdout.buffer.flush()


def _start(source: Path | bytes, name: str, max_megapixels: float) -> subprocess.Popen[bytes]:
    # The child finds exactly what this process found, and nothing in the user's working folder.
    paths = [path for path in sys.path if path] + [str(Path(__file__).parents[2])]
    command = [sys.executable, "-I", "-S", "-c", _START, repr(max_megapixels), *paths]
    file = source.open("rb", buffering=0) if isinstance(source, Path) else None
    try:
        return subprocess.Popen(  # noqa: S603 (this interpreter, fixed code, no shell)
            command,
            stdin=file or subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise ImageFileError(
            "the decoding process cannot be started", where=name, got=str(error)
        ) from error
    finally:
        if file is not None:
            file.close()


def _answer(
    child: subprocess.Popen[bytes], source: Path | bytes
) -> tuple[dict[str, Any], np.ndarray[Any, Any] | None]:
    """The header and the pixels; {} and None where the child died before it had sent all."""
    if child.stdin is not None and isinstance(source, bytes):
        # A child that dies or is killed closes the pipe; the missing answer tells it below.
        with suppress(OSError), child.stdin as pipe:
            pipe.write(source)
    output = child.stdout
    line = output.readline() if output is not None else b""
    if output is None or not line.endswith(b"\n"):
        return {}, None
    header: dict[str, Any] = json.loads(line)
    if "error" in header:
        return header, None
    pixels = np.empty(header.pop("shape"), header.pop("dtype"))
    missing = pixels.reshape(-1).view(np.uint8)
    while missing.size:
        part = output.read(min(missing.size, _PIPE_READ))
        if not part:
            return {}, None
        missing[: len(part)] = np.frombuffer(part, np.uint8)
        missing = missing[len(part) :]
    return header, pixels
