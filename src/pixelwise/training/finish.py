"""From the best weights of a run to one model file, scored as it ships."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelwise.export.onnx import export_model, write_card
from pixelwise.inference.card import Card, Score
from pixelwise.inference.predictor import load
from pixelwise.models.checkpoint import load_tensors
from pixelwise.models.weights import read_tensors
from pixelwise.training.examples import final_examples
from pixelwise.training.file_scores import FileScores, channels_of, score_file
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


def finish(materials: Materials, folder: RunFolder) -> Finished:
    """Exports the best weights, scores the file, and writes the scores into its card.

    Raises:
        EngineError: the exported network does not answer as the trained one.
        OutputError: the file cannot be written.
    """
    network = materials.network.cpu().eval()
    load_tensors(network, read_tensors(folder.best), where=str(folder.best))
    protocol = materials.protocol
    rule = protocol.preprocessing
    height, width = (side * max(32, rule.multiple) + rule.remainder for side in _TRACED_SIDES)
    card = _card(materials, ())
    content = export_model(network, card, folder.model, example_size=(height, width))
    model = load(folder.model, engine="onnxruntime")
    scores = score_file(model, protocol)
    figures = tuple(figure for each in scores for figure in _figures(each))
    write_card(content, _card(materials, figures), folder.model)
    channel = channels_of(model.classes)
    final_examples(
        folder,
        protocol.dataset,
        materials.classes,
        lambda image: channel[model.predict(image).labels],
        seed=materials.plan.seed,
    )
    return Finished(folder.model, scores, write_report(folder.path))


def _figures(found: FileScores) -> tuple[Score, ...]:
    """Mean IoU with its interval, and pixel accuracy, as the card holds them."""
    scores, interval = found.scores, found.interval
    if np.isnan(scores.mean_iou):
        return ()
    sure = ""
    if interval is not None:
        sure = (
            f"; 95 % interval {100 * interval.low:.1f} to {100 * interval.high:.1f} % by the "
            f"jackknife over {interval.units} pictures"
        )
    return (
        Score(metric="mIoU", value=round(scores.mean_iou, 4), protocol=found.protocol + sure),
        Score(
            metric="pixel accuracy",
            value=round(scores.pixel_accuracy, 4),
            protocol=found.protocol,
        ),
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
