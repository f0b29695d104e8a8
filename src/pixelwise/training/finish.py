"""From the best weights of a run to one model file, scored as it ships."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file

from pixelwise.data.targets import MultiLabelTarget
from pixelwise.export.onnx import export_model, write_card
from pixelwise.inference.card import Card, Score
from pixelwise.inference.predictor import Model, load
from pixelwise.metrics.confusion import ConfusionMatrix, SemanticScores
from pixelwise.models.checkpoint import load_tensors
from pixelwise.training.examples import final_examples
from pixelwise.training.merging import OwnTerms
from pixelwise.training.report import Report, write_report
from pixelwise.training.run_folder import RunFolder
from pixelwise.training.scoring import IGNORED, Protocol, counted
from pixelwise.training.setup import Materials
from pixelwise.version import VERSION

__all__ = ["Finished", "finish", "own_terms_text", "protocol_text", "score_model"]

_TRACED_SIDES = (15, 20)


@dataclass(frozen=True, eq=False)
class Finished:
    """A model file and its scores.

    Attributes:
        model: the file.
        scores: of the file itself, through the same steps as `pixelwise predict`.
        protocol: in words.
        own_terms: scores in each data set's own classes, with their protocols; of several sets.
        report: what report.html says.
    """

    model: Path
    scores: SemanticScores
    protocol: str
    own_terms: tuple[tuple[SemanticScores, str], ...]
    report: Report


def finish(materials: Materials, folder: RunFolder) -> Finished:
    """Exports the best weights, scores the file, and writes the scores into its card.

    Raises:
        EngineError: the exported network does not answer as the trained one.
        OutputError: the file cannot be written.
    """
    network = materials.network.cpu().eval()
    load_tensors(network, load_file(folder.best), where=str(folder.best))
    protocol, plan = materials.protocol, materials.plan
    rule = protocol.preprocessing
    height, width = (side * max(32, rule.multiple) + rule.remainder for side in _TRACED_SIDES)
    content = export_model(
        network, _card(materials, ()), folder.model, example_size=(height, width)
    )
    model = load(folder.model, engine="onnxruntime")
    whole, own = score_model(model, protocol)
    text = protocol_text(protocol, _name_of_validation(materials))
    own_terms = tuple(
        (scores, own_terms_text(terms, length, plan.validation))
        for scores, terms, length in zip(own, protocol.own_terms, protocol.lengths, strict=True)
        if len(protocol.own_terms) > 1
    )
    figures = _figures(whole, text)
    for scores, words in own_terms:
        figures = (*figures, *_figures(scores, words))
    write_card(content, _card(materials, figures), folder.model)
    final_examples(
        folder,
        protocol.dataset,
        materials.classes,
        lambda image: _channels(model)[model.predict(image).labels],
        seed=plan.seed,
    )
    return Finished(folder.model, whole, text, own_terms, write_report(folder.path))


def protocol_text(protocol: Protocol, name: str) -> str:
    """The protocol of a score, in words."""
    return (
        f"{name}, {len(protocol.dataset):,} pictures, {protocol.classes} classes, "
        "original size, one confusion matrix over all pictures"
    )


def own_terms_text(terms: OwnTerms, pictures: int, validation: str | None) -> str:
    """The protocol of a score in the classes of one data set, in words."""
    return (
        f"{terms.name} {validation or 'kept back'}, {pictures:,} pictures, its own "
        f"{len(terms.names)} classes, original size, one confusion matrix over all pictures"
    )


def score_model(
    model: Model, protocol: Protocol
) -> tuple[SemanticScores, tuple[SemanticScores, ...]]:
    """Scores a finished model file on every picture: in its classes, and in each set's own.

    In a set's own classes a prediction that it has no class for is wrong wherever it stands: it is
    counted as one class more, which has no part in the mean.
    """
    whole = ConfusionMatrix(protocol.classes, ignore_index=IGNORED)
    own = [
        ConfusionMatrix(len(terms.names) + 1, ignore_index=IGNORED) for terms in protocol.own_terms
    ]
    channel = _channels(model)
    owners = np.repeat(np.arange(len(protocol.lengths)), protocol.lengths)
    for place, sample in enumerate(protocol.dataset):
        if isinstance(sample.target, MultiLabelTarget):
            continue
        labels = channel[model.predict(sample.image).labels]
        whole.update(counted(sample.target.mask, protocol.classes), labels)
        terms, matrix = protocol.own_terms[owners[place]], own[owners[place]]
        truth = terms.of_value[sample.target.mask]
        found = terms.of_channel[labels]
        none = len(terms.names)
        matrix.update(np.where(truth < 0, IGNORED, truth), np.where(found < 0, none, found))
    return whole.scores(), tuple(_without_last(matrix) for matrix in own)


def _without_last(matrix: ConfusionMatrix) -> SemanticScores:
    scores = matrix.scores()
    iou, dice = scores.iou[:-1], scores.dice[:-1]
    present = iou[~np.isnan(iou)]
    return replace(
        scores, iou=iou, dice=dice, mean_iou=float(present.mean()) if present.size else float("nan")
    )


def _channels(model: Model) -> NDArray[np.uint16]:
    """uint16 `[65536]`: from an id of the model's classes to its channel."""
    channel = np.full(65_536, IGNORED, np.uint16)
    channel[list(model.classes.ids)] = np.arange(len(model.classes))
    return channel


def _figures(scores: SemanticScores, protocol: str) -> tuple[Score, ...]:
    return tuple(
        Score(metric=metric, value=round(value, 4), protocol=protocol)
        for metric, value in (
            ("mIoU", scores.mean_iou),
            ("pixel accuracy", scores.pixel_accuracy),
        )
        if not np.isnan(value)
    )


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
