"""What commands over many pictures share: the run itself, and the report of it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Protocol, TypeVar

from pixelwise.cli.output import (
    INTERRUPTED,
    UNWRITABLE,
    hits_every_picture,
    print_columns,
    print_error,
    print_line,
    print_removed,
)
from pixelwise.cli.progress import progress_bar
from pixelwise.errors import PixelwiseError
from pixelwise.inference.jobs import Outcome, Outputs
from pixelwise.inference.remote import Place
from pixelwise.overlay import format_share

__all__ = ["FinishedPicture", "gather", "print_shares", "told"]


class Finished(Protocol):
    """What a finished picture of any size is told with."""

    @property
    def removed(self) -> tuple[Place, ...]:
        """Files of an earlier run that went."""


class FinishedPicture(Finished, Protocol):
    """What a finished picture is reported with."""

    @property
    def outputs(self) -> Outputs:
        """Its files."""

    @property
    def shares(self) -> dict[str, float]:
        """Of the classes that occur, 0..1."""

    @property
    def skipped(self) -> bool:
        """Whether all was there already."""


_Finished = TypeVar("_Finished", bound=FinishedPicture)
_Removing = TypeVar("_Removing", bound=Finished)


def gather(
    outcomes: Generator[Outcome[_Finished], None, None],
    total: int,
    finished: list[Outcome[_Finished]],
    *,
    raised: tuple[type[PixelwiseError], ...] = (),
) -> str:
    """Adds outcomes to `finished` as they come; tells errors, and what was removed.

    Args:
        outcomes: of all pictures.
        total: how many there will be.
        finished: takes them.
        raised: errors that end the run at once.

    Returns:
        Why it ended early, or nothing.
    """
    try:
        with closing(outcomes), progress_bar(total) as advance:
            for outcome in outcomes:
                if isinstance(outcome.error, raised):
                    raise outcome.error
                finished.append(outcome)
                advance(1)
                if told(outcome):
                    return UNWRITABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    return ""


def told(outcome: Outcome[_Removing]) -> bool:
    """Tells what was removed and what went wrong; whether that hits every picture."""
    if outcome.result is not None:
        print_removed(outcome.result.removed)
    if outcome.error is None:
        return False
    print_error(outcome.error)
    return hits_every_picture(outcome.error)


def print_shares(
    results: Sequence[FinishedPicture],
    *,
    failed: int,
    output: Place,
    folders: Sequence[Place] = (),
) -> None:
    """Writes the classes with their mean shares, how many are done, and where the results lie.

    Args:
        results: of the pictures that are done or were there.
        failed: how many are not.
        output: folder of the results.
        folders: others that hold results.
    """
    if not results:
        return
    totals: dict[str, list[float]] = {}
    for result in results:
        for name, share in result.shares.items():
            totals.setdefault(name, []).append(share)
    rows = [
        (name, format_share(sum(shares) / len(results)), str(len(shares)))
        for name, shares in sorted(totals.items(), key=lambda item: -sum(item[1]))
    ]
    print_columns(("class", "share", "pictures"), rows)
    skipped = sum(result.skipped for result in results)
    parts = [f"{len(results) - skipped} done"]
    parts += [f"{skipped} already there"] if skipped else []
    parts += [f"{failed} failed"] if failed else []
    where = [*results[0].outputs.paths().values()]
    if len(results) > 1:
        where = [str(output / folder) for folder in results[0].outputs.folders()]
    where += [str(folder) for folder in folders]
    print_line(f"{', '.join(parts)}: {', '.join(where)}")
