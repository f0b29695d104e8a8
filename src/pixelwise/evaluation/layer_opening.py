"""From paths and names to what is judged, where classes lie over each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pixelwise.classes import ClassTable, places_that_fit
from pixelwise.data.findings import background_in
from pixelwise.data.layouts.tables import read_table
from pixelwise.errors import DatasetError, UsageError
from pixelwise.evaluation.label_maps import (
    found_table,
    held_by,
    prediction_files,
    probability_files,
)
from pixelwise.evaluation.layer_sources import (
    FileLayerTruth,
    LabelLayers,
    ModelLayers,
    StoredLayers,
    class_masks,
    folders_as_classes,
)
from pixelwise.evaluation.layers import LayerPredictions, LayerSubject
from pixelwise.evaluation.matching import Rule, match_classes
from pixelwise.evaluation.opening import Source
from pixelwise.evaluation.sources import ModelPredictions, SetTruth, Stored
from pixelwise.evaluation.stored_probabilities import table_in
from pixelwise.inference.predictor import Model

__all__ = [
    "layer_folder_subject",
    "layer_subject",
    "layer_subjects",
    "tells_layers",
]


def tells_layers(source: Source, classes: ClassTable, loaded: Callable[[str], Model]) -> bool:
    """Whether predictions say several classes of a pixel.

    That is so of a model with a sigmoid for each class, and of a folder with a folder of masks for
    each.

    Args:
        source: of the predictions.
        classes: of the truth.
        loaded: gives a model.

    Raises:
        PixelwiseError: it cannot be opened.
    """
    if source.objects is not None:
        return False
    if source.folder is None:
        return loaded(source.model).is_multi_label
    table = found_table(source.folder, above=False) or classes
    return class_masks(source.folder, table) is not None


def layer_subjects(
    sources: Sequence[Source],
    truth: SetTruth,
    rules: Sequence[Rule] = (),
    *,
    loaded: Callable[[str], Model],
) -> tuple[LayerSubject, ...]:
    """Models, masks and probabilities, each judged by the same pictures.

    Predictions of one class a pixel are taken as layers. A background that one side alone has is
    no layer: it is left out, unless a rule names it.

    Args:
        sources: of the predictions.
        truth: of the pictures.
        rules: of classes; see `match_classes`.
        loaded: gives a model.

    Raises:
        PixelwiseError: something cannot be opened so.
    """
    opened = [_opened(source, truth, loaded) for source in sources]
    tables = [each.classes for each in opened]
    return tuple(
        layer_subject(
            truth,
            each,
            [rule for rule in rules if rule[0] in own or not any(rule[0] in t for t in tables)],
        )
        for each, own in zip(opened, tables, strict=True)
    )


def layer_folder_subject(
    predictions: Path,
    truth: Path,
    rules: Sequence[Rule] = (),
    *,
    classes: str | Path | None = None,
) -> LayerSubject:
    """Masks of classes, or probabilities, judged by masks of classes.

    Args:
        predictions: folder of the one.
        truth: folder of the other: a folder of masks for each class.
        rules: of classes; see `match_classes`.
        classes: the class table of both; None: the one that lies in the folder of the truth or
            above it; where there is none, the names of the folders.

    Raises:
        PixelwiseError: they cannot be opened so.
    """
    table = found_table(truth, above=True) if classes is None else read_table(classes)
    table = table or folders_as_classes(truth)
    masks = class_masks(truth, table)
    if masks is None:
        raise UsageError(
            "the truth is no folder of masks for each class",
            where=str(truth),
            got=f"expected folders named {', '.join(table.names)}",
            fix="write masks/CLASS/PICTURE.png, or leave out --layout layers",
        )
    own = FileLayerTruth(truth, masks, table)
    return layer_subject(own, _of_folder(predictions, own), rules)


def layer_subject(
    truth: SetTruth | FileLayerTruth, predictions: LayerPredictions, rules: Sequence[Rule] = ()
) -> LayerSubject:
    """Pairs the classes; reads no picture.

    Args:
        truth: of the pictures.
        predictions: of the same pictures.
        rules: of classes; see `match_classes`.

    Raises:
        DatasetError: there are no pictures.
        ClassTableError: the classes do not match.
    """
    if not truth.names:
        raise DatasetError(
            "there is no picture to judge by",
            where=truth.facts["data"],
            got=f"split: {truth.facts['split']}",
            fix="name another split; `pixelwise data check` shows them",
        )
    own, true = predictions.classes, truth.classes
    more = _without_background(own, true, rules)
    match = match_classes(own, true, [*rules, *more], titles=(own.name, true.name))
    return LayerSubject(truth, predictions, match)


def _without_background(
    own: ClassTable, true: ClassTable, rules: Sequence[Rule]
) -> tuple[Rule, ...]:
    """Rules that leave out the background that one of both alone has."""
    named = {name for rule in rules for name in rule}
    made: list[Rule] = []
    place = background_in(own)
    if place is not None and len(own) > 1:
        info = own.classes[place]
        if info.name not in named and not places_that_fit(info, true):
            made.append((info.name, "nothing"))
    place = background_in(true)
    if place is not None and len(true) > 1:
        info = true.classes[place]
        reached = any(place in places_that_fit(each, true) for each in own)
        if info.name not in named and not reached:
            made.append(("ignored", info.name))
    return tuple(made)


def _opened(source: Source, truth: SetTruth, loaded: Callable[[str], Model]) -> LayerPredictions:
    if source.objects is not None:
        raise UsageError(
            "a file of objects cannot be judged where classes lie over each other",
            where=str(source.objects),
            fix="give a folder of masks for each class: masks/CLASS/PICTURE.png",
        )
    if source.folder is None:
        model = loaded(source.model)
        return ModelLayers(model) if model.is_multi_label else LabelLayers(ModelPredictions(model))
    return _of_folder(source.folder, truth)


def _of_folder(folder: Path, truth: SetTruth | FileLayerTruth) -> LayerPredictions:
    """Masks of classes, probabilities, or both; else label maps.

    Raises:
        PixelwiseError: they are not those of the pictures.
    """
    own = found_table(folder, above=False)
    masks = class_masks(folder, own or truth.classes)
    if masks is None:
        labels, probabilities = prediction_files(folder)
    else:
        labels, probabilities = {}, probability_files(folder)
    table = own or table_in(probabilities.values()) or truth.classes
    if labels:
        stored = Stored(folder, labels, table, probabilities, held_by(labels.values(), table))
        return LabelLayers(stored.of(truth.names, known=truth.known))
    return StoredLayers.of(
        truth.names,
        folder=folder,
        classes=table,
        masks=masks or {},
        probabilities=probabilities,
        known=truth.known,
    )
