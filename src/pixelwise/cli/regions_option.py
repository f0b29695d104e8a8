"""The options of `pixelwise predict` that are about regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelwise.cli.output import fail, print_error
from pixelwise.errors import PixelwiseError, UsageError, did_you_mean
from pixelwise.formats.spacing import Spacing, parse_spacing
from pixelwise.inference.job_list import Job
from pixelwise.inference.predictor import Model
from pixelwise.inference.remote import Place

if TYPE_CHECKING:
    from pixelwise.inference.region_output import RegionOutput

__all__ = [
    "PixelSizeOption",
    "RegionsOption",
    "begin_regions",
    "finish_regions",
    "parse_size",
    "refuse_on_ray",
    "regions_path",
]

RegionsOption = Annotated[
    str | None,
    typer.Option(
        "--regions",
        metavar="FORM",
        help="Photos: also a folder of regions: coco, cvat, geojson, labelme, svg, voc or yolo.",
    ),
]

PixelSizeOption = Annotated[
    str | None,
    typer.Option(
        "--spacing",
        metavar="SIZE",
        help="Photos: size of a pixel, as 0.5mm, for real areas (--json, --regions).",
    ),
]


def parse_size(text: str | None, *, used: bool) -> Spacing | None:
    """The size of a pixel that `--spacing` says.

    Raises:
        UsageError: it is no size, or nothing that is asked for has real areas.
    """
    if text is None:
        return None
    if not used:
        raise UsageError(
            "--spacing is for real areas, and none are asked for", fix="add --json or --regions"
        )
    return parse_spacing(text)


def begin_regions(
    form: str | None, output: Place, spacing: Spacing | None, model: Model, jobs: Sequence[Job]
) -> RegionOutput | None:
    """The folder for the regions of a run; None where none are asked for.

    Raises:
        UsageError: there is no such form, the model gives several classes a pixel, or results go
            into a store.
        OutputError: the folder cannot take them.
    """
    if form is None:
        return None
    # Most runs need none of it.
    from pixelwise.inference.region_output import RegionOutput
    from pixelwise.region_files import REGION_FORMS

    if form not in REGION_FORMS:
        raise UsageError(
            "no such form of regions",
            got=f"--regions {form}",
            fix=did_you_mean(form, REGION_FORMS),
        )
    if not isinstance(output, Path):
        raise UsageError(
            "regions are written to disks alone", got=f"-o {output}", fix="give a folder on a disk"
        )
    if model.is_multi_label:
        raise UsageError(
            "files of regions are of one class a pixel, and classes of this model lie over "
            "each other",
            where=model.card.name,
            got=f"--regions {form}",
            fix="leave it away: masks/CLASS opens as a data set",
        )
    regions = RegionOutput.of(output, form, spacing)
    regions.begin(model.sha256, model.classes, jobs)
    return regions


def finish_regions(regions: RegionOutput | None, model: Model) -> str:
    """Writes what the regions of all pictures share; why that failed, or nothing."""
    try:
        if regions is not None:
            regions.finish(model.classes)
    except PixelwiseError as error:
        print_error(error)
        return "the file that all regions share was not written"
    return ""


def regions_path(regions: RegionOutput | None, job: Job) -> dict[str, str]:
    """The file of a picture's regions under its name among the outputs, if there is one."""
    return {} if regions is None else {"regions": str(regions.place(job))}


def refuse_on_ray(regions: str | None, spacing: str | None) -> None:
    """Ends the command where one of these options is given together with `--ray`."""
    given = [n for n, value in (("--regions", regions), ("--spacing", spacing)) if value]
    if given:
        fail(
            UsageError(
                "a run on Ray writes no regions",
                got=", ".join(given),
                fix="leave them away, or run without --ray",
            )
        )
