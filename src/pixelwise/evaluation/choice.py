"""Which measures fit what is judged."""

from __future__ import annotations

from pixelwise.data.findings import background_in
from pixelwise.errors import PixelwiseError
from pixelwise.evaluation.border_measures import Borders, Distances
from pixelwise.evaluation.measures import Measure, Overlap
from pixelwise.evaluation.object_measures import Objects
from pixelwise.evaluation.precision_measure import ObjectPrecision
from pixelwise.evaluation.predictions import Subject
from pixelwise.evaluation.probability_measures import Calibrations, Curves
from pixelwise.evaluation.spacing import spacings_of
from pixelwise.formats.spacing import Spacing

__all__ = ["foreground_of", "measures_of"]

_LOOKED_AT = 3


def measures_of(
    subject: Subject,
    *,
    borders: bool = True,
    distances: bool = False,
    spacing: Spacing | None = None,
) -> tuple[Measure, ...]:
    """Overlap always; borders and distances as asked for; else what the subject has.

    Calibration where there are probabilities, thresholds where there are two classes besides,
    panoptic quality and average precision where the truth tells objects of thing classes apart.

    Args:
        subject: what is judged; the truth of the first pictures is read.
        borders: boundary IoU and boundary F.
        distances: between outlines, which takes longer.
        spacing: how large a pixel is, for distances; None: as the files of the truth say.

    Raises:
        PixelwiseError: how large the pixels are is not clear; see `spacings_of`.
    """
    measures: list[Measure] = [Overlap()]
    measures += [Borders()] if borders else []
    measures += [Distances(spacings_of(subject, spacing))] if distances else []
    things = tuple(info.kind == "thing" for info in subject.classes)
    if any(things) and _tells_objects(subject):
        form = subject.predictions.form
        # Panoptic quality is of objects that do not overlap.
        measures += [] if form == "results" else [Objects(things, form)]
        measures.append(ObjectPrecision(things, form, sure=subject.predictions.probable))
    if subject.predictions.probable and len(subject.classes) > 1:
        measures.append(Calibrations(subject.match))
        if len(subject.classes) == 2:
            measures.append(Curves(subject.match, foreground_of(subject)))
    return tuple(measures)


def foreground_of(subject: Subject) -> int:
    """Of two classes the channel that is not the background by its name; else the second."""
    return 0 if background_in(subject.classes) == 1 else 1


def _tells_objects(subject: Subject) -> bool:
    for place in range(min(_LOOKED_AT, len(subject.truths.names))):
        try:
            if subject.truths.read(place).instances is not None:
                return True
        except PixelwiseError:
            continue
    return False
