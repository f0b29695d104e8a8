"""Pictures and folders worked through by one method, with results as of `pixelwise predict`."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pixelwise.class_entries import shown
from pixelwise.classical.methods import Method
from pixelwise.classical.motion import Background, background_of, motion, moving, spread_frames
from pixelwise.classical.photo import open_photo
from pixelwise.classical.results import GROUND
from pixelwise.classical.seeds import Point
from pixelwise.cli.output import error_facts, print_json
from pixelwise.cli.picture_report import gather, print_shares
from pixelwise.errors import (
    ImageFileError,
    MaskFileError,
    SettingsError,
    UsageError,
)
from pixelwise.inference.jobs import Job, Outcome, Outputs, read_job, run_jobs, source_facts
from pixelwise.inference.remote import Place
from pixelwise.segmentation import Segmentation
from pixelwise.version import VERSION

__all__ = ["Done", "Request", "backgrounds", "print_finished", "work_through"]


@dataclass(frozen=True)
class Request:
    """What is wanted of every picture.

    Attributes:
        method: what does it.
        options: of the method, but for seeds.
        seeds: a file of scribbles, a folder of such files by the names of the pictures, points, or
            None.
        output: folder for the results.
        probabilities: whether they are written too.
        summary: whether the result is told as JSON.
        overwrite: whether results that are there are made anew.
        max_megapixels, decode_timeout: see `read_image`.
        behind: of `motion`, the background by folder.
    """

    method: Method
    options: Mapping[str, Any]
    seeds: Path | tuple[Point, ...] | None
    output: Path
    probabilities: bool
    summary: bool
    overwrite: bool
    max_megapixels: float
    decode_timeout: float | None
    behind: Mapping[Path, Background] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """What a finished picture is reported with."""

    outputs: Outputs
    shares: dict[str, float]
    skipped: bool
    summary: dict[str, Any] | None
    removed: tuple[Place, ...] = ()


def backgrounds(
    jobs: Sequence[Job], *, max_megapixels: float, timeout: float | None
) -> dict[Path, Background]:
    """What is behind all that moves, of each folder: its pictures are the frames.

    Frames that cannot be read have no part in it; they are told when their turn comes.

    Raises:
        UsageError: lists folders of one picture alone; or pictures are of several sizes.
    """
    folders: dict[Path, list[Path]] = defaultdict(list)
    for job in jobs:
        source = _on_disk(job)
        folders[source.parent].append(source)
    alone = [str(files[0]) for files in folders.values() if len(files) < 2]
    if alone:
        raise UsageError(
            "one photo has no motion",
            where="method motion",
            got=f"alone in their folders: {', '.join(alone[:20])}",
            fix="give two frames of a camera that stands still, or more, in one folder",
        )
    found = {}
    for folder, files in folders.items():
        frames = []
        for place in spread_frames(len(files)):
            with suppress(ImageFileError):
                photo = open_photo(files[place], max_megapixels=max_megapixels, timeout=timeout)
                frames.append(photo)
        found[folder] = background_of(frames)
    return found


def work_through(
    jobs: Sequence[Job], request: Request, workers: int, finished: list[Outcome[Done]]
) -> str:
    """Works through the jobs into `finished`; returns why it ended early, or nothing.

    Raises:
        SettingsError: no picture could be worked so.
    """
    outcomes = run_jobs(jobs, lambda job: _work(job, request), workers=workers)
    return gather(outcomes, len(jobs), finished, raised=(SettingsError,))


def print_finished(finished: list[Outcome[Done]], request: Request) -> None:
    """The report: classes with their shares, and where the results lie; or JSON."""
    if request.summary:
        _print_json(finished)
        return
    results = [outcome.result for outcome in finished if outcome.result is not None]
    print_shares(results, failed=len(finished) - len(results), output=request.output)


def _print_json(finished: list[Outcome[Done]]) -> None:
    pictures, failed = [], []
    for outcome in finished:
        if outcome.result is not None and outcome.result.summary is not None:
            paths = outcome.result.outputs.paths()
            source = str(outcome.job.source)
            pictures.append({"source": source, "outputs": paths, **outcome.result.summary})
        elif outcome.error is not None:
            failed.append({"source": str(outcome.job.source), **error_facts(outcome.error)})
    print_json({"pictures": pictures, "failed": failed})


def _on_disk(job: Job) -> Path:
    if not isinstance(job.source, Path):
        raise UsageError(
            "these methods take pictures on disks alone",
            got=str(job.source),
            fix="copy them to a folder first",
        )
    return job.source


def _work(job: Job, request: Request) -> Done:
    seeds = _seeds_of(job, request.seeds)
    content = read_job(job, max_megapixels=request.max_megapixels)
    facts = source_facts(content, _settings_hash(job, request, seeds))
    outputs = Outputs.of(job, request.output, layers=False, probabilities=request.probabilities)
    done = outputs.are_done(facts, GROUND, overwrite=request.overwrite)
    if done and not request.summary:
        shares = outputs.stored_shares()
        return Done(outputs, shares, skipped=True, summary=None)
    segmentation = _segmented(job, request, seeds)
    removed = outputs.save(segmentation, facts, overwrite=request.overwrite)
    return Done(
        outputs=outputs,
        shares=segmentation.tags,
        skipped=done,
        summary=segmentation.summary() if request.summary else None,
        removed=removed,
    )


def _segmented(job: Job, request: Request, seeds: Path | tuple[Point, ...] | None) -> Segmentation:
    source = _on_disk(job)
    photo = open_photo(
        source, max_megapixels=request.max_megapixels, timeout=request.decode_timeout
    )
    if request.method.run is motion:
        return moving(photo, request.behind[source.parent], **request.options)
    shown_to = {} if seeds is None else {"seeds": seeds}
    found: Segmentation = request.method.run(photo, **request.options, **shown_to)
    return found


def _seeds_of(job: Job, seeds: Path | tuple[Point, ...] | None) -> Path | tuple[Point, ...] | None:
    """Those of one picture: of a folder the file of its name."""
    if not isinstance(seeds, Path) or not seeds.is_dir():
        return seeds
    path = seeds / job.name.with_name(f"{job.name.name}.png")
    if not path.is_file():
        raise MaskFileError(
            "there are no scribbles of this picture",
            where=str(job.source),
            got=f"no file {shown(str(path))}",
            fix="draw them, or leave the picture out",
        )
    return path


def _settings_hash(job: Job, request: Request, seeds: Path | tuple[Point, ...] | None) -> str:
    """Stands where a model's hash stands: of all that decides the result but the picture."""
    known: Any = seeds
    if isinstance(seeds, Path):
        try:
            known = hashlib.sha256(seeds.read_bytes()).hexdigest()
        except OSError as error:
            raise MaskFileError(
                "the scribbles cannot be read", where=str(seeds), got=str(error)
            ) from error
    behind = request.behind.get(_on_disk(job).parent)
    facts = [
        VERSION,
        request.method.name,
        sorted(request.options.items()),
        known,
        "" if behind is None else behind.sha256,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
