"""What `pixelwise calibrate` does for a model whose classes lie over each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from pixelwise.cli.output import print_columns, print_line, print_wrapped
from pixelwise.cli.progress import progress_bar
from pixelwise.data.faults import Fault
from pixelwise.errors import UsageError
from pixelwise.evaluation.calibrate import Figure
from pixelwise.evaluation.layer_opening import layer_subject
from pixelwise.evaluation.layer_sources import ModelLayers
from pixelwise.evaluation.layer_thresholds import (
    LayerSample,
    ThresholdResult,
    count_layers,
    tune_thresholds,
    tuned_card,
)
from pixelwise.evaluation.matching import Rule
from pixelwise.evaluation.sources import SetTruth
from pixelwise.inference.card import Card
from pixelwise.inference.predictor import Model
from pixelwise.percentages import percent

__all__ = ["Calibrated", "refuse_softmax_options", "tuned"]


@dataclass(frozen=True)
class Calibrated:
    """What came of a calibration.

    Attributes:
        card: of the new model.
        faults: pictures that could not be read.
        document: plain data for JSON.
        tell: prints it for people.
    """

    card: Card
    faults: tuple[Fault, ...]
    document: dict[str, Any]
    tell: Callable[[], None]


def refuse_softmax_options(model: Model, kind: str | None, coverage: float | None) -> None:
    """Lets no option pass that a model with a sigmoid for each class has no use for.

    Raises:
        UsageError: lists them.
    """
    given = [f"--kind {kind}"] if kind is not None else []
    given += [f"--coverage {coverage:g}"] if coverage is not None else []
    if given:
        raise UsageError(
            "classes of this model lie over each other: it has thresholds, no temperature and no "
            "prediction sets",
            where=model.card.name,
            got=" ".join(given),
            fix="leave out --kind and --coverage",
        )


def tuned(
    model: Model,
    truth: SetTruth,
    rules: Sequence[Rule],
    *,
    data: str,
    by: Literal["group", "image"],
    workers: int,
) -> Calibrated:
    """Thresholds of the highest IoU.

    Raises:
        PixelwiseError: it cannot be done.
    """
    predictions = ModelLayers(model)
    subject = layer_subject(truth, predictions, rules)
    with progress_bar(len(truth.names)) as advance:
        sample = count_layers(subject, by=by, workers=workers, progress=advance)
    result = tune_thresholds(sample, data=data, current=predictions.thresholds)
    return Calibrated(
        card=tuned_card(model.card, result),
        faults=sample.faults,
        document=_document(result, sample, model.classes.names),
        tell=partial(_print, result, sample),
    )


def _document(result: ThresholdResult, sample: LayerSample, names: Sequence[str]) -> dict[str, Any]:
    """Plain data; `names` are those of the model's classes."""
    facts = asdict(result)
    for key in ("classes", "class_before", "class_after", "tuned"):
        del facts[key]
    return {
        **facts,
        "thresholds": dict(zip(names, result.thresholds, strict=True)),
        "classes": [
            {
                "name": name,
                "threshold": threshold,
                "iou_before": asdict(before),
                "iou_after": asdict(after),
            }
            for name, threshold, before, after in zip(
                result.classes,
                result.tuned,
                result.class_before,
                result.class_after,
                strict=True,
            )
        ],
        "grouping": sample.grouping,
    }


def _print(result: ThresholdResult, sample: LayerSample) -> None:
    print_wrapped(result.protocol)
    print_wrapped(f"groups: {sample.grouping}")
    print_line("")
    rows = [
        (name, "–" if threshold is None else f"{threshold:.3g}", *_cells(before), *_cells(after))
        for name, threshold, before, after in zip(
            result.classes, result.tuned, result.class_before, result.class_after, strict=True
        )
    ]
    rows.append(("mean", "", *_cells(result.before), *_cells(result.after)))
    print_columns(
        ("IoU of", "threshold", "before", "95 % interval", "after", "95 % interval"), rows
    )
    print_line("")
    change = result.difference
    text = f"mean IoU of other pictures: {100 * change.value:+.1f} points"
    if not math.isnan(change.low):
        text += f" (95 % interval {100 * change.low:+.1f} to {100 * change.high:+.1f})"
    print_wrapped(f"{text}, higher with a probability of {percent(result.better)}")
    if result.few:
        print_wrapped(f"too few pixels, thresholds stay as they were: {', '.join(result.few)}")
    if not result.helps:
        print_wrapped("thresholds do not help on other pictures: they stay as they were")


def _cells(figure: Figure) -> tuple[str, str]:
    if math.isnan(figure.value):
        return "–", ""
    value = f"{100 * figure.value:.1f} %"
    if math.isnan(figure.low):
        return value, "n/a"
    return value, f"{100 * figure.low:.1f} … {100 * figure.high:.1f}"
