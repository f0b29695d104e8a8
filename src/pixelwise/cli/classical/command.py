"""The command: its flags, and which of its two jobs is asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pixelwise.classical.benchmark import scorable
from pixelwise.classical.clusters import MOST_SEED
from pixelwise.classical.methods import METHODS, check_installed, find_method
from pixelwise.classical.motion import motion
from pixelwise.cli.classical.benchmark import Wanted, run_benchmark
from pixelwise.cli.classical.options import method_options, read_seeds
from pixelwise.cli.classical.pictures import (
    Done,
    Request,
    backgrounds,
    print_finished,
    work_through,
)
from pixelwise.cli.data.options import (
    ClassesOption,
    ImagesOption,
    JsonOption,
    LayoutOption,
    MasksOption,
    OverwriteOption,
    RestOption,
    SplitsOption,
    ValidOption,
)
from pixelwise.cli.judging import MapOption, Opening, SplitOption, ThreadsOption, Work
from pixelwise.cli.output import INTERRUPTED, ExitCode, fail
from pixelwise.errors import PixelwiseError, UsageError
from pixelwise.formats.decoding import DEFAULT_MEGAPIXELS
from pixelwise.formats.files import make_folder
from pixelwise.inference.collecting import collect_jobs
from pixelwise.inference.engines import usable_cores
from pixelwise.inference.jobs import Outcome, sweep_results

__all__ = ["app"]

# From this many pictures on, side by side beats all cores on each.
_MANY = 4


def classical(
    photos: Annotated[
        list[str],
        typer.Argument(
            help="Pictures, folders (with all below them), patterns; with --benchmark a data set."
        ),
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(METHODS)}; with --benchmark any number of them."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Folder for the results, by itself out; with --benchmark a file: .json or .md.",
        ),
    ] = None,
    seeds: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|X,Y:CLASS",
            help="Known pixels: a label map of scribbles (0: unknown), a folder of them by the "
            "names of the pictures, or points.",
        ),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(help="Classes of the seeds, in the order of the ids 1, 2 …: a,b,c."),
    ] = None,
    box: Annotated[
        str | None, typer.Option(metavar="X1,Y1,X2,Y2", help="Where the object is, for grabcut.")
    ] = None,
    circle: Annotated[
        str | None, typer.Option(metavar="X,Y,RADIUS", help="Where the snake begins.")
    ] = None,
    contour: Annotated[
        str | None, typer.Option(metavar="'X,Y X,Y …'", help="Or the corners where it begins.")
    ] = None,
    clusters: Annotated[int | None, typer.Option(help="How many classes to part into.")] = None,
    dark: Annotated[
        bool, typer.Option("--dark", help="The foreground is darker than the background.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=MOST_SEED, help="Of all that is drawn; by itself 0."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Another option of the method."),
    ] = None,
    probabilities: Annotated[
        bool,
        typer.Option("--probabilities", help="Also all probabilities (.npz, float32 [C, H, W])."),
    ] = False,
    benchmark: Annotated[
        bool, typer.Option("--benchmark", help="Score methods against the truth of a data set.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="With --benchmark: a trained model to compare with.")
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="With --benchmark: so many pictures, drawn by the seed."),
    ] = None,
    split: SplitOption = None,
    map_: MapOption = None,
    json_output: JsonOption = False,
    layout: LayoutOption = None,
    classes: ClassesOption = None,
    images: ImagesOption = None,
    masks: MasksOption = None,
    valid: ValidOption = None,
    rest: RestOption = None,
    splits: SplitsOption = None,
    threads: ThreadsOption = 0,
    overwrite: OverwriteOption = False,
    max_megapixels: Annotated[
        float, typer.Option(min=0, help="Refuse larger pictures before decoding them.")
    ] = DEFAULT_MEGAPIXELS,
    decode_timeout: Annotated[
        float | None,
        typer.Option(min=0, help="For files from strangers: decode each apart, at most N seconds."),
    ] = None,
) -> None:
    """Segment pictures without a network, or score such methods on a data set.

    Results are written as by `pixelwise predict`. What the methods are good for, and their options,
    stand in docs/classical.md.

    Exit code 0: all done; 1: some pictures failed, the others are done; 2: could not start;
    130: interrupted.
    """
    of_pictures: dict[str, object] = {
        "--seeds": seeds,
        "--names": names,
        "--box": box,
        "--circle": circle,
        "--contour": contour,
        "--clusters": clusters,
        "--dark": dark,
        "--set": set_,
        "--probabilities": probabilities,
        "--decode-timeout": decode_timeout,
    }
    of_benchmark: dict[str, object] = {
        "--model": model,
        "--sample": sample,
        "--split": split,
        "--map": map_,
        "--layout": layout,
        "--classes": classes,
        "--images": images,
        "--masks": masks,
        "--valid": valid,
        "--rest": rest,
        "--splits": splits,
    }
    try:
        check_installed()
        others = of_pictures if benchmark else of_benchmark
        _check_job(photos, method or [], others, benchmark=benchmark)
        if benchmark:
            chosen = [*dict.fromkeys(find_method(name) for name in method or [])]
            opening = Opening(layout, classes, images, masks, valid, rest, splits)
            wanted = Wanted(
                data=Path(photos[0]),
                opening=opening,
                methods=chosen or [each for each in METHODS.values() if scorable(each)],
                model=model,
                rules=map_ or [],
                split=split,
                sample=sample,
                seed=seed or 0,
                output=output,
                overwrite=overwrite,
                summary=json_output,
                work=Work("auto", "cpu", threads),
            )
            raise typer.Exit(run_benchmark(wanted))
        one = find_method((method or [""])[0])
        known = {} if seeds is None else {"seeds": read_seeds(seeds)}
        options = method_options(
            one,
            pairs=set_ or [],
            box=box,
            circle=circle,
            contour=contour,
            names=names,
            given={"clusters": clusters, "dark": dark or None, "seed": seed} | known,
        )
        folder = output or Path("out")
        jobs = collect_jobs(photos, folder)
        behind = {}
        if one.run is motion:
            behind = backgrounds(jobs, max_megapixels=max_megapixels, timeout=decode_timeout)
        make_folder(folder)
        sweep_results(folder)
        options.pop("seeds", None)
        request = Request(
            method=one,
            options=options,
            seeds=known.get("seeds"),
            output=folder,
            probabilities=probabilities,
            summary=json_output,
            overwrite=overwrite,
            max_megapixels=max_megapixels,
            decode_timeout=decode_timeout,
            behind=behind,
        )
        finished: list[Outcome[Done]] = []
        workers = (threads or usable_cores()) if len(jobs) >= _MANY else 1
        ending = work_through(jobs, request, workers, finished)
    except PixelwiseError as error:
        fail(error)
    print_finished(finished, request)
    if ending:
        sys.stderr.write(
            f"{ending}: {len(finished)} of {len(jobs)} pictures were worked through; "
            "the same command goes on with the rest\n"
        )
    if ending == INTERRUPTED:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if ending or any(outcome.error for outcome in finished):
        raise typer.Exit(ExitCode.SOME_FAILED)


def _check_job(
    photos: list[str], methods: list[str], others: dict[str, object], *, benchmark: bool
) -> None:
    """Refuses flags of the other job, and more methods or data sets than one can be asked for."""
    kind = "segments pictures, without" if benchmark else "scores methods, with"
    given = [flag for flag, value in others.items() if value is not None and value is not False]
    faults = [f"{flag} {kind} --benchmark" for flag in given]
    if benchmark and len(photos) != 1:
        faults.append(f"{len(photos)} data sets, expected one")
    if not benchmark and len(methods) != 1:
        faults.append(f"{len(methods)} methods, expected one: --method {'|'.join(METHODS)}")
    if faults:
        raise UsageError(
            "what is wanted is not clear", got="\n  ".join(faults), fix="correct all that is listed"
        )


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(classical)
