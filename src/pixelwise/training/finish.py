"""From the best weights of a run to one model file, scored as it ships."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from pixelwise.data.targets import MultiLabelTarget
from pixelwise.export.onnx import export_model, write_card
from pixelwise.inference.card import Card, Score
from pixelwise.inference.predictor import Model, load
from pixelwise.metrics.confusion import ConfusionMatrix, SemanticScores
from pixelwise.models.checkpoint import load_tensors
from pixelwise.training.run_folder import RunFolder
from pixelwise.training.scoring import IGNORED, Protocol, counted
from pixelwise.training.setup import Materials
from pixelwise.version import VERSION

__all__ = ["Finished", "finish", "protocol_text", "score_model"]

_TRACED_SIDES = (15, 20)


@dataclass(frozen=True, eq=False)
class Finished:
    """A model file and its scores.

    Attributes:
        model: the file.
        scores: of the file itself, through the same steps as `pixelwise predict`.
        protocol: in words.
    """

    model: Path
    scores: SemanticScores
    protocol: str


def protocol_text(protocol: Protocol, name: str) -> str:
    """The protocol of a score, in words."""
    classes = protocol.dataset.classes
    ignored = "" if classes.ignore_index is None else f", id {classes.ignore_index} ignored"
    return (
        f"{name}, {len(protocol.dataset):,} pictures, {protocol.classes} classes{ignored}, "
        "original size, one confusion matrix over all pictures"
    )


def finish(materials: Materials, folder: RunFolder) -> Finished:
    """Exports the best weights, scores the file, and writes the scores into its card.

    Raises:
        EngineError: the exported network does not answer as the trained one.
        OutputError: the file cannot be written.
    """
    network = materials.network.cpu().eval()
    load_tensors(network, load_file(folder.best), where=str(folder.best))
    rule = materials.protocol.preprocessing
    height, width = (side * max(32, rule.multiple) + rule.remainder for side in _TRACED_SIDES)
    card = _card(materials, ())
    content = export_model(network, card, folder.model, example_size=(height, width))
    scores = score_model(load(folder.model, engine="onnxruntime"), materials.protocol)
    text = protocol_text(materials.protocol, _name_of_validation(materials))
    figures = tuple(
        Score(metric=metric, value=round(value, 4), protocol=text)
        for metric, value in (
            ("mIoU", scores.mean_iou),
            ("pixel accuracy", scores.pixel_accuracy),
        )
        if not np.isnan(value)
    )
    write_card(content, _card(materials, figures), folder.model)
    return Finished(folder.model, scores, text)


def score_model(model: Model, protocol: Protocol) -> SemanticScores:
    """Scores a finished model file on every picture."""
    matrix = ConfusionMatrix(protocol.classes, ignore_index=IGNORED)
    channel = np.full(65_536, IGNORED, np.uint16)
    channel[list(model.classes.ids)] = np.arange(len(model.classes))
    for sample in protocol.dataset:
        if isinstance(sample.target, MultiLabelTarget):
            continue
        truth = counted(sample.target.mask, protocol.classes)
        matrix.update(truth, channel[model.predict(sample.image).labels])
    return matrix.scores()


def _name_of_validation(materials: Materials) -> str:
    names = " + ".join(Path(source.path).name for source in materials.plan.data)
    return f"{names} {materials.plan.validation or 'kept back'}"


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
        command="pixelwise train --plan plan.yaml",
        storage="float16",
        written_by=f"pixelwise {VERSION}",
    )
