"""What `pixelwise predict` says in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pixelwise.cli.output import error_facts, print_columns, print_json
from pixelwise.cli.picture_report import print_shares
from pixelwise.cli.rasters import raster_entries
from pixelwise.cli.regions_option import regions_path
from pixelwise.inference.jobs import Outcome
from pixelwise.inference.raster_output import Result

if TYPE_CHECKING:
    from pixelwise.cli.predict import Done, Request

__all__ = ["print_predictions", "print_report"]


def print_predictions(
    finished: list[Outcome[Done]], streamed: list[Outcome[Result]], request: Request
) -> None:
    """Writes the results of all pictures as one JSON document."""
    pictures: list[dict[str, Any]] = []
    rasters, failed = raster_entries(streamed)
    for outcome in finished:
        if outcome.result is not None and outcome.result.summary is not None:
            entry = {
                "source": str(outcome.job.source),
                "outputs": outcome.result.outputs.paths()
                | regions_path(request.regions, outcome.job),
                **outcome.result.summary,
            }
            if outcome.result.point is not None:
                entry["at"] = outcome.result.point
            pictures.append(entry)
        elif outcome.error is not None:
            failed.append({"source": str(outcome.job.source), **error_facts(outcome.error)})
    rasters_too = {"rasters": rasters} if streamed else {}
    print_json({"pictures": pictures, **rasters_too, "failed": failed})


def print_report(finished: list[Outcome[Done]], request: Request) -> None:
    """Writes the shares of the classes over all photos, and where the results are."""
    results = [(outcome.job, outcome.result) for outcome in finished if outcome.result is not None]
    for job, result in results:
        if result.point is not None and request.point is not None:
            print_columns(
                ("class", "probability"),
                [(name, f"{value:.3f}") for name, value in result.point.items()],
                title=f"{job.source} at x={request.point[0]}, y={request.point[1]}",
            )
    print_shares(
        [result for _, result in results],
        failed=len(finished) - len(results),
        output=request.output,
        folders=[request.regions.folder] if request.regions else [],
    )
