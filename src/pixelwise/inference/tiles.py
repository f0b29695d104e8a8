"""Pictures of any size: overlapping tiles through the network, finished pixels out.

The scores of neighbouring tiles lie on one grid, at the network's own low resolution. There they
are faded into each other along their seams (`seams.py`); the exact decode then makes labels of each
tile's finished scores. Nothing of the picture's size exists but one stripe of results, and of the
scores only the seams: memory grows with the width of the picture and the thickness of a seam, not
with its height.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ArrayError, EngineError, UsageError
from pixelwise.geometry import Geometry, Window
from pixelwise.inference.network import Network
from pixelwise.inference.pixel_source import ArraySource, PixelSource
from pixelwise.inference.seams import Seams
from pixelwise.inference.tile_plan import Strip, TilePlan, plan_tiles
from pixelwise.inference.tile_run import TileBatch, owned, run_tiles
from pixelwise.segmentation import Labels, Provenance, Segmentation
from pixelwise.version import VERSION

__all__ = [
    "ArraySource",
    "PixelSource",
    "Stripe",
    "TilePlan",
    "plan_tiles",
    "provenance_of",
    "stream_tiles",
    "tiled_scores",
]


@dataclass(frozen=True)
class Stripe:
    """Finished pixels of a picture.

    Attributes:
        window: where they lie.
        labels: class ids, uint8 or uint16 `[h, w]`.
        confidence: probability of each pixel's class, float32 `[h, w]`, or None.
        probabilities: of all classes, float32 `[C, h, w]`, or None.
    """

    window: Window
    labels: Labels
    confidence: NDArray[np.float32] | None
    probabilities: NDArray[np.float32] | None


def stream_tiles(
    model: Network,
    source: PixelSource,
    plan: TilePlan,
    *,
    start: int = 0,
    progress: Callable[[int], object] = lambda _: None,
) -> Generator[Stripe, None, None]:
    """Segments a picture of any size, stripe by stripe.

    The stripes are those of `plan.windows`, in their order; together they hold every pixel once.
    Their bits depend on the plan alone, so a run that was killed goes on with `start` as if
    nothing had happened.

    Args:
        model: the plan's model.
        source: the picture; its size is the plan's.
        plan: from `plan_tiles`.
        start: the first stripe that is wanted.
        progress: called with the number of tiles that are done since the last call.

    Raises:
        UsageError: the picture has not the plan's size, there is no such stripe, or the model's
            classes lie over each other.
        EngineError: the network cannot be run, or gave scores that are not finite.
        OutOfMemoryError: not even a small tile fits into memory.
    """
    _check_size(source, plan)
    if model.card.postprocessing.activation == "sigmoid":
        raise UsageError(
            "classes of this model lie over each other, so stripes of labels cannot be made",
            where=model.card.name,
            fix="call predict_multi_label, with tile= for a picture that fits into memory",
        )
    if not 0 <= start <= len(plan.windows):
        raise UsageError(
            "there is no such stripe", got=f"start={start} of {len(plan.windows)} stripes"
        )
    return _stripes(model, source, plan, start, progress)


def tiled_scores(
    model: Network,
    source: PixelSource,
    plan: TilePlan,
    *,
    progress: Callable[[int], object] = lambda _: None,
) -> NDArray[np.float32]:
    """The joined scores of all tiles, float32 `[C, h, w]`: those that `plan.geometry` is about.

    Errors as those of `stream_tiles`.
    """
    _check_size(source, plan)
    shape = (len(model.classes), plan.rows.cells, plan.columns.cells)
    whole = np.empty(shape, np.float32)
    # Only stripes need strips: here all scores are kept anyway.
    strip = Strip(0, plan.columns.tiles - 1, 0, plan.size[1])
    rows = [(strip, row, row > 0, True) for row in range(plan.rows.tiles)]
    with closing(_joined(model, source, plan, rows, progress)) as tiles:
        for batch, column, tile in tiles:
            down, tile_down = owned(plan.rows, batch.row)
            across, tile_across = owned(plan.columns, column)
            whole[:, down, across] = tile[:, tile_down, tile_across]
    return whole


# Strip, row of tiles, whether the row above came before, whether its pixels are wanted.
_Row = tuple[Strip, int, bool, bool]


def _stripes(
    model: Network,
    source: PixelSource,
    plan: TilePlan,
    start: int,
    progress: Callable[[int], object],
) -> Generator[Stripe, None, None]:
    outputs: _Outputs | None = None
    with closing(_joined(model, source, plan, _rows(plan, start), progress)) as tiles:
        for batch, column, tile in tiles:
            if not batch.finishes:
                continue
            strip = batch.strip
            if outputs is None:
                window = Window(
                    strip.left,
                    plan.row_edges[batch.row],
                    strip.right,
                    plan.row_edges[batch.row + 1],
                )
                outputs = _Outputs(model, plan, window)
            left = strip.left if column == strip.first else plan.column_edges[column]
            right = strip.right if column == strip.last else plan.column_edges[column + 1]
            if left < right:
                outputs.fill(tile, batch.row, column, left, right)
            if column == strip.last:
                yield outputs.stripe()
                outputs = None


def _rows(plan: TilePlan, start: int) -> Iterator[_Row]:
    """The rows of tiles that give the stripes from `start` on.

    The first of them needs the seam with the row above, whose own pixels are there already.
    """
    wanted = list(plan.stripes())[start:]
    if not wanted:
        return
    first_strip, first_row = wanted[0]
    if first_row > 0:
        yield first_strip, first_row - 1, False, False
    for strip in plan.strips[plan.strips.index(first_strip) :]:
        for row in range(first_row if strip == first_strip else 0, plan.rows.tiles):
            yield strip, row, row > 0, plan.row_edges[row] < plan.row_edges[row + 1]


def _joined(
    model: Network,
    source: PixelSource,
    plan: TilePlan,
    rows: Iterator[_Row] | list[_Row],
    progress: Callable[[int], object],
) -> Generator[tuple[TileBatch, int, NDArray[np.float32]], None, None]:
    """Every tile, with the scores that it finishes final; see `Seams.join`."""
    seams: Seams | None = None
    strip: Strip | None = None
    classes = len(model.classes)
    with closing(run_tiles(model, source, plan, _batches(plan, rows))) as results:
        for batch, scores in results:
            if seams is None or batch.strip is not strip:
                strip = batch.strip
                seams = Seams(plan.rows, plan.columns, strip.first, strip.last, classes)
            _check_shape(scores, plan)
            for column, tile in zip(batch.columns, scores, strict=True):
                seams.join(batch.row, column, tile, follows=batch.follows)
                yield batch, column, tile
            progress(len(batch.columns))


def _batches(plan: TilePlan, rows: Iterator[_Row] | list[_Row]) -> Iterator[TileBatch]:
    """Batches never reach over the end of a row, so that they are the same after a restart."""
    width, wide = plan.resized[1], plan.tile[1]
    for strip, row, follows, finishes in rows:
        columns = range(strip.first, strip.last + 1)
        for _, group in groupby(columns, lambda n: plan.columns.origins[n] + wide > width):
            members = list(group)
            for first in range(0, len(members), plan.batch):
                chosen = tuple(members[first : first + plan.batch])
                yield TileBatch(strip, row, chosen, follows, finishes)


class _Outputs:
    """The results of one stripe, filled tile by tile."""

    def __init__(self, model: Network, plan: TilePlan, window: Window) -> None:
        size = (window.bottom - window.top, window.right - window.left)
        self._model = model
        self._plan = plan
        self._window = window
        self._provenance = provenance_of(model, plan, "")
        kind = np.uint8 if max(model.classes.ids) < 256 else np.uint16
        self._labels = np.empty(size, kind)
        self._confidence = np.empty(size, np.float32) if plan.confidence else None
        shape = (len(model.classes), *size)
        self._probabilities = np.empty(shape, np.float32) if plan.probabilities else None

    def fill(self, tile: NDArray[np.float32], row: int, column: int, left: int, right: int) -> None:
        """Works out the pixels between two columns of pixels from a tile's final scores."""
        plan, top, bottom = self._plan, self._window.top, self._window.bottom
        geometry = plan.geometry
        part = Geometry(
            geometry.rows.window(top, bottom).over(plan.rows.first_cell(row)),
            geometry.columns.window(left, right).over(plan.columns.first_cell(column)),
        )
        try:
            pixels = Segmentation(
                scores=tile,
                classes=self._model.classes,
                geometry=part,
                provenance=self._provenance,
                threads=self._model.threads,
                temperature=plan.postprocessing.temperature,
            )
        except ArrayError as error:
            raise EngineError(
                "the network gave scores that cannot be used",
                where=f"{self._model.file.path}, rows {top}–{bottom}, columns {left}–{right}",
                got=error.got,
                fix="check the file with the other engine (engine='onnxruntime' or 'openvino')",
            ) from error
        place = slice(left - self._window.left, right - self._window.left)
        self._labels[:, place] = pixels.labels
        if self._confidence is not None:
            self._confidence[:, place] = pixels.confidence
        if self._probabilities is not None:
            self._probabilities[:, :, place] = pixels.probabilities()

    def stripe(self) -> Stripe:
        """What was filled."""
        return Stripe(self._window, self._labels, self._confidence, self._probabilities)


def provenance_of(model: Network, plan: TilePlan, source: str) -> Provenance:
    """Where results of a plan come from."""
    return Provenance(
        model=model.card.name,
        model_hash=model.sha256,
        engine=model.engine,
        network_size=plan.tile,
        source=source,
        version=VERSION,
    )


def _check_size(source: PixelSource, plan: TilePlan) -> None:
    if tuple(source.size) != plan.size:
        raise UsageError(
            "the picture has another size than the plan",
            got=f"{source.size}, the plan is for {plan.size} (H×W)",
            fix="make the plan with plan_tiles(source.size, …)",
        )


def _check_shape(scores: NDArray[np.float32], plan: TilePlan) -> None:
    expected = (plan.rows.tile_cells, plan.columns.tile_cells)
    if scores.shape[2:] != expected:
        raise EngineError(
            "the network's scores do not grow evenly with its input, so tiles do not fit together",
            got=f"scores {scores.shape[2:]} of a tile {plan.tile}, expected {expected}",
            fix="predict whole pictures, or give a tile of another size",
        )
