"""Which pictures the arguments of a run name, on disks and in object stores."""

from __future__ import annotations

import glob
import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

from pixelwise.errors import UsageError
from pixelwise.formats.images import IMAGE_SUFFIXES
from pixelwise.formats.raster_reader import SLIDE_SUFFIXES, is_zarr
from pixelwise.inference.job_list import Job, JobList, repeated
from pixelwise.inference.jobs import RESULT_FOLDERS
from pixelwise.inference.remote import Entry, Place, RemotePath, is_address, place_of

__all__ = ["collect_jobs"]


def collect_jobs(photos: Sequence[str], output: Place) -> JobList:
    """The pictures that files, folders (with all below them) and patterns name, each once.

    In folders and patterns, results of earlier runs inside `output` are passed over.

    Raises:
        UsageError: lists every argument that names nothing, and every pair of pictures whose
            results would have one name; or a store cannot be listed.
        MissingExtraError: an address is given, and what reads it is not installed.
    """
    faults: list[str] = []
    results = _Results(output)
    jobs = JobList()
    sources, names = array("q"), array("q")
    for photo in photos:
        before = len(jobs)
        place = place_of(photo)
        text = str(place) if is_address(photo) else photo
        for job in (
            _found_in_store(place, results)
            if isinstance(place, RemotePath)
            else _found_on_disk(text, results)
        ):
            jobs.append(job)
            sources.append(hash(str(job.source)))
            names.append(hash(str(job.name)))
        if len(jobs) == before:
            pattern = glob.has_magic(text) and not os.path.isdir(text)  # noqa: PTH112
            reason = "the pattern matches no file" if pattern else "no picture in this folder"
            faults.append(f"{photo}: {reason}" if photo else "a name that is empty")
    jobs, names = _each_once(jobs, sources, names)
    faults += _meetings(jobs, names)
    if faults:
        raise UsageError(
            "these pictures cannot be worked through",
            got="; ".join(faults[:20]) + (f"; and {len(faults) - 20} more" * (len(faults) > 20)),
            fix="name pictures that exist, and give pictures of one name separate output folders",
        )
    return jobs


def _found_on_disk(photo: str, results: _Results) -> Iterator[Job]:
    if Path(photo).name in {"", ".."} and not os.path.isdir(photo):  # noqa: PTH112
        return
    # Path.is_dir and is_file raise on names that are too long; these do not.
    if is_zarr(Path(photo)):
        yield _job_of(Path(photo))
    elif os.path.isdir(photo):  # noqa: PTH112
        yield from _below(Path(photo), Path(), results)
    elif os.path.isfile(photo) or not glob.has_magic(photo):  # noqa: PTH113
        # A file that is not there is reported with the others when it is read.
        yield _job_of(Path(photo))
    else:
        for match in sorted(glob.iglob(photo, recursive=True)):
            path = Path(match)
            if (path.is_file() or is_zarr(path)) and not results.hold(path.parent):
                yield _job_of(path)


def _found_in_store(place: RemotePath, results: _Results) -> Iterator[Job]:
    entry = place.entry()
    if entry is None and glob.has_magic(place.address):
        for path, each in place.matches():
            if not results.hold(path.parent):
                yield _made(path, Path(path.name), each)
    elif entry is None or not entry.is_folder:
        yield _made(place, Path(place.name), entry or Entry(place.name, is_folder=False))
    else:
        yield from _below(place, Path(), results)


def _below(folder: Place, inside: Path, results: _Results) -> Iterator[Job]:
    """The pictures in a folder and all below it, name by name, hidden ones left out."""
    if results.hold(folder):
        return
    # What reads slides needs files on a disk.
    suffixes = IMAGE_SUFFIXES | (SLIDE_SUFFIXES if isinstance(folder, Path) else set())
    for entry in _entries_on_disk(folder) if isinstance(folder, Path) else folder.entries():
        if entry.name.startswith("."):
            continue
        if entry.is_folder and isinstance(folder, Path) and is_zarr(folder / entry.name):
            yield _made(folder / entry.name, inside / entry.name, entry)
        elif entry.is_folder:
            yield from _below(folder / entry.name, inside / entry.name, results)
        elif Path(entry.name).suffix.lower() in suffixes:
            yield _made(folder / entry.name, inside / entry.name, entry)


def _entries_on_disk(folder: Path) -> Iterator[Entry]:
    """Folders, but no links to such, and files; none where the folder may not be listed."""
    names, folders = [], set()
    try:
        with os.scandir(folder) as found:
            for each in found:
                if each.is_dir(follow_symlinks=False):
                    folders.add(each.name)
                elif not each.is_file():
                    continue
                names.append(each.name)
    except OSError:
        return
    # A folder may hold millions: their names are kept for the order, all else is asked one by one.
    names.sort()
    for name in names:
        yield Entry(name, name in folders, *_size_and_time(folder / name))


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _job_of(path: Path) -> Job:
    return Job(path, Path(path.name).with_suffix(""), *_size_and_time(path))


def _made(source: Place, name: Path, entry: Entry) -> Job:
    return Job(source, name.with_suffix(""), entry.size, entry.stamp)


class _Results:
    """The folders that hold results of earlier runs."""

    def __init__(self, output: Place) -> None:
        self._stored = [f"{output}/{kind}/" for kind in RESULT_FOLDERS]
        root = Path(os.path.realpath(output)) if isinstance(output, Path) else None
        self._folders = [root / kind for kind in RESULT_FOLDERS] if root else []
        self._last: tuple[Path, bool] | None = None

    def hold(self, folder: Place) -> bool:
        """Whether a folder lies in them; asked again for the same one, it looks no more."""
        if isinstance(folder, RemotePath):
            return any(f"{folder}/".startswith(place) for place in self._stored)
        if self._last is None or self._last[0] != folder:
            place = Path(os.path.realpath(folder))
            self._last = folder, any(place.is_relative_to(each) for each in self._folders)
        return self._last[1]


def _each_once(jobs: JobList, sources: array[int], names: array[int]) -> tuple[JobList, array[int]]:
    """The jobs with each source where it was first found, under the name it was last found by."""
    renamed: dict[int, Job] = {}
    dropped: set[int] = set()
    for places in repeated(sources):
        firsts: dict[str, int] = {}
        for place in places:
            first = firsts.setdefault(str(jobs[place].source), place)
            if first != place:
                renamed[first] = jobs[place]
                dropped.add(place)
    if not dropped:
        return jobs, names
    kept = JobList.of(
        renamed.get(place, job) for place, job in enumerate(jobs) if place not in dropped
    )
    return kept, array("q", (hash(str(job.name)) for job in kept))


def _meetings(jobs: JobList, names: array[int]) -> list[str]:
    """A sentence for every picture whose results would be named as those of one before it."""
    met: list[tuple[int, str]] = []
    for places in repeated(names):
        owners: dict[Path, Place] = {}
        for place in places:
            job = jobs[place]
            owner = owners.setdefault(job.name, job.source)
            if owner != job.source:
                text = f"{owner} and {job.source}: both results would be named {job.name}"
                met.append((place, text))
    return [text for _, text in sorted(met)]
