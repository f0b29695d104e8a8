"""Many pictures: where their results go, and a run over all of them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from pixelwise.classes import ClassTable
from pixelwise.errors import OutOfMemoryError, OutputError, OutputExistsError, PixelwiseError
from pixelwise.formats.cog import read_cog_facts
from pixelwise.formats.files import sweep_leftovers
from pixelwise.formats.images import read_image
from pixelwise.formats.masks import read_png_text
from pixelwise.formats.vectors import VECTOR_SUFFIXES, read_description
from pixelwise.inference.job_list import Job
from pixelwise.inference.remote import Place, RemotePath, read_limit, write_whole
from pixelwise.layer import layer_file_names, mask_paths
from pixelwise.multi_label import MultiLabelSegmentation
from pixelwise.segmentation import PROVENANCE_KEY, Segmentation

__all__ = [
    "RESULT_FOLDERS",
    "Job",
    "Outcome",
    "Outputs",
    "check_in_the_way",
    "facts_in",
    "read_job",
    "remove_stale",
    "run_jobs",
    "source_facts",
    "sweep_results",
]

_Result = TypeVar("_Result")
_SETTINGS = "settings"
_KINDS = ("labels", "overlays", "layers", "probabilities")
_MASKS = "masks"
RESULT_FOLDERS = (*_KINDS, _MASKS, "confidence", "partial", "polygons", "regions")
_LAYER_FILE = re.compile(r"\d{3,}_.*\.(?:mask|heat)\.png")

# What NumPy, zipfile and json raise on files that were made to break them, or broke.
_UNREADABLE = (
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Outcome(Generic[_Result]):
    """What became of a job: a result or an error, never both."""

    job: Job
    result: _Result | None
    error: PixelwiseError | None


@dataclass(frozen=True)
class Outputs:
    """The files of one result.

    Attributes:
        labels: the label map, always written, and last: it marks the result as whole. Of a
            multi-label result the mask of the last class stands here.
        overlay: the overlay, always written.
        layers: folder of masks and heat maps, or None where not asked for.
        probabilities: `.npz` file, or None where not asked for.
        others: the last two, asked for or not: an earlier run may have made them.
        masks: of a multi-label result the mask of each class, always written; else none.
        mask_folder: where these are; None where there are none.
    """

    labels: Place
    overlay: Place
    layers: Place | None
    probabilities: Place | None
    others: tuple[Place, Place]
    masks: tuple[Place, ...] = ()
    mask_folder: Place | None = None

    @staticmethod
    def of(
        job: Job,
        folder: Place,
        *,
        layers: bool,
        probabilities: bool,
        multi_label: ClassTable | None = None,
    ) -> Outputs:
        """`labels/NAME.png`, `overlays/NAME.png`, `layers/NAME/`, `probabilities/NAME.npz`.

        With the classes of a multi-label model, `masks/CLASS/NAME.png` instead of the first.
        """

        def path(kind: str, suffix: str) -> Place:
            return folder / kind / job.name.with_name(job.name.name + suffix)

        others = path("layers", ""), path("probabilities", ".npz")
        masks = () if multi_label is None else mask_paths(multi_label, job.name)
        placed = tuple(folder / mask for mask in masks)
        return Outputs(
            labels=placed[-1] if placed else path("labels", ".png"),
            overlay=path("overlays", ".png"),
            layers=others[0] if layers else None,
            probabilities=others[1] if probabilities else None,
            others=others,
            masks=placed,
            mask_folder=folder / _MASKS if placed else None,
        )

    def paths(self) -> dict[str, str]:
        """Kind and path of every file or folder asked for; of masks the folder of their folders."""
        pairs = {
            self._answer: self.labels if self.mask_folder is None else self.mask_folder,
            "overlay": self.overlay,
            "layers": self.layers,
            "probabilities": self.probabilities,
        }
        return {kind: str(path) for kind, path in pairs.items() if path is not None}

    def folders(self) -> list[str]:
        """Names of the folders, below the output folder, that all results of a run share."""
        kinds = (self._answer, *_KINDS[1:])
        asked = (self.labels, self.overlay, self.layers, self.probabilities)
        return [kind for kind, path in zip(kinds, asked, strict=True) if path is not None]

    @property
    def _answer(self) -> str:
        return _MASKS if self.masks else "labels"

    def stored_shares(self) -> dict[str, float]:
        """Shares of the classes, by the label map that is there; `{}` where it does not tell."""
        try:
            shares = json.loads(facts_in(self.labels)["shares"])
            return {str(name): _share(value) for name, value in shares.items()}
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            return {}

    def are_done(
        self, facts: dict[str, str], classes: ClassTable, *, overwrite: bool = False
    ) -> bool:
        """Whether all that is asked for is there, made from this picture by this model.

        With `overwrite` nothing counts as done, and results of ours may be replaced; files that
        something else made never are.

        Raises:
            OutputExistsError: a file is in the way that was made otherwise.
        """
        for path in (file for files in self._files(classes).values() for file in files):
            check_in_the_way(path, facts, overwrite=overwrite)
        return not overwrite and not self._missing(classes)

    def save(
        self,
        segmentation: Segmentation | MultiLabelSegmentation,
        facts: dict[str, str],
        *,
        overwrite: bool,
    ) -> tuple[Place, ...]:
        """Writes what is asked for; of a result that is marked as whole, only what it lacks.

        With `overwrite`, what an earlier run made of another picture, model or setting, and this
        one does not make anew, goes before labels come that it does not belong to.

        Returns:
            The files that were removed.

        Raises:
            OutputError: a file cannot be written or removed.
        """
        removed: tuple[Place, ...] = ()
        whole = self.labels.exists() and not overwrite
        wanted = self._missing(segmentation.classes) if whole else set(self.paths())
        if "overlay" in wanted:
            write_whole(self.overlay, segmentation.encode_overlay(**facts))
        if self.layers is not None and "layers" in wanted:
            for name, content in segmentation.encode_layers(**facts):
                write_whole(self.layers / name, content)
        if self.probabilities is not None and "probabilities" in wanted:
            write_whole(self.probabilities, segmentation.encode_probabilities(**facts))
        if overwrite:
            removed = remove_stale(self._of_earlier_runs(segmentation.classes), facts)
        if self._answer in wanted:
            if isinstance(segmentation, MultiLabelSegmentation):
                contents = segmentation.encode_masks(**facts)
            else:
                contents = iter([segmentation.encode(**facts)])
            for path, content in zip(self.masks or (self.labels,), contents, strict=True):
                write_whole(path, content)
        return removed

    def lacks(self, classes: ClassTable) -> bool:
        """Whether any file that is asked for is not there."""
        return bool(self._missing(classes))

    def _missing(self, classes: ClassTable) -> set[str]:
        files = self._files(classes)
        return {kind for kind in files if not all(path.exists() for path in files[kind])}

    def _of_earlier_runs(self, classes: ClassTable) -> list[Place]:
        """Files, where results of ours may lie, that are not asked for."""
        layers, probabilities = self.others
        asked = {path for files in self._files(classes).values() for path in files}
        return [path for path in (*_layer_files(layers), probabilities) if path not in asked]

    def _files(self, classes: ClassTable) -> dict[str, list[Place]]:
        """Kind and files of everything asked for."""
        answers = [*self.masks] or [self.labels]
        files: dict[str, list[Place]] = {self._answer: answers, "overlay": [self.overlay]}
        if self.probabilities is not None:
            files["probabilities"] = [self.probabilities]
        if self.layers is not None:
            names = [name for info in classes for name in layer_file_names(info)]
            files["layers"] = [self.layers / name for name in names]
        return files


def check_in_the_way(path: Place, facts: dict[str, str], *, overwrite: bool) -> None:
    """Refuses to go on where a file is in the way that may not be replaced.

    Args:
        path: of a result; where nothing is, nothing is in the way.
        facts: what a result must say of itself to be the one that would be written.
        overwrite: results of ours that say otherwise may be replaced.

    Raises:
        OutputExistsError: the file is none of ours, or says otherwise.
    """
    if not path.exists():
        return
    found = facts_in(path)
    if not facts.keys() - {_SETTINGS} <= found.keys():
        raise OutputExistsError(
            "a file is in the way that is no result of pixelwise; it stays",
            where=str(path),
            fix="give another output folder",
        )
    if not overwrite and not _agree(facts, found):
        raise OutputExistsError(
            "a result is there already, of another picture, model or setting",
            where=str(path),
            fix="pass --overwrite, or give another output folder",
        )


def remove_stale(paths: Iterable[Place], facts: dict[str, str]) -> tuple[Place, ...]:
    """Removes results of ours that say otherwise, and their folder of layers once it is empty.

    Args:
        paths: of results; one that is not there, or is none of ours, is left as it is.
        facts: what a result says of itself that may stay.

    Returns:
        What was removed.

    Raises:
        OutputError: a file cannot be removed.
    """
    removed = []
    for path in paths:
        found = facts_in(path) if path.exists() else {}
        if facts.keys() - {_SETTINGS} <= found.keys() and not _agree(facts, found):
            _remove(path)
            removed.append(path)
    return tuple(removed)


def _remove(path: Place) -> None:
    if isinstance(path, RemotePath):
        path.remove()
        return
    try:
        path.unlink()
    except OSError as error:
        raise OutputError(
            "a result of an earlier run that does not belong to the new labels cannot be removed",
            where=str(path),
            got=str(error),
            fix="remove it, or give another output folder",
        ) from error
    if _LAYER_FILE.fullmatch(path.name):
        # Only an empty folder can be removed so.
        with suppress(OSError):
            path.parent.rmdir()


def _layer_files(folder: Place) -> list[Place]:
    """Files in a folder that are named as layers are."""
    if isinstance(folder, RemotePath):
        names = [entry.name for entry in folder.entries()] if folder.exists() else []
    else:
        names = sorted(os.listdir(folder)) if folder.is_dir() else []  # noqa: PTH208 - as text
    return [folder / name for name in names if _LAYER_FILE.fullmatch(name)]


def read_job(job: Job, *, max_megapixels: float) -> bytes:
    """The content of a job's picture file, read once: its hash and its pixels are of one state.

    Raises:
        ImageFileError: it is not there, cannot be read, or is too long for a picture in a store.
    """
    if isinstance(job.source, RemotePath):
        return job.source.read_bytes(limit=read_limit(max_megapixels))
    try:
        return job.source.read_bytes()
    except (OSError, ValueError):
        read_image(job.source)
        raise


def source_facts(content: bytes, model_hash: str, settings: str = "") -> dict[str, str]:
    """What a result must say of itself to stand for this picture, model and setting.

    Args:
        content: of the picture's file.
        model_hash: of the model file.
        settings: what else a result depends on, from `describe_settings`; empty: nothing.
    """
    facts = {"model_hash": model_hash, "source_hash": hashlib.sha256(content).hexdigest()}
    return facts | ({_SETTINGS: settings} if settings else {})


def sweep_results(output: Place) -> None:
    """Removes what killed runs left half-written among the results; stores keep no such thing."""
    if isinstance(output, RemotePath):
        return
    for kind in RESULT_FOLDERS:
        for folder, _, _ in os.walk(output / kind):
            sweep_leftovers(Path(folder))


def run_jobs(
    jobs: Sequence[Job], work: Callable[[Job], _Result], *, workers: int
) -> Generator[Outcome[_Result], None, None]:
    """Works through the jobs with several threads and gives the outcomes in their order.

    An error of one picture is its outcome and the others go on. When the caller stops early, jobs
    under way are finished and no new one starts. At most two jobs a worker are begun and not yet
    given, so memory does not grow with the number of jobs.
    """
    if workers == 1 or len(jobs) == 1:
        for job in jobs:
            yield _outcome(job, work)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pixelwise")
    try:
        waiting: list[Future[Outcome[_Result]]] = []
        for job in jobs:
            waiting.append(pool.submit(_outcome, job, work))
            if len(waiting) >= 2 * workers:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _outcome(job: Job, work: Callable[[Job], _Result]) -> Outcome[_Result]:
    try:
        return Outcome(job, work(job), None)
    except PixelwiseError as error:
        return Outcome(job, None, error)
    except MemoryError as error:
        shortage = OutOfMemoryError(
            "there is not enough memory for this picture",
            where=str(job.source),
            got=str(error),
            fix="work with fewer --threads, and without --probabilities",
        )
        return Outcome(job, None, shortage)


def _agree(facts: dict[str, str], found: dict[str, Any]) -> bool:
    """Whether a result says what it must, and names no setting that was not asked for."""
    return {_SETTINGS: ""} | facts == {key: found.get(key, "") for key in (_SETTINGS, *facts)}


def _share(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("no share")
    return float(value)


def facts_in(path: Place) -> dict[str, Any]:
    """What a result says of itself; `{}` where it says nothing that can be read."""
    try:
        source = path if isinstance(path, Path) else io.BytesIO(path.read_bytes())
        if path.suffix == ".npz":
            with np.load(source, allow_pickle=False) as arrays:
                facts = json.loads(str(arrays[PROVENANCE_KEY]))
        elif path.suffix == ".tif" and isinstance(path, Path):
            facts = json.loads(read_cog_facts(path).get(PROVENANCE_KEY, "{}"))
        elif path.suffix in VECTOR_SUFFIXES and isinstance(path, Path):
            facts = json.loads(read_description(path))
        else:
            facts = json.loads(read_png_text(source).get(PROVENANCE_KEY, "{}"))
    except _UNREADABLE:
        return {}
    return facts if isinstance(facts, dict) else {}
