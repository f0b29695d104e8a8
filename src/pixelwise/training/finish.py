"""From the best weights of a run to one model file, scored as it ships."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelwise.errors import WeightsError
from pixelwise.export.onnx import export_model, write_card
from pixelwise.inference.card import Card, Score
from pixelwise.inference.predictor import Model, load
from pixelwise.models.checkpoint import load_tensors
from pixelwise.models.network import SegmentationNetwork
from pixelwise.models.weights import read_tensors
from pixelwise.training.examples import Predict, final_examples
from pixelwise.training.file_scores import FileScores, channels_of, score_file
from pixelwise.training.observers import Observer
from pixelwise.training.report import Report, write_report
from pixelwise.training.run_folder import RunFolder
from pixelwise.training.setup import Materials
from pixelwise.version import VERSION

__all__ = ["Finished", "finish"]

_TRACED_SIDES = (15, 20)


@dataclass(frozen=True, eq=False)
class Finished:
    """A model file and its scores.

    Attributes:
        model: the file.
        scores: of the file itself, in its classes; of several data sets then in each set's own.
        report: what report.html says.
    """

    model: Path
    scores: tuple[FileScores, ...]
    report: Report


def finish(
    materials: Materials, folder: RunFolder, *, observer: Observer | None = None
) -> Finished:
    """Exports the best weights, scores the file, and writes the scores into its card.

    Until then the file bears another name: a model file of a run has its scores.

    Args:
        materials: what was trained.
        folder: of the run.
        observer: told how far the scoring is.

    Raises:
        EngineError: the exported network does not answer as the trained one.
        WeightsError: the best weights are gone or broken.
        OutputError: the file cannot be written.
    """
    network = materials.network.cpu().eval()
    _load_best(network, folder)
    protocol = materials.protocol
    rule = protocol.preprocessing
    height, width = (side * max(32, rule.multiple) + rule.remainder for side in _TRACED_SIDES)
    card = _card(materials, ())
    content = export_model(network, card, folder.unscored, example_size=(height, width))
    model = load(folder.unscored, engine="onnxruntime")
    scores = score_file(model, protocol, progress=_scoring(len(protocol.dataset), observer))
    figures = tuple(figure for each in scores for figure in _figures(each))
    write_card(content, _card(materials, figures), folder.model)
    folder.unscored.unlink(missing_ok=True)
    final_examples(
        folder, protocol.dataset, materials.classes, _predict(model), seed=materials.plan.seed
    )
    return Finished(folder.model, scores, write_report(folder.path))


def _predict(model: Model) -> Predict:
    """From a picture to what is drawn."""
    if model.is_multi_label:
        return lambda image: model.predict_multi_label(image).masks()
    channel = channels_of(model.classes)
    return lambda image: channel[model.predict(image).labels]


def _load_best(network: SegmentationNetwork, folder: RunFolder) -> None:
    try:
        load_tensors(network, read_tensors(folder.best), where=str(folder.best))
    except WeightsError as error:
        fix = f"begin a new run: pixelwise train --plan {folder.plan} -o NEW"
        raise WeightsError(error.what, where=error.where, got=error.got, fix=fix) from None


def _scoring(total: int, observer: Observer | None) -> Callable[[int], object] | None:
    if observer is None:
        return None
    done = itertools.count(1)
    return lambda _: observer.on_event({"event": "scoring", "done": next(done), "total": total})


def _figures(found: FileScores) -> tuple[Score, ...]:
    """Mean IoU with its interval, and pixel accuracy or mean Dice, as the card holds them."""
    scores, interval = found.scores, found.interval
    if np.isnan(scores.mean_iou):
        return ()
    sure = ""
    if interval is not None:
        sure = (
            f"; 95 % interval {100 * interval.low:.1f} to {100 * interval.high:.1f} % by the "
            f"jackknife over {found.units}"
        )
    # There are no right pixels where each has any number of classes.
    several = np.isnan(scores.pixel_accuracy)
    metric = "mean Dice" if several else "pixel accuracy"
    value = scores.mean_dice if several else scores.pixel_accuracy
    return (
        Score(metric="mIoU", value=round(scores.mean_iou, 4), protocol=found.protocol + sure),
        Score(metric=metric, value=round(value, 4), protocol=found.protocol),
    )


def _card(materials: Materials, scores: tuple[Score, ...]) -> Card:
    texts, plan = materials.plan.card, materials.plan
    names = " + ".join(Path(source.path).name for source in plan.data)
    return Card(
        name=texts.name,
        description=texts.description or f"{plan.architecture} on {plan.encoder}",
        class_table=materials.classes.to_dict(),
        preprocessing=materials.protocol.preprocessing,
        postprocessing=materials.protocol.postprocessing,
        weights_licence=texts.weights_licence,
        data=texts.data or f"{names}, {len(materials.batches.dataset):,} pictures",
        data_licence=texts.data_licence,
        non_commercial=texts.non_commercial,
        scores=scores,
        command=texts.command,
        storage="float16",
        written_by=f"pixelwise {VERSION}",
    )
