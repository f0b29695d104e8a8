"""From paths and names to what is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pixelwise.classes import ClassTable
from pixelwise.data.borders import BORDER_CLASSES, with_borders
from pixelwise.data.dataset import Dataset
from pixelwise.data.layouts.tables import read_table
from pixelwise.errors import DatasetError, UsageError
from pixelwise.evaluation.label_maps import (
    found_table,
    held_by,
    label_maps,
    numbered,
    prediction_files,
    refuse_colours,
)
from pixelwise.evaluation.matching import Rule
from pixelwise.evaluation.object_files import file_of_objects, objects_of_file
from pixelwise.evaluation.predictions import ObjectFile, Subject, subject_of
from pixelwise.evaluation.run_pictures import RunPictures, read_run_pictures
from pixelwise.evaluation.sources import FileTruth, SetTruth, Stored
from pixelwise.evaluation.stored_probabilities import table_in
from pixelwise.inference.predictor import Model

__all__ = [
    "ALL",
    "Source",
    "folder_subject",
    "refuse_layers",
    "set_subjects",
    "set_truth",
    "source_of",
]

ALL = "all"
_HELD_OUT = ("val", "valid", "validation", "dev", "test", "testing")
_RUN_MODEL = "model.onnx"


class Source(NamedTuple):
    """Where predictions come from.

    Attributes:
        model: its name or file; "" where there is none.
        folder: of label maps; None where there is none.
        objects: a file that tells objects; None where there is none.
        run: the folder of the run that the model is of; None where that is not known.
    """

    model: str
    folder: Path | None
    objects: Path | None = None
    run: Path | None = None


def source_of(text: str) -> Source:
    """What that text names.

    A JSON file, or a folder that holds a panoptic one, tells objects; a run's folder is its model;
    any other folder holds label maps; all else is the name or file of a model.

    Raises:
        DatasetError: the folder holds several panoptic files.
    """
    path = Path(text)
    objects = file_of_objects(path)
    if objects is not None:
        return Source("", None, objects)
    if not path.is_dir():
        return Source(text, None)
    model = path / _RUN_MODEL
    return Source(str(model), None, run=path) if model.is_file() else Source("", path)


def set_truth(dataset: Dataset, split: str | None, sources: Sequence[Source] = ()) -> SetTruth:
    """The part of a data set to judge by.

    Args:
        dataset: whole.
        split: its name; "all" for all pictures where no split is named so; None: the first of the
            usual names of held-out splits; where the data set has no splits, the pictures that
            every run among the sources kept back, and all pictures where there is no run.
        sources: of the predictions; what runs among them learned from is told in the protocol.

    Raises:
        UsageError: there is no such split, or which one is wanted is not clear.
        DatasetError: the data set has no pictures, or what a run learned from cannot be read.
    """
    if not len(dataset):
        raise DatasetError(
            "the data set has no pictures",
            where=str(dataset.root),
            fix="`pixelwise data check` says what is seen there",
        )
    names = tuple(entry.name for entry in dataset.entries)
    if split is None and dataset.splits:
        split = next((name for name in _HELD_OUT if name in dataset.splits), None)
        if split is None:
            raise UsageError(
                "which split is to be judged is not clear",
                where=str(dataset.root),
                got=f"splits {', '.join(dataset.splits)}",
                fix=f"name one: --split {dataset.splits[0]}, or --split {ALL}",
            )
    runs = [
        pictures
        for source in sources
        if source.run is not None
        and (pictures := read_run_pictures(source.run, dataset)) is not None
    ]
    if split is None and runs:
        chosen, split = _kept_back(dataset, runs), f"kept back by {_listed(runs)}"
    elif split is None or (split == ALL and ALL not in dataset.splits):
        chosen, split = dataset, ""
    else:
        chosen = dataset.split(split)
    return SetTruth(chosen, split, names, learned=_learned(chosen, runs))


def _kept_back(dataset: Dataset, runs: Sequence[RunPictures]) -> Dataset:
    places = [
        place
        for place, entry in enumerate(dataset.entries)
        if all(entry.image in pictures.kept_back for pictures in runs)
    ]
    if not places:
        raise UsageError(
            "no picture was kept back by every run",
            where=str(dataset.root),
            got=f"{len(dataset):,} pictures; kept back: "
            + ", ".join(f"{each.run} {len(each.kept_back):,}" for each in runs),
            fix=f"judge by pictures that they know: --split {ALL}",
        )
    return dataset.subset(places)


def _learned(chosen: Dataset, runs: Sequence[RunPictures]) -> str:
    """How many of the pictures each run learned from, in words; "" without runs."""
    told = []
    for pictures in runs:
        count = sum(entry.image in pictures.learned for entry in chosen.entries)
        told.append(f"{pictures.run} learned from {count:,} of these {len(chosen):,} pictures")
    return "; ".join(told)


def _listed(runs: Sequence[RunPictures]) -> str:
    return " and ".join(pictures.run for pictures in runs)


def set_subjects(
    sources: Sequence[Source],
    truth: SetTruth,
    rules: Sequence[Rule] = (),
    *,
    loaded: Callable[[str], Model],
) -> tuple[Subject, ...]:
    """Models, label maps or files of objects, each judged by the same pictures.

    Label maps without a class table of their own hold the ids of the data set. Without rules, the
    objects of the truth become outside, inside and border for a model that learned those. A rule
    of a class that one prediction has and another has not is of the former alone.

    Args:
        sources: of the predictions.
        truth: of the pictures.
        rules: of classes; see `match_classes`.
        loaded: loads a model.

    Raises:
        PixelwiseError: something cannot be opened so; see `subject_of`.
    """
    opened = [_opened(source, truth, loaded) for source in sources]
    tables = [each.classes for each in opened]
    return tuple(
        subject_of(
            truth if rules else _as_learned(truth, own),
            each,
            [rule for rule in rules if rule[0] in own or not any(rule[0] in t for t in tables)],
        )
        for each, own in zip(opened, tables, strict=True)
    )


def _as_learned(truth: SetTruth, classes: ClassTable) -> SetTruth:
    """The truth with objects as outside, inside and border, for a model that learned those."""
    if classes.names != BORDER_CLASSES.names or truth.classes.names == BORDER_CLASSES.names:
        return truth
    form = f"objects as {', '.join(BORDER_CLASSES.names)}"
    return replace(truth, dataset=with_borders(truth.dataset), form=form)


def _opened(
    source: Source, truth: SetTruth, loaded: Callable[[str], Model]
) -> Model | ObjectFile | Stored:
    if source.objects is not None:
        return objects_of_file(source.objects, truth)
    if source.folder is None:
        return loaded(source.model)
    labels, probabilities = prediction_files(source.folder)
    own = found_table(source.folder, above=False) or table_in(probabilities.values())
    return _stored(source.folder, labels, probabilities, own or truth.classes)


def _stored(
    folder: Path, labels: Mapping[str, Path], probabilities: Mapping[str, Path], table: ClassTable
) -> Stored:
    return Stored(folder, labels, table, probabilities, held_by(labels.values(), table))


def folder_subject(
    predictions: Path,
    truth: Path,
    rules: Sequence[Rule] = (),
    *,
    classes: str | Path | ClassTable | None = None,
    ignore_index: int | None = None,
    workers: int = 0,
) -> Subject:
    """Label maps judged by label maps.

    Args:
        predictions: folder of the one.
        truth: folder of the other.
        rules: of classes; see `match_classes`.
        classes: the class table of both; None: the one that lies in the folder of the truth or
            above it; where there is none, the ids that occur.
        ignore_index: the ignored id, instead of the table's.
        workers: threads that look for ids.

    Raises:
        PixelwiseError: they cannot be opened so; see `subject_of`.
    """
    (labels, probabilities), true = prediction_files(predictions), label_maps(truth)
    own = found_table(predictions, above=False) or table_in(probabilities.values())
    table = found_table(truth, above=True) if classes is None else read_table(classes)
    if table is None:
        paths = [*true.values(), *labels.values()]
        refuse_colours(paths, where=f"{predictions} · {truth}", workers=workers)
        names = {} if own is None else dict(zip(own.ids, own.names, strict=True))
        table = numbered(paths, ignore_index=ignore_index, workers=workers, names=names)
    elif ignore_index is not None:
        table = _ignoring(table, ignore_index)
    truths = FileTruth(truth, true, table, held_by(true.values(), table))
    return subject_of(truths, _stored(predictions, labels, probabilities, own or table), rules)


def _ignoring(table: ClassTable, ignore_index: int) -> ClassTable:
    """The table with another ignored id; a class of that id is no class any more."""
    kept = tuple(info for info in table if info.id != ignore_index)
    colours = tuple(info.colour for info in table if info.id == ignore_index)
    return ClassTable(
        table.name, kept, ignore_index, table.source, (*table.ignore_colours, *colours)
    )


def refuse_layers(truth: SetTruth) -> None:
    """Lets no truth of several classes a pixel pass where each picture is judged by one label map.

    Raises:
        UsageError: it is such a truth.
    """
    if truth.dataset.holds_several:
        raise UsageError(
            "this is judged by one class a pixel, and here classes lie over each other",
            where=truth.facts["data"],
            got="several classes a pixel",
            fix="give masks of one class a pixel",
        )
