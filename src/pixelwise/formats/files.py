"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from pixelwise.errors import OutputError, PixelwiseError, UsageError

__all__ = [
    "make_folder",
    "named",
    "output_error",
    "replaced_whole",
    "sweep_leftovers",
    "take_lock",
    "write_atomic",
]

# A recycled process id is common in containers, where every run may be process 7: the token tells
# this process's own files from those of an earlier one with the same id.
_TOKEN = os.urandom(4).hex()
_LEFTOVER = re.compile(r"\.pixelwise-(\d+)-([0-9a-f]{8})[0-9a-f]{8}\.tmp")
_STALE_SECONDS = 3600.0

_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space, or choose another folder"),
    errno.EDQUOT: ("your disk quota is used up", "free some space, or choose another folder"),
    errno.EFBIG: (
        "the file is larger than this disk or process may write",
        "raise the file size limit (ulimit -f), or choose another folder",
    ),
    errno.EACCES: ("writing there is not permitted", "choose a folder that you may write to"),
    errno.EPERM: ("writing there is not permitted", "choose a folder that you may write to"),
    errno.EROFS: ("the file system is read-only", "choose another folder"),
    errno.ENOTDIR: (
        "part of the path is a file, where a folder is needed",
        "remove or rename that file, or choose another folder",
    ),
    errno.EEXIST: (
        "a file stands where a folder is needed",
        "remove or rename that file, or choose another folder",
    ),
    errno.EISDIR: ("a folder has that name", "choose another file name"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter name"),
    errno.ENOENT: ("the folder cannot be made there", "choose another folder"),
    errno.ELOOP: ("its links lead in a circle", "choose another folder"),
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n)"),
}


def make_folder(path: Path) -> None:
    """Makes a folder with its parents; one that is there stays as it is.

    Raises:
        OutputError: it cannot be made, or a file has that name.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise output_error(path, error, "the folder cannot be made") from error


def named(path: str | Path, suffix: str) -> Path:
    """The path, unless its name promises another format: a photo.jpg stays a photo.

    Raises:
        UsageError: the name does not end in `suffix`.
    """
    if Path(path).suffix.lower() != suffix:
        raise UsageError(
            f"this is kept in a {suffix} file",
            got=str(path),
            fix=f"name it {Path(path).stem}{suffix}",
        )
    return Path(path)


def write_atomic(path: Path, content: bytes | memoryview | Iterable[bytes | memoryview]) -> None:
    """Writes a file whole: whatever happens, `path` holds the old content or the new.

    Content too large for memory is given in pieces, each written before the next is asked for.

    The content goes to a temporary file in the same folder, is synced to the disk and then takes
    the name; the folder is synced too. Parent folders are made. An existing file keeps its
    permissions.

    Raises:
        OutputError: the file cannot be written; the old one is as it was.
    """
    with replaced_whole(path) as temporary:
        _write(temporary, content)


@contextlib.contextmanager
def replaced_whole(path: Path) -> Iterator[Path]:
    """For writers that want the name of a file: a new one, which takes the place of `path`.

    The new file is in the same folder. When the block ends without an error it is synced to the
    disk and takes the name; the folder is synced too. Parent folders are made. An existing file
    keeps its permissions.

    Raises:
        OutputError: the file cannot be written; the old one is as it was.
    """
    make_folder(path.parent)
    try:
        mode = _mode_of_existing(path)
        temporary = path.with_name(f".pixelwise-{os.getpid()}-{_TOKEN}{os.urandom(4).hex()}.tmp")
        try:
            yield temporary
            _sync(temporary, mode)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except PixelwiseError:
        raise  # of what makes the content: it says more
    except (OSError, ValueError) as error:
        raise output_error(path, error, "the file cannot be written") from error


def sweep_leftovers(folder: Path) -> int:
    """Removes the temporary files of processes that were killed in `write_atomic`.

    Files of processes that still run stay. A folder that is missing or cannot be listed has none.

    Returns:
        How many were removed.
    """
    removed = 0
    try:
        entries = list(folder.iterdir())
    except (OSError, ValueError):
        return 0
    for entry in entries:
        match = _LEFTOVER.fullmatch(entry.name)
        if match and _is_abandoned(entry, int(match[1]), match[2]):
            with contextlib.suppress(OSError):
                entry.unlink()
                removed += 1
    return removed


def _mode_of_existing(path: Path) -> int | None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        # A rename over /dev/null or a pipe would replace the device itself.
        raise OutputError(
            "the file cannot be written: a device or pipe has that name",
            where=str(path),
            fix="name a file in a folder",
        )
    return stat.S_IMODE(mode)


def _write(path: Path, content: bytes | memoryview | Iterable[bytes | memoryview]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        for piece in [content] if isinstance(content, bytes | memoryview) else content:
            rest = memoryview(piece).cast("B")
            while rest:
                rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def _sync(path: Path, mode: int | None) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        if mode is not None and sys.platform != "win32":
            os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder and say so in these two ways.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def _is_abandoned(entry: Path, process: int, token: str) -> bool:
    if process == os.getpid():
        return token != _TOKEN
    if sys.platform == "win32":
        # os.kill would end the process there, whatever the signal.
        with contextlib.suppress(OSError):
            return time.time() - entry.stat().st_mtime > _STALE_SECONDS
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


def output_error(path: Path, error: OSError | ValueError, what: str) -> OutputError:
    """The error of the system as one of ours, with its reason in words and a fix."""
    if isinstance(error, OutputError):
        return error
    number = error.errno if isinstance(error, OSError) else None
    reason, fix = _REASONS.get(number or 0, (str(error), "choose another folder or name"))
    return OutputError(f"{what}: {reason}", where=str(path), fix=fix)


def take_lock(descriptor: int) -> bool:
    """Takes the lock, if no other process has it; a killed process has none."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some network file systems have no locks.
        return True
    return True
