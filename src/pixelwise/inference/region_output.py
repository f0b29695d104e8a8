"""Regions of many pictures: a folder that opens as a data set, picture by picture.

Files of annotation tools have no room for where they came from, and people correct them. So a
hidden folder beside them keeps, for each picture, the facts of its result, the hashes of the files
that were written, and its piece of the file that all pictures share. A file whose hash is another
is no more ours, and stays.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.classes import ClassTable
from pixelwise.errors import OutputExistsError, UsageError
from pixelwise.formats.class_file import CLASSES, table_file
from pixelwise.formats.files import write_atomic
from pixelwise.formats.spacing import Spacing
from pixelwise.inference.job_list import Job
from pixelwise.region_files import Regions, encode_regions
from pixelwise.region_files.coco import coco_file, coco_piece
from pixelwise.region_files.cvat import cvat_file, cvat_piece
from pixelwise.region_files.voc import encode_class_mask
from pixelwise.region_files.yolo import yolo_names
from pixelwise.segmentation import Segmentation

__all__ = ["REGIONS_FOLDER", "RegionOutput"]

REGIONS_FOLDER = "regions"
_JOURNAL = ".pixelwise"
_SHARED = "shared.json"
_SUFFIX = ".json"
_READ_AT_ONCE = 1 << 20
_WITH_PICTURES = ("coco", "cvat", "labelme", "voc", "yolo")
_PIECES: dict[str, Callable[[Regions], str]] = {"coco": coco_piece, "cvat": cvat_piece}


@dataclass(frozen=True)
class RegionOutput:
    """The regions of a run in one form, below `regions/FORM/` of the output folder.

    Attributes:
        folder: of the form.
        form: one of `REGION_FORMS`.
        spacing: the size of a pixel, where it is known.
    """

    folder: Path
    form: str
    spacing: Spacing | None = None

    @classmethod
    def of(cls, output: Path, form: str, spacing: Spacing | None = None) -> RegionOutput:
        """Those of a run whose results lie in `output`."""
        return cls(output / REGIONS_FOLDER / form, form, spacing)

    def begin(self, model_hash: str, classes: ClassTable, jobs: Iterable[Job]) -> None:
        """Makes sure that the folder can take the regions of this model; before the first picture.

        Raises:
            UsageError: two pictures would have one name.
            OutputExistsError: it holds files of others, or regions by another model.
            OutputError: it cannot be written.
        """
        if self.form == "voc":
            _check_flat(jobs)
        known = _read(self._journal / _SHARED)
        if known and known.get("model_hash") != model_hash:
            raise OutputExistsError(
                "regions by another model are there already",
                where=str(self.folder),
                fix="give another output folder, or remove that folder",
            )
        if not known:
            inside = self.folder.iterdir() if self.folder.is_dir() else ()
            others = sorted(path.name for path in inside if path.name != _JOURNAL)
            if others:
                raise _in_the_way(self.folder, ", ".join(others[:5]))
            write_atomic(self._journal / _SHARED, _json({"model_hash": model_hash, "files": {}}))
        if self.form in _WITH_PICTURES:
            self._share({CLASSES: lambda: [table_file(classes)]})
        for path in self._shared_files(classes):
            self._there(path, _known_hashes(known, path))

    def place(self, job: Job) -> Path:
        """The file that holds a picture's regions."""
        name = _flat(job) if self.form == "voc" else job.name.as_posix()
        paths = {
            "coco": "annotations/instances.json",
            "cvat": "annotations.xml",
            "geojson": f"{name}.geojson",
            "labelme": f"images/{name}.json",
            "svg": f"{name}.svg",
            "voc": f"Annotations/{name}.xml",
            "yolo": f"labels/{name}.txt",
        }
        return self.folder / paths[self.form]

    def is_done(self, job: Job, facts: dict[str, str], *, overwrite: bool) -> bool:
        """Whether the picture's files are there, made from it by this model; corrected or not.

        Raises:
            OutputExistsError: they are there, of another picture, model or setting.
        """
        known = _read(self._of(job))
        if not known or overwrite:
            return False
        if known.get("facts") != self._facts(facts):
            raise OutputExistsError(
                "regions are there already, of another picture, model or setting",
                where=str(self.place(job)),
                fix="pass --overwrite, or give another output folder",
            )
        return all(self._is_whole(path, known["files"][path]) for path in known["files"])

    def save(
        self, segmentation: Segmentation, job: Job, content: bytes, facts: dict[str, str]
    ) -> None:
        """Writes the picture's files, and what the shared file needs of it.

        Args:
            segmentation: of the picture.
            job: of the picture.
            content: of the picture's file, which is copied beside the regions.
            facts: what a result must say of itself.

        Raises:
            OutputExistsError: a file is there that was not written here, or was changed since.
            OutputError: a file cannot be written.
            UsageError: the form cannot hold the regions.
        """
        picture = self._picture(job)
        regions = Regions.of(
            segmentation.labels,
            segmentation.segments(spacing=self.spacing),
            segmentation.classes,
            picture=Path(picture).name if self.form in ("labelme", "voc") else picture,
        )
        files = {picture: content} if self.form in _WITH_PICTURES else {}
        if self.form == "voc":
            files[f"SegmentationClass/{_flat(job)}.png"] = encode_class_mask(regions)
        make_piece = _PIECES.get(self.form)
        if make_piece is None:
            path = self.place(job).relative_to(self.folder).as_posix()
            files[path] = encode_regions(regions, self.form)
        known = _read(self._of(job))
        hashes: dict[str, list[str]] = {}
        for path, data in files.items():
            now = hashlib.sha256(data).hexdigest()
            there = self._there(path, [*_known_hashes(known, path), now])
            hashes[path] = [*dict.fromkeys([*there, now])]
        # First, so that after a kill the files are known as ours.
        entry = {
            "facts": self._facts(facts),
            "files": hashes,
            "piece": make_piece(regions) if make_piece else "",
            "picture": picture,
        }
        write_atomic(self._of(job), _json(entry))
        for path, data in files.items():
            write_atomic(self.folder / path, data)

    def finish(self, classes: ClassTable) -> None:
        """Writes the files that all pictures share, of all that were ever written here.

        Raises:
            OutputExistsError: one was changed since it was written.
            OutputError: a file cannot be written.
        """
        self._share(self._shared_files(classes))

    def _shared_files(self, classes: ClassTable) -> dict[str, Callable[[], Iterable[bytes]]]:
        """Content of each, made anew by each call."""

        def pieces() -> Iterator[str]:
            return (entry.get("piece", "") for entry in self._entries())

        def names() -> Iterator[bytes]:
            return (
                f"{Path(entry.get('picture', '')).stem}\n".encode() for entry in self._entries()
            )

        made: dict[str, dict[str, Callable[[], Iterable[bytes]]]] = {
            "coco": {"annotations/instances.json": lambda: coco_file(pieces(), classes)},
            "cvat": {"annotations.xml": lambda: cvat_file(pieces(), classes)},
            "voc": {"ImageSets/Segmentation/trainval.txt": names},
            "yolo": {"data.yaml": lambda: [yolo_names(classes)]},
        }
        return made.get(self.form, {})

    def _share(self, files: dict[str, Callable[[], Iterable[bytes]]]) -> None:
        for path, make in files.items():
            known = _read(self._journal / _SHARED)
            digest = hashlib.sha256()
            for part in make():
                digest.update(part)
            now = digest.hexdigest()
            there = self._there(path, [*_known_hashes(known, path), now])
            if there == [now]:
                continue
            known["files"][path] = [*there, now]
            write_atomic(self._journal / _SHARED, _json(known))
            write_atomic(self.folder / path, make())

    def _there(self, path: str, ours: Sequence[str]) -> list[str]:
        """The hash of the file that is there, if one is; it must be ours."""
        found = _hash_of(self.folder / path)
        if found and found not in ours:
            raise _in_the_way(self.folder / path, "")
        return [found] if found else []

    def _is_whole(self, path: str, hashes: Sequence[str]) -> bool:
        """Whether a file is there, and not the one that a killed run was about to replace."""
        if len(hashes) < 2:
            return (self.folder / path).exists()
        return _hash_of(self.folder / path) not in ("", *hashes[:-1])

    def _facts(self, facts: dict[str, str]) -> dict[str, str]:
        if self.spacing is None:
            return facts
        height, width, unit = self.spacing.height, self.spacing.width, self.spacing.unit
        return facts | {"spacing": f"{height!r},{width!r}{unit}"}

    def _picture(self, job: Job) -> str:
        suffix = job.source.suffix
        if self.form == "voc":
            return f"JPEGImages/{_flat(job)}{suffix}"
        name = f"{job.name.as_posix()}{suffix}"
        return f"images/{name}" if self.form in _WITH_PICTURES else name

    @property
    def _journal(self) -> Path:
        return self.folder / _JOURNAL

    def _of(self, job: Job) -> Path:
        return self._journal / "pictures" / job.name.with_name(job.name.name + _SUFFIX)

    def _entries(self) -> Iterator[dict[str, Any]]:
        for folder, inner, names in os.walk(self._journal / "pictures"):
            inner.sort()
            for name in sorted(names):
                entry = _read(Path(folder) / name) if name.endswith(_SUFFIX) else {}
                if entry:
                    yield entry


