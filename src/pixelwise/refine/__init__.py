"""Segmentations made better after the network, one step after the other.

Each function takes a `Segmentation` and returns a new one, whose provenance records the step
(`Provenance.refined`). `crf` and `guided` give new probabilities, and labels follow from them; the
others change the label map, and probabilities stay. Ignored pixels stay as they are, and no class
appears in the label map that was not among the classes of the model.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.class_entries import listed
from pixelwise.errors import ArrayError, UsageError
from pixelwise.geometry import Geometry, Window
from pixelwise.kernels.axis import Axis
from pixelwise.refine.cleaning import (
    filled_holes,
    largest_alone,
    smoothed,
    taken_together,
    without_specks,
)
from pixelwise.refine.options import MOST_AREA, MOST_RADIUS, number_fault, option_faults
from pixelwise.refine.pieces import in_pieces, pieces_of
from pixelwise.segmentation import Labels, Provenance, Segmentation
from pixelwise.temperature import LEAST_PROBABILITY

__all__ = ["crf", "fill_holes", "guided", "keep_largest", "min_area", "smooth", "snap"]

# In deviations; half of a margin has no say, so that each pixel sees one at least of all around.
_MARGIN_DEVIATIONS = 2
_SMOOTH_REACH = 4
# Floats that a method may take for a piece, 1 GiB.
_MOST_FLOATS = 2**28


def crf(
    segmentation: Segmentation,
    *,
    iterations: int = 5,
    colour_weight: float = 10.0,
    colour_deviation: float = 13.0,
    position_deviation: float = 80.0,
    smooth_weight: float = 3.0,
    smooth_deviation: float = 3.0,
) -> Segmentation:
    """A fully connected conditional random field: pixels of one colour agree on their class.

    See `kernels.dense_crf`, which has the equations and the limits of the parameters. Beside the
    answer, 4 bytes for each pixel and class, it takes at most 1 GiB: larger pictures (1.9
    megapixels of 11 classes) are worked in pieces that overlap by four deviations and fade into
    each other. Labels of 0.1 % of the pixels are then others than in one piece. Pieces are six
    deviations wide at least, and very large deviations take more memory.

    Args:
        segmentation: with its photo, and labels as the network gave them.
        iterations: of mean field.
        colour_weight: how much pixels near by and of the same colour count; 0 leaves them out.
        colour_deviation: how different colours may be, of 0..255; from 0.01.
        position_deviation: how far apart these pixels may be, from 1 pixel.
        smooth_weight: how much neighbours of any colour count; 0 leaves them out.
        smooth_deviation: how far apart neighbours may be, in pixels.

    Raises:
        UsageError: there is no photo, labels were changed before, or a parameter is outside its
            range.
    """
    _check_options(
        "crf",
        iterations=iterations,
        colour_weight=colour_weight,
        colour_deviation=colour_deviation,
        position_deviation=position_deviation,
        smooth_weight=smooth_weight,
        smooth_deviation=smooth_deviation,
    )
    image = _image_of(segmentation, "crf")
    classes = len(segmentation.classes)

    def probabilities(window: Window) -> NDArray[np.float32]:
        part = segmentation.geometry.window(window)
        return kernels.dense_crf(
            kernels.decode_scores(
                segmentation.calibrated_scores,
                part.rows,
                part.columns,
                threads=segmentation.threads,
            ),
            image[window.top : window.bottom, window.left : window.right],
            iterations=iterations,
            colour_weight=colour_weight,
            colour_deviation=colour_deviation,
            position_deviation=position_deviation,
            smooth_weight=smooth_weight,
            smooth_deviation=smooth_deviation,
            origin=(window.top, window.left),
            threads=segmentation.threads,
        )

    reaches = [
        _MARGIN_DEVIATIONS * position_deviation if colour_weight > 0 else 0,
        _SMOOTH_REACH * smooth_deviation if smooth_weight > 0 else 0,
    ]
    pieces = pieces_of(
        segmentation.size,
        margin=math.ceil(max(reaches)) if iterations else 0,
        most_pixels=_MOST_FLOATS // _floats_of_crf(classes),
    )
    found = in_pieces(pieces, (classes, *segmentation.size), probabilities)
    step = (
        f"crf: {iterations} iterations, colour {colour_weight:g} × ({colour_deviation:g}, "
        f"{position_deviation:g} px), smooth {smooth_weight:g} × {smooth_deviation:g} px"
    )
    return _with_probabilities(segmentation, found, step)


def guided(segmentation: Segmentation, *, radius: int = 8, smoothing: float = 1e-3) -> Segmentation:
    """The guided filter: probabilities follow the edges of the photo.

    See `kernels.guided_filter`. Beside the answer, 4 bytes for each pixel and class, it takes at
    most 1 GiB: larger pictures are worked in pieces, which give the same up to rounding. Pieces are
    twelve radii wide at least, and very large radii take more memory.

    Args:
        segmentation: with its photo, and labels as the network gave them.
        radius: windows are 2 · radius + 1 pixels wide.
        smoothing: edges of a smaller variance (of a photo in 0..1) are smoothed over.

    Raises:
        UsageError: there is no photo, labels were changed before, or a parameter is outside its
            range.
    """
    _check_options("guided", radius=radius, smoothing=smoothing)
    image = _image_of(segmentation, "guided")
    classes = len(segmentation.classes)

    def probabilities(window: Window) -> NDArray[np.float32]:
        return kernels.guided_filter(
            segmentation.probabilities(window),
            image[window.top : window.bottom, window.left : window.right],
            radius=radius,
            smoothing=smoothing,
            threads=segmentation.threads,
        )

    pieces = pieces_of(
        segmentation.size,
        # The windows that hold a pixel reach two radii; half a margin has no say.
        margin=4 * radius,
        most_pixels=_MOST_FLOATS // _floats_of_guided(classes),
    )
    found = in_pieces(pieces, (classes, *segmentation.size), probabilities)
    # A linear function of the photo may leave 0..1 a little.
    np.maximum(found, np.float32(LEAST_PROBABILITY), out=found)
    found /= found.sum(0)
    return _with_probabilities(segmentation, found, f"guided: radius {radius}, {smoothing:g}")


def min_area(segmentation: Segmentation, pixels: int) -> Segmentation:
    """Connected regions (8 neighbours) of fewer pixels go to the likeliest class beside them.

    Raises:
        UsageError: pixels is below 1.
    """
    _check("pixels", pixels, MOST_AREA)
    labels = without_specks(
        segmentation.labels,
        pixels,
        ids=segmentation.classes.ids,
        probabilities=segmentation.probabilities,
    )
    return _with_labels(segmentation, labels, f"min_area: {pixels} pixels")


def keep_largest(segmentation: Segmentation, name: str | int) -> Segmentation:
    """Of a class the largest region stays, and the others go to the likeliest class beside them.

    Raises:
        ClassNameError: the table has no such class.
    """
    info = segmentation.classes.find(name)
    labels = largest_alone(
        segmentation.labels,
        info.id,
        ids=segmentation.classes.ids,
        probabilities=segmentation.probabilities,
    )
    return _with_labels(segmentation, labels, f"keep_largest: {info.name}")


def fill_holes(segmentation: Segmentation, name: str | int) -> Segmentation:
    """What a class surrounds becomes that class, whatever it was.

    Raises:
        ClassNameError: the table has no such class.
    """
    info = segmentation.classes.find(name)
    labels = filled_holes(segmentation.labels, info.id, ids=segmentation.classes.ids)
    return _with_labels(segmentation, labels, f"fill_holes: {info.name}")


def smooth(segmentation: Segmentation, radius: int) -> Segmentation:
    """Each pixel takes the most frequent class of the 2 · radius + 1 pixels to all sides.

    Raises:
        UsageError: radius is not from 1 to 1000.
    """
    _check("radius", radius, MOST_RADIUS)
    labels = smoothed(segmentation.labels, radius, ids=segmentation.classes.ids)
    return _with_labels(segmentation, labels, f"smooth: radius {radius}")


def snap(segmentation: Segmentation, regions: NDArray[np.integer]) -> Segmentation:
    """Each region takes its most frequent class, so that borders are those of the regions.

    Args:
        segmentation: what is snapped.
        regions: whole numbers `[H, W]`, such as superpixels of `pixelwise.classical.superpixels`.

    Raises:
        ArrayError: the regions are of another size or type.
    """
    if regions.shape != segmentation.size or not np.issubdtype(regions.dtype, np.integer):
        raise ArrayError(
            "regions do not go with the segmentation",
            where="argument regions",
            got=f"{regions.dtype} {regions.shape}, expected whole numbers {segmentation.size}",
        )
    labels = taken_together(segmentation.labels, regions, ids=segmentation.classes.ids)
    return _with_labels(segmentation, labels, f"snap: {len(np.unique(regions))} regions")


def _image_of(segmentation: Segmentation, step: str) -> NDArray[np.uint8]:
    if segmentation.image is None:
        raise UsageError(
            f"{step} needs the photo, and this segmentation was made without it",
            fix="pass image= when making it",
        )
    if segmentation.changed:
        raise UsageError(
            f"{step} works on probabilities, and would lose what was done to the labels",
            got="; ".join(segmentation.provenance.refined) or "labels of another source",
            fix=f"take {step} first",
        )
    return segmentation.image


def _with_probabilities(
    segmentation: Segmentation, probabilities: NDArray[np.float32], step: str
) -> Segmentation:
    height, width = segmentation.size
    np.maximum(probabilities, np.float32(LEAST_PROBABILITY), out=probabilities)
    return Segmentation(
        # The softmax of logarithms gives the probabilities back.
        scores=np.log(probabilities, out=probabilities),
        classes=segmentation.classes,
        geometry=Geometry(Axis.half_pixel(height, height), Axis.half_pixel(width, width)),
        provenance=_noted(segmentation, step),
        image=segmentation.image,
        threads=segmentation.threads,
    )


def _with_labels(segmentation: Segmentation, labels: Labels, step: str) -> Segmentation:
    return Segmentation(
        scores=segmentation.scores,
        classes=segmentation.classes,
        geometry=segmentation.geometry,
        provenance=_noted(segmentation, step),
        image=segmentation.image,
        threads=segmentation.threads,
        temperature=segmentation.temperature,
        labels=labels,
    )


def _noted(segmentation: Segmentation, step: str) -> Provenance:
    made = segmentation.provenance
    return replace(made, refined=(*made.refined, step))


def _floats_of_crf(classes: int) -> int:
    """What a pixel takes: the lattice, lines of 16 classes, and the scores before and after."""
    return 70 + 48 * math.ceil(classes / 16) + 2 * classes


def _floats_of_guided(classes: int) -> int:
    """What a pixel takes: the guide and the sums over it, and the values before and after."""
    return 30 + 2 * classes


def _check_options(method: str, **options: object) -> None:
    faults = option_faults(method, options)
    if faults:
        raise UsageError(
            f"{method} cannot be run so", got=listed(faults), fix="correct all that is listed"
        )


def _check(name: str, value: int, most: int) -> None:
    faults = number_fault(name, value, 1, most, whole=True)
    if faults:
        raise UsageError(
            f"{name} is not a whole number in its range", where=f"argument {name}", got=faults[0]
        )
