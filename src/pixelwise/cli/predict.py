"""`pixelwise predict`: pictures in, label maps and overlays out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelwise.cli.output import (
    INTERRUPTED,
    ExitCode,
    fail,
)
from pixelwise.cli.picture_report import gather
from pixelwise.cli.predict_report import print_predictions, print_report
from pixelwise.cli.rasters import (
    check_options,
    parse_bands,
    parse_memory,
    parse_range,
    parse_vector,
    print_rasters,
    run_rasters,
)
from pixelwise.cli.refinement import (
    FillHolesOption,
    KeepLargestOption,
    MinAreaOption,
    RefineOption,
    SmoothOption,
    SnapOption,
    for_model,
    superpixels,
    wanted,
)
from pixelwise.cli.regions_option import (
    PixelSizeOption,
    RegionsOption,
    begin_regions,
    finish_regions,
    parse_size,
    refuse_on_ray,
)
from pixelwise.errors import PixelwiseError, UsageError
from pixelwise.formats.decoding import DEFAULT_MEGAPIXELS
from pixelwise.formats.files import make_folder
from pixelwise.formats.masks import read_mask
from pixelwise.formats.raster_reader import TIFF_SUFFIXES, is_raster
from pixelwise.formats.spacing import Spacing
from pixelwise.inference.collecting import collect_jobs
from pixelwise.inference.engines import MOST_THREADS, make_engine, usable_cores
from pixelwise.inference.job_list import JobList
from pixelwise.inference.jobs import (
    Job,
    Outcome,
    Outputs,
    read_job,
    run_jobs,
    source_facts,
    sweep_results,
)
from pixelwise.inference.model_file import ModelFile, read_model
from pixelwise.inference.picture_facts import PictureFacts, mask_facts, picture_facts, result_facts
from pixelwise.inference.predictor import Model
from pixelwise.inference.raster_output import Result
from pixelwise.inference.rasters import RasterSettings
from pixelwise.inference.remote import Place, place_of
from pixelwise.inference.tile_plan import DEFAULT_OVERLAP, describe_settings
from pixelwise.multi_label import MultiLabelSegmentation
from pixelwise.refine.plan import Refinement
from pixelwise.segmentation import Labels, Segmentation

if TYPE_CHECKING:
    from pixelwise.inference.region_output import RegionOutput

__all__ = ["Done", "Request", "predict", "work"]

# From this many pictures on, side by side beats all cores on each.
_MANY = 4


@dataclass(frozen=True)
class Request:
    """What is wanted of every picture."""

    output: Place
    layers: bool
    probabilities: bool
    point: tuple[int, int] | None
    summary: bool
    overwrite: bool
    tile: int | None
    overlap: float | None
    tta: str
    refinement: Refinement
    max_megapixels: float
    decode_timeout: float | None
    facts: bool = False
    spacing: Spacing | None = None
    regions: RegionOutput | None = None

    @property
    def settings(self) -> str:
        """What a result depends on beside the picture and the model."""
        overlap = DEFAULT_OVERLAP if self.overlap is None else self.overlap
        parts = describe_settings(tile=self.tile, overlap=overlap, tta=self.tta)
        return ", ".join(filter(None, (parts, self.refinement.describe())))


@dataclass(frozen=True)
class Done:
    """What a finished picture is reported with."""

    outputs: Outputs
    shares: dict[str, float]
    skipped: bool
    point: dict[str, float] | None
    summary: dict[str, Any] | None
    facts: PictureFacts | None
    source_hash: str
    removed: tuple[Place, ...]


def predict(
    photos: Annotated[
        list[str],
        typer.Argument(
            help="Pictures, folders (with all below them), patterns; or s3://…, gs://…."
        ),
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", help="Folder for the results, or s3://… or gs://….")
    ] = "out",
    model: Annotated[
        str, typer.Option(help="Name of a shipped model, or path of a model file.")
    ] = "street",
    layers: Annotated[
        bool, typer.Option("--layers", help="Also a mask and a heat map for each class.")
    ] = False,
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities",
            help="Also all probabilities (.npz, float32 [C, H, W]; of rasters .tif, 0..250).",
        ),
    ] = False,
    confidence: Annotated[
        bool,
        typer.Option("--confidence", help="Rasters: also the label's probability (.tif, 0..250)."),
    ] = False,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Rasters: cap on all memory, as 1G; if none, a quarter of what is free.",
        ),
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(metavar="N,N,…", help="Rasters: bands for the model, by number or name."),
    ] = None,
    value_range: Annotated[
        str | None,
        typer.Option("--range", metavar="LOW,HIGH", help="Rasters: numbers shown as 0 and 255."),
    ] = None,
    vector: Annotated[
        str | None,
        typer.Option(
            metavar="gpkg|geojson|FILE",
            help="Rasters: also polygons with class and area, simplified without gaps.",
        ),
    ] = None,
    regions: RegionsOption = None,
    spacing: PixelSizeOption = None,
    allow_references: Annotated[
        bool,
        typer.Option(
            "--allow-references", help="Rasters: VRT, and georeferences in files beside them."
        ),
    ] = False,
    at: Annotated[
        str | None, typer.Option(metavar="X,Y", help="Print the class scores at one pixel.")
    ] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print tags, shares, boxes and centroids as JSON.")
    ] = False,
    engine: Annotated[str, typer.Option(help="auto, onnxruntime or openvino.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu or gpu.")] = "cpu",
    threads: Annotated[
        int, typer.Option(min=0, max=MOST_THREADS, help="Cores to use; 0 means all.")
    ] = 0,
    tile: Annotated[
        int | None,
        typer.Option(min=1, help="Cut into tiles of this side, seen at the picture's own scale."),
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option(min=0, max=0.5, help="Part of a tile that its neighbour covers. [0.25]"),
    ] = None,
    tta: Annotated[
        str, typer.Option(help="Mean over several views: none, mirror, flips or scales.")
    ] = "none",
    refine: RefineOption = "none",
    snap: SnapOption = None,
    smooth: SmoothOption = 0,
    fill_holes: FillHolesOption = None,
    keep_largest: KeepLargestOption = None,
    min_area: MinAreaOption = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make results anew that are there already.")
    ] = False,
    max_megapixels: Annotated[
        float, typer.Option(min=0, help="Refuse larger pictures before decoding them.")
    ] = DEFAULT_MEGAPIXELS,
    decode_timeout: Annotated[
        float | None,
        typer.Option(min=0, help="For files from strangers: decode each apart, at most N seconds."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS]",
            help="Millions of pictures: by processes of a Ray cluster at HOST:PORT or auto; "
            "without ADDRESS by those of a Ray started for this command.",
        ),
    ] = None,
) -> None:
    """Segment pictures: for each an indexed PNG label map and an overlay with a legend.

    A model of several classes per pixel gives a mask for each class instead of the label map.

    GeoTIFFs, slides, Zarr and TIFFs too large for a photo become GeoTIFFs, tile by tile.

    Exit code 0: all done; 1: some pictures failed, the others are done; 2: could not start;
    130: interrupted, the same command goes on.
    """
    for_rasters = _given(
        {
            "--memory": memory is not None,
            "--confidence": confidence,
            "--bands": bands is not None,
            "--range": value_range is not None,
            "--vector": vector is not None,
            "--allow-references": allow_references,
        }
    )
    refinement = wanted(refine, snap, smooth, fill_holes, keep_largest, min_area)
    if ray is not None:
        refuse_on_ray(regions, spacing)
        # Ray and what reads tables take a second to load.
        from pixelwise.cli.predict_on_ray import predict_on_ray

        predict_on_ray(
            photos,
            output=output,
            model=model,
            layers=layers,
            probabilities=probabilities,
            at=at,
            json_output=json_output,
            engine=engine,
            device=device,
            threads=threads,
            overwrite=overwrite,
            max_megapixels=max_megapixels,
            decode_timeout=decode_timeout,
            tile=tile,
            overlap=overlap,
            tta=tta,
            refinement=refinement,
            for_rasters=for_rasters,
            address=ray,
        )
        return
    try:
        point = _parse_point(at)
        folder = place_of(output)
        file = read_model(model)
        refinement = for_model(refinement, file.card)
        # A plain TIFF is a photo, but not to a model of other bands.
        every = memory is not None or not file.card.preprocessing.takes_photos
        jobs, rasters = _apart(collect_jobs(photos, folder), max_megapixels, every_tiff=every)
        given = {"--regions": regions is not None, "--spacing": spacing is not None}
        for_photos = _given({"--layers": layers, "--at": point is not None} | given)
        for_photos += dict.fromkeys(refinement.to_flags()[::2])
        size = parse_size(spacing, used=json_output or regions is not None)
        check_options(rasters, folder, for_rasters, for_photos)
        _refuse_rasters(file, rasters)
        if tile is None and overlap is not None and not rasters:
            raise UsageError(
                "an overlap needs tiles", got=f"--overlap {overlap}", fix="give --tile N"
            )
        settings = RasterSettings(
            bands=parse_bands(bands),
            value_range=parse_range(value_range),
            confidence=confidence,
            probabilities=probabilities,
            vector=parse_vector(vector, rasters),
            memory=parse_memory(memory),
            tile=tile,
            overlap=DEFAULT_OVERLAP if overlap is None else overlap,
            tta=tta,
            allow_references=allow_references,
            overwrite=overwrite,
        )
        cores = threads or usable_cores()
        workers = cores if len(jobs) >= _MANY and not rasters else 1
        each = max(1, cores // workers)
        runner = make_engine(file, engine=engine, device=device, threads=each, streams=workers)
        loaded = Model(file, runner, each)
        loaded.views(tta)
        if isinstance(folder, Path):
            make_folder(folder)
        sweep_results(folder)
        region_output = begin_regions(regions, folder, size, loaded, jobs)
    except PixelwiseError as error:
        fail(error)
    request = Request(
        output=folder,
        layers=layers,
        probabilities=probabilities,
        point=point,
        summary=json_output,
        overwrite=overwrite,
        tile=tile,
        overlap=overlap,
        tta=tta,
        refinement=refinement,
        max_megapixels=max_megapixels,
        decode_timeout=decode_timeout,
        spacing=size,
        regions=region_output,
    )
    finished: list[Outcome[Done]] = []
    ending = _run(loaded, jobs, request, workers, finished)
    ending = ending or finish_regions(region_output, loaded)
    streamed: list[Outcome[Result]] = []
    if not ending and isinstance(folder, Path):
        ending = run_rasters(loaded, rasters, folder, settings, streamed)
    _conclude(finished, streamed, request, ending, len(jobs) + len(rasters))


def _conclude(
    finished: list[Outcome[Done]],
    streamed: list[Outcome[Result]],
    request: Request,
    ending: str,
    total: int,
) -> None:
    """Prints what was done, and ends the command with the exit code that tells."""
    if request.summary:
        print_predictions(finished, streamed, request)
    else:
        print_report(finished, request)
        print_rasters(streamed)
    if ending:
        sys.stderr.write(
            f"{ending}: {len(finished) + len(streamed)} of {total} pictures were worked through; "
            "the same command goes on with the rest\n"
        )
    if ending == INTERRUPTED:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if (
        ending
        or any(outcome.error for outcome in finished)
        or any(outcome.error for outcome in streamed)
    ):
        raise typer.Exit(ExitCode.SOME_FAILED)


def _run(
    model: Model,
    jobs: Sequence[Job],
    request: Request,
    workers: int,
    finished: list[Outcome[Done]],
) -> str:
    """Works through the jobs into `finished`; returns why it ended early, or nothing."""
    outcomes = run_jobs(jobs, lambda job: work(model, job, request), workers=workers)
    return gather(outcomes, len(jobs), finished)


def work(model: Model, job: Job, request: Request) -> Done:
    """Makes what is wanted of one picture, as far as it is not there.

    Raises:
        PixelwiseError: the picture cannot be worked through.
    """
    content = read_job(job, max_megapixels=request.max_megapixels)
    facts = source_facts(content, model.sha256, request.settings)
    outputs = Outputs.of(
        job,
        request.output,
        layers=request.layers,
        probabilities=request.probabilities,
        multi_label=model.classes if model.is_multi_label else None,
    )
    done = outputs.are_done(facts, model.classes, overwrite=request.overwrite)
    regions = request.regions
    regions_done = regions is None or regions.is_done(job, facts, overwrite=request.overwrite)
    done = done and regions_done
    if done and not request.summary and request.point is None:
        shares = outputs.stored_shares()
        facts_there = _facts_there(outputs, model) if request.facts else None
        return Done(outputs, shares, True, None, None, facts_there, facts["source_hash"], ())
    segmentation = _answer(model, content, request, str(job.source))
    point = segmentation.at(*request.point) if request.point is not None else None
    if regions is not None and not regions_done and isinstance(segmentation, Segmentation):
        regions.save(segmentation, job, content, facts)
    removed = outputs.save(segmentation, facts, overwrite=request.overwrite)
    return Done(
        outputs=outputs,
        shares=segmentation.tags,
        skipped=done,
        point=point,
        summary=segmentation.summary(spacing=request.spacing) if request.summary else None,
        facts=result_facts(segmentation) if request.facts else None,
        source_hash=facts["source_hash"],
        removed=removed,
    )


def _apart(jobs: JobList, max_megapixels: float, *, every_tiff: bool) -> tuple[JobList, list[Job]]:
    """Photos, and rasters."""
    photos, rasters = JobList(), []
    for job in jobs:
        place = job.source
        tiff = every_tiff and place.suffix.lower() in TIFF_SUFFIXES
        if isinstance(place, Path) and (tiff or is_raster(place, max_megapixels=max_megapixels)):
            rasters.append(job)
        else:
            photos.append(job)
    return photos, rasters


def _refuse_rasters(file: ModelFile, rasters: Sequence[Job]) -> None:
    if rasters and file.card.postprocessing.activation == "sigmoid":
        raise UsageError(
            "classes of this model lie over each other, and rasters are given one label a pixel",
            where=str(rasters[0].source),
            got=f"{file.card.name}, {len(rasters)} rasters",
            fix="give photos; of a raster that fits into memory: "
            "pixelwise.load(MODEL).predict_multi_label(PATH)",
        )


def _given(options: dict[str, bool]) -> list[str]:
    return [name for name, is_given in options.items() if is_given]


def _answer(
    model: Model, content: bytes, request: Request, name: str
) -> Segmentation | MultiLabelSegmentation:
    predict_one = model.predict_multi_label if model.is_multi_label else model.predict
    found = predict_one(
        content,
        tile=request.tile,
        overlap=request.overlap,
        tta=request.tta,
        max_megapixels=request.max_megapixels,
        timeout=request.decode_timeout,
        name=name,
    )
    if isinstance(found, MultiLabelSegmentation):
        return found
    return request.refinement.apply(found, superpixels)


def _facts_there(outputs: Outputs, model: Model) -> PictureFacts:
    if outputs.masks:
        return mask_facts((_read_mask(place) > 0 for place in outputs.masks), model.classes)
    return picture_facts(_read_mask(outputs.labels), model.classes)


def _read_mask(place: Place) -> Labels:
    return read_mask(place if isinstance(place, Path) else place.read_bytes())


def _parse_point(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        x, y = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            "a pixel is given as two whole numbers", got=f"--at {text}", fix="such as --at 120,48"
        ) from None
    return x, y
