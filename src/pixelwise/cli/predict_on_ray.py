"""`pixelwise predict --ray`: millions of pictures, by the processes of a cluster."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from pixelwise.cli.output import (
    INTERRUPTED,
    UNWRITABLE,
    ExitCode,
    error_facts,
    fail,
    hits_every_picture,
    print_columns,
    print_error,
    print_json,
    print_line,
    print_removed,
)
from pixelwise.cli.predict import Done, Request, work
from pixelwise.cli.progress import progress_bar
from pixelwise.cli.refinement import for_model
from pixelwise.errors import OutputError, PixelwiseError, UsageError
from pixelwise.formats.files import make_folder
from pixelwise.formats.raster_reader import is_raster
from pixelwise.inference.cluster import Placement, run_on_cluster, session
from pixelwise.inference.collecting import collect_jobs
from pixelwise.inference.engines import make_engine, usable_cores
from pixelwise.inference.job_list import Job, JobList
from pixelwise.inference.jobs import Outcome, Outputs, sweep_results
from pixelwise.inference.model_file import ModelFile, read_model
from pixelwise.inference.predictor import Model
from pixelwise.inference.remote import Place, RemotePath, is_address, place_of, write_whole
from pixelwise.inference.summary import SUMMARY_FOLDER, Summary
from pixelwise.overlay import format_share
from pixelwise.refine.plan import Refinement

__all__ = ["predict_on_ray"]

_NOT_DONE = "not_done.txt"
_ERRORS_SHOWN = 20


@dataclass
class _Tally:
    """What became of the pictures, in memory that does not grow with those that are done."""

    done: int = 0
    there: int = 0
    failed: JobList = field(default_factory=JobList)
    errors: list[dict[str, str]] = field(default_factory=list)
    ending: str = ""


def predict_on_ray(
    photos: list[str],
    *,
    output: str,
    model: str,
    layers: bool,
    probabilities: bool,
    at: str | None,
    json_output: bool,
    engine: str,
    device: str,
    threads: int,
    overwrite: bool,
    max_megapixels: float,
    decode_timeout: float | None,
    tile: int | None,
    overlap: float | None,
    tta: str,
    refinement: Refinement,
    for_rasters: Sequence[str],
    address: str,
) -> None:
    """`predict` for millions: the same files, and a summary of all in Parquet."""
    try:
        if at is not None:
            raise UsageError("--at prints the scores of one picture", fix="leave --ray away")
        if for_rasters:
            raise UsageError(
                "rasters are worked through one by one",
                got=", ".join(for_rasters),
                fix="leave --ray away",
            )
        if tile is None and overlap is not None:
            raise UsageError(
                "an overlap needs tiles", got=f"--overlap {overlap}", fix="give --tile N"
            )
        folder = place_of(output)
        _refuse_memory([*photos, output])
        file = _model_of_photos(model)
        request = Request(
            output=folder,
            layers=layers,
            probabilities=probabilities,
            point=None,
            summary=False,
            overwrite=overwrite,
            tile=tile,
            overlap=overlap,
            tta=tta,
            refinement=for_model(refinement, file.card),
            max_megapixels=max_megapixels,
            decode_timeout=decode_timeout,
            facts=True,
        )
        asked = [name for name, on in (("layers", layers), ("arrays", probabilities)) if on]
        asked += [request.settings] if request.settings else []
        summary = Summary(
            folder, model=file.card.name, model_hash=file.sha256, asked=" ".join(asked)
        )
        jobs = collect_jobs(photos, folder)
        _refuse_rasters(jobs, max_megapixels)
        if isinstance(folder, Path):
            make_folder(folder)
        sweep_results(folder)
        summary.open()
        left = jobs if overwrite else JobList.of(_not_done(jobs, summary, request, file))
        tally = _Tally(there=len(jobs) - len(left))
        paths = isinstance(folder, Path) or not all(map(is_address, photos))
        placement = Placement(
            gpus=int(device == "gpu"),
            # The second picture comes from the store while the network has the first.
            threads=2 if isinstance(folder, RemotePath) or any(map(is_address, photos)) else 1,
            folder=os.getcwd() if paths else "",  # noqa: PTH109 - as text
            output=str(folder.absolute()) if isinstance(folder, Path) else "",
        )
        making = functools.partial(_make_work, file, engine, device, request)
        if left:
            _run(left, making, placement, address, threads, summary, tally)
    except PixelwiseError as error:
        fail(error)
    try:
        _note_failed(folder, tally.failed)
        summary.finish()
        totals = summary.totals()
    except PixelwiseError as error:
        print_error(error)
        raise typer.Exit(ExitCode.SOME_FAILED) from None
    answers = folder / ("masks" if _is_multi_label(file) else "labels")
    _report(folder, answers, tally, totals, len(jobs), json_output=json_output)
    if tally.ending == INTERRUPTED:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if tally.ending or tally.failed:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _model_of_photos(model: str) -> ModelFile:
    file = read_model(model)
    if not file.card.preprocessing.takes_photos:
        raise UsageError(
            "this model takes rasters, which are worked through one by one",
            got=f"--model {model}",
            fix="leave --ray away",
        )
    return file


def _refuse_memory(places: Iterable[str]) -> None:
    for place in places:
        if place.startswith("memory://"):
            raise UsageError(
                "what lies in the memory of one process cannot be seen by others",
                got=place,
                fix="leave --ray away, or use s3://, gs:// or a path",
            )


def _refuse_rasters(jobs: JobList, max_megapixels: float) -> None:
    """Refuses a run of nothing else; rasters among photos are told in their turn."""
    if jobs and all(_is_raster_on_disk(job, max_megapixels) for job in jobs):
        raise UsageError(
            "rasters are worked through one by one",
            got=f"{len(jobs):,} rasters and no photo, the first {jobs[0].source}",
            fix="leave --ray away",
        )


def _is_raster_on_disk(job: Job, max_megapixels: float) -> bool:
    return isinstance(job.source, Path) and is_raster(job.source, max_megapixels=max_megapixels)


def _not_done(jobs: JobList, summary: Summary, request: Request, file: ModelFile) -> Iterable[Job]:
    """Jobs that are not recorded as done, and those whose files on disk are gone since."""
    multi_label = file.card.classes if _is_multi_label(file) else None
    for job in jobs:
        outputs = Outputs.of(
            job,
            request.output,
            layers=request.layers,
            probabilities=request.probabilities,
            multi_label=multi_label,
        )
        on_disk = isinstance(request.output, Path)
        if not summary.holds(job) or (on_disk and outputs.lacks(file.card.classes)):
            yield job


def _is_multi_label(file: ModelFile) -> bool:
    return file.card.postprocessing.activation == "sigmoid"


def _make_work(
    file: ModelFile, engine: str, device: str, request: Request
) -> Callable[[Job], Done]:
    """In a worker: loads the model for its one core."""
    runner = make_engine(file, engine=engine, device=device, threads=1)
    model = Model(file, runner, 1)
    model.views(request.tta)

    def work_on(job: Job) -> Done:
        if _is_raster_on_disk(job, request.max_megapixels):
            raise UsageError(
                "rasters are worked through one by one",
                where=str(job.source),
                fix="predict it without --ray",
            )
        return work(model, job, request)

    return work_on


def _run(
    jobs: JobList,
    make_work: Callable[[], Callable[[Job], Done]],
    placement: Placement,
    address: str,
    threads: int,
    summary: Summary,
    tally: _Tally,
) -> None:
    cores = threads or usable_cores()
    # Ray prints what befalls its processes, whatever it is told.
    with _quiet(), session(address, cores) as within:
        outcomes = run_on_cluster(
            jobs, len(jobs), make_work, within, workers=threads, placement=placement
        )
        try:
            with closing(outcomes), progress_bar(len(jobs)) as advance:
                for outcome in outcomes:
                    advance(1)
                    if _note(outcome, summary, tally):
                        tally.ending = UNWRITABLE
                        break
        except OutputError as error:
            print_error(error)
            tally.ending = "stopped, since the summary cannot be written"
        except KeyboardInterrupt:
            tally.ending = INTERRUPTED


def _note(outcome: Outcome[Done], summary: Summary, tally: _Tally) -> bool:
    """Counts and records an outcome; says whether all others would fail as it did."""
    done, error = outcome.result, outcome.error
    if done is not None:
        print_removed(done.removed)
    if done is not None and done.facts is not None:
        summary.add(outcome.job, done.facts, done.source_hash)
        tally.there += done.skipped
        tally.done += not done.skipped
    if error is None:
        return False
    tally.failed.append(outcome.job)
    if len(tally.errors) < _ERRORS_SHOWN:
        tally.errors.append({"source": str(outcome.job.source), **error_facts(error)})
        print_error(error)
    return hits_every_picture(error)


def _note_failed(folder: Place, failed: JobList) -> None:
    place = folder / _NOT_DONE
    if failed:
        lines = sorted(str(job.source) for job in failed)
        write_whole(
            place, "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
        )
    elif isinstance(place, Path):
        place.unlink(missing_ok=True)
    elif place.exists():
        place.remove()


def _report(
    folder: Place,
    answers: Place,
    tally: _Tally,
    totals: tuple[int, list[tuple[str, float, int]]],
    total: int,
    *,
    json_output: bool,
) -> None:
    pictures, classes = totals
    shown = len(tally.errors)
    if len(tally.failed) > shown:
        sys.stderr.write(f"and {len(tally.failed) - shown} more errors: {folder / _NOT_DONE}\n")
    if tally.ending:
        through = tally.done + tally.there + len(tally.failed)
        sys.stderr.write(
            f"{tally.ending}: {through} of {total} pictures were worked through; "
            "the same command goes on with the rest\n"
        )
    rows: list[dict[str, Any]] = [
        {"name": name, "share": share / pictures, "pictures": count}
        for name, share, count in classes
    ]
    if json_output:
        print_json(
            {
                "done": tally.done,
                "already_there": tally.there,
                "failed": len(tally.failed),
                "errors": tally.errors,
                "summary": str(folder / SUMMARY_FOLDER),
                "pictures": pictures,
                "classes": rows,
            }
        )
        return
    if rows:
        print_columns(
            ("class", "share", "pictures"),
            [(row["name"], format_share(row["share"]), str(row["pictures"])) for row in rows],
        )
    parts = [f"{tally.done} done"]
    parts += [f"{tally.there} already there"] if tally.there else []
    parts += [f"{len(tally.failed)} failed ({folder / _NOT_DONE})"] if tally.failed else []
    print_line(f"{', '.join(parts)}: {answers}, {folder / SUMMARY_FOLDER}")


@contextmanager
def _quiet() -> Any:
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):  # noqa: PTH123
        yield