def _flat(job: Job) -> str:
    """The name without folders, which Pascal VOC does not have."""
    return "_".join(job.name.parts)


def _check_flat(jobs: Iterable[Job]) -> None:
    names = Counter(map(_flat, jobs))
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        raise UsageError(
            "Pascal VOC has no folders, and without them pictures would have one name",
            got=", ".join(twice[:5]),
            fix="rename them, or choose another form",
        )


def _read(path: Path) -> dict[str, Any]:
    """An entry of the journal; `{}` where there is none that is whole."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) and _is_entry(value) else {}


def _is_entry(value: dict[str, Any]) -> bool:
    files = value.get("files")
    return (
        isinstance(files, dict)
        and all(isinstance(hashes, list) for hashes in files.values())
        and isinstance(value.get("facts", {}), dict)
        and all(isinstance(value.get(key, ""), str) for key in ("model_hash", "piece", "picture"))
    )


def _known_hashes(entry: dict[str, Any], path: str) -> list[str]:
    return list(entry.get("files", {}).get(path, []))


def _hash_of(path: Path) -> str:
    """Of a file's content; "" where no file is."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(_READ_AT_ONCE):
                digest.update(part)
    except FileNotFoundError:
        return ""
    except OSError:
        return "unreadable"
    return digest.hexdigest()


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _in_the_way(path: Path, got: str) -> OutputExistsError:
    return OutputExistsError(
        "a file is in the way that was not written here, or was changed since; it stays",
        where=str(path),
        got=got,
        fix="give another output folder, or move it away",
    )
