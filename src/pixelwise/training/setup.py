"""From a plan to what is trained: data, network, loss, protocol."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data import Dataset
from pixelwise.data import open as open_dataset
from pixelwise.data.augment import Augmentation, ClassMix, CutMix, training_pieces
from pixelwise.data.borders import with_borders
from pixelwise.data.layouts.tables import read_table
from pixelwise.data.loader import Batches
from pixelwise.data.row_reader import Mixing
from pixelwise.data.sampling import Aim, Weighted
from pixelwise.data.statistics import Statistics, gather
from pixelwise.errors import DatasetError, UsageError, did_you_mean
from pixelwise.inference.card import Postprocessing, Preprocessing, Resize
from pixelwise.kernels.checks import usable_cores
from pixelwise.losses import (
    Loss,
    class_weights,
    parse_loss,
    parse_multi_label_loss,
    positive_weights,
)
from pixelwise.models.build import ARCHITECTURES, build
from pixelwise.models.encoders.make import check_encoder
from pixelwise.models.network import SegmentationNetwork
from pixelwise.training.class_file import ClassFile, read_class_file
from pixelwise.training.distributed import World
from pixelwise.training.merging import TrainingData, training_data, with_run_splits
from pixelwise.training.multi_label import LOSS, choice_faults, foreground
from pixelwise.training.plan import DataSource, TrainingPlan
from pixelwise.training.score_groups import ScoreGroups
from pixelwise.training.scoring import Protocol
from pixelwise.training.start_model import read_start_model
from pixelwise.training.warm_start import warm_start
from pixelwise.version import VERSION

__all__ = [
    "Materials",
    "bring_together",
    "check_names",
    "check_plan",
    "open_sources",
    "prepare_training",
    "trial_loss",
]

_MOST_SHOWN = 10
_AIM_POWER = 0.5
_WRONG_NAMES = {
    "multi_class": "choices of the plan name what is not there",
    "multi_label": "choices of the plan name what is not there, or do not go with several classes "
    "per pixel",
}
_EXAMPLE_LOSSES = {"multi_class": "cross-entropy + 0.5 dice", "multi_label": LOSS}


@dataclass(frozen=True, eq=False)
class Materials:
    """Everything that a run is made of.

    Attributes:
        plan: the choices.
        classes: channel i of the scores is the i-th.
        batches: what is trained on.
        network: fresh, on the CPU.
        loss: of logits and target values.
        protocol: what is scored.
        notes: what was decided about the data.
    """

    plan: TrainingPlan
    classes: ClassTable
    batches: Batches
    network: SegmentationNetwork
    loss: Loss
    protocol: Protocol
    notes: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """The same for runs of one plan on the same classes."""
        classes = [*self.classes.names, *self.batches.dataset.classes.names]
        return sha256(json.dumps([self.plan.fingerprint, *classes]).encode()).hexdigest()

    def description(self, steps: int) -> Mapping[str, object]:
        """The first line of the log."""
        return {
            "event": "start",
            "version": VERSION,
            "classes": list(self.classes.names),
            "train": len(self.batches.dataset),
            "val": len(self.protocol.dataset),
            "steps_per_epoch": steps,
            "epochs": self.plan.epochs,
            "parameters": sum(parameter.numel() for parameter in self.network.parameters()),
            "notes": list(self.notes),
        }


def open_sources(plan: TrainingPlan) -> tuple[Dataset, ...]:
    """The data sets of a plan, whole.

    Raises:
        DatasetError: one cannot be opened, or has faults.
        UsageError: one is named twice.
    """
    _refuse_repeated(plan.data)
    datasets = tuple(_opened(source, plan) for source in plan.data)
    classes = None if plan.classes is None else read_classes(plan.classes)
    return with_run_splits(datasets, classes) if isinstance(classes, ClassFile) else datasets


def _refuse_repeated(sources: Sequence[DataSource]) -> None:
    """Twice the same pictures would be kept back to score on, and learned from."""
    # Links and relative paths may lead to one folder.
    plain = [
        source.model_copy(update={"path": os.path.realpath(source.path)}) for source in sources
    ]
    repeated = [
        source.path for place, source in enumerate(sources) if plain.index(plain[place]) < place
    ]
    if repeated:
        raise UsageError(
            "a data set is named twice",
            got=", ".join(repeated),
            fix="name each once",
        )


def bring_together(
    trains: Sequence[Dataset], validations: Sequence[Dataset], plan: TrainingPlan
) -> tuple[TrainingData, TrainingData]:
    """What is learned from and what is scored, under one table of classes.

    Raises:
        ClassTableError: the classes cannot be brought together.
    """
    if plan.instances == "borders":
        trains = [with_borders(dataset) for dataset in trains]
        validations = [with_borders(dataset) for dataset in validations]
    classes = None if plan.classes is None else read_classes(plan.classes)
    train = training_data(trains, classes=classes)
    if classes is None and len(trains) > 1:
        classes = train.classes
    return train, training_data(validations, classes=classes)


def prepare_training(
    plan: TrainingPlan,
    train: TrainingData,
    validation: TrainingData,
    world: World,
    *,
    begun: bool = False,
    groups: ScoreGroups | None = None,
    statistics: Statistics | None = None,
) -> Materials:
    """Builds everything that the plan names.

    Args:
        plan: the choices.
        train: what is learned from.
        validation: what is scored.
        world: the processes that work on it.
        begun: a checkpoint brings the weights: those to start from are not read, and need not be
            there any more.
        groups: which pictures to score on belong together; None where each stands alone.
        statistics: of the pictures to learn from; None if they are not known: then all are read
            where the plan needs them.

    Raises:
        UsageError: choices that do not go together.
        WeightsError: weights that cannot be read or do not fit.
    """
    torch.manual_seed(plan.seed)
    classes = train.classes
    network = build(
        plan.architecture,
        classes=classes,
        encoder=plan.encoder,
        encoder_weights=None if begun or plan.start_from else plan.encoder_weights,
        in_channels=len(plan.mean),
        **plan.network,
    )
    notes = train.notes
    if plan.start_from is not None and not begun:
        start = warm_start(network, classes, read_start_model(plan.start_from))
        notes = (*notes, str(start))
    multiple = max(network.encoder.strides)
    remainder = 1 if network.alignment == "corners" else 0
    check_plan(plan, world.size, len(train.dataset), (multiple, remainder))
    workers = usable_cores() if plan.workers is None else plan.workers
    if statistics is None and _needs_counts(plan):
        statistics = gather(train.dataset, workers=workers)[0]
    counts = np.zeros((len(train.dataset), len(train.dataset.classes)), np.int64)
    counts = counts if statistics is None else statistics.counts
    return Materials(
        plan=plan,
        classes=classes,
        batches=Batches(
            train.dataset,
            _augmentation(plan),
            plan.batch // world.size,
            sampler=Weighted(counts) if plan.sampling == "weighted" else None,
            seed=plan.seed,
            aim=_aim(plan, counts, train.dataset, len(classes)),
            mix=_mix(plan),
            workers=workers,
            rank=world.rank,
            world=world.size,
        ),
        network=network,
        loss=_loss(plan, train, statistics),
        protocol=Protocol(
            dataset=validation.dataset,
            own_terms=validation.own_terms,
            lengths=validation.lengths,
            sides=_sides(train, validation),
            classes=len(classes),
            preprocessing=_preprocessing(plan, multiple=multiple, remainder=remainder),
            postprocessing=Postprocessing(
                alignment=network.alignment,
                activation="sigmoid" if plan.kind == "multi_label" else "softmax",
            ),
            workers=workers,
            groups=groups,
        ),
        notes=notes,
    )


def _sides(train: TrainingData, validation: TrainingData) -> tuple[str, ...]:
    """What the scored part of each data set is called."""
    names = []
    for learned, scored in zip(_splits_of(train), _splits_of(validation), strict=True):
        names.append("kept back" if scored & learned else " + ".join(sorted(scored)))
    return tuple(names)


def _splits_of(data: TrainingData) -> list[set[str]]:
    entries = iter(data.dataset.entries)
    return [{entry.split for entry in islice(entries, length)} for length in data.lengths]


def _opened(source: DataSource, plan: TrainingPlan) -> Dataset:
    several = plan.kind == "multi_label"
    dataset = open_dataset(**source.model_dump(), kind="multi_label" if several else None)
    if dataset.faults:
        faults = [f"{fault.file}: {fault.what}" for fault in dataset.faults[:_MOST_SHOWN]]
        raise DatasetError(
            "the data set has faults",
            where=source.path,
            got="\n  ".join(faults),
            fix="`pixelwise data check` lists them all",
        )
    return foreground(dataset) if several else dataset


def read_classes(name: str) -> ClassTable | ClassFile:
    """The classes of all data sets: a file of classes (YAML), a class table, or a built-in name.

    Raises:
        ClassTableError: it is none of them.
    """
    if Path(name).suffix.lower() in (".yaml", ".yml"):
        return read_class_file(name)
    return read_table(name)


def check_plan(plan: TrainingPlan, processes: int, pictures: int, grid: tuple[int, int]) -> None:
    """Makes sure that a complete plan can be carried out.

    Args:
        plan: the choices.
        processes: that share a batch.
        pictures: to learn from.
        grid: sides that fit the network are `grid[0]` · k + `grid[1]`.

    Raises:
        UsageError: lists all choices that do not go together.
    """
    multiple, remainder = grid
    faults = []
    wrong = [side for side in plan.crop if side % multiple != remainder]
    if wrong:
        near = [round((side - remainder) / multiple) * multiple + remainder for side in plan.crop]
        near = [max(side, multiple + remainder) for side in near]
        faults.append(
            f"crop={plan.crop}: {plan.architecture} on {plan.encoder} wants sides of "
            f"{multiple}k + {remainder}, such as {near[0]}×{near[1]}"
        )
    if plan.batch % processes:
        faults.append(f"batch={plan.batch}: no multiple of the {processes} processes")
    if plan.batch > pictures:
        faults.append(f"batch={plan.batch}: more than the {pictures:,} pictures to learn from")
    if plan.batch // processes < plan.accumulate:
        faults.append(
            f"accumulate={plan.accumulate}: more parts than the {plan.batch // processes} "
            "pictures of a process"
        )
    if len(plan.mean) != 3:
        faults.append(f"mean={plan.mean}: pictures of other than 3 bands are not trained on yet")
    if faults:
        raise UsageError(
            "choices of the plan do not go together",
            where="the plan",
            got="; ".join(faults),
            fix="change the choices named above",
        )


def check_names(plan: TrainingPlan, *, kind_known: bool = True) -> None:
    """Makes sure that what the plan names is there, before all the data is read.

    Args:
        plan: with those choices that are fixed; its others are known.
        kind_known: False: the data will tell how many classes a pixel has, and the loss may be of
            either kind.

    Raises:
        UsageError: lists every name that is not known.
        UnknownModelError, ModelFileError, WeightsError: training cannot start from the model.
    """
    faults = choice_faults(plan) if plan.kind == "multi_label" else []
    if plan.architecture not in ARCHITECTURES:
        told = did_you_mean(plan.architecture, ARCHITECTURES)
        faults.append(f"there is no architecture {plan.architecture!r} ({told})")
    for check in (
        lambda: check_encoder(plan.encoder),
        lambda: _named_loss(plan, kind_known=kind_known),
    ):
        try:
            check()
        except UsageError as error:
            faults.append(f"{error.what} ({error.got})")
    if faults:
        raise UsageError(
            _WRONG_NAMES[plan.kind],
            where="the choices",
            got="\n  ".join(faults),
            fix="look for names with: pixelwise models --architectures, pixelwise models "
            f'--encoders TEXT; a loss is a sum of names, such as "{_EXAMPLE_LOSSES[plan.kind]}"',
        )
    if plan.start_from is not None:
        read_start_model(plan.start_from)


def _named_loss(plan: TrainingPlan, *, kind_known: bool) -> Loss:
    """The loss that the text names, of either kind where that is not known.

    Raises:
        UsageError: there is none such.
    """
    other = plan.model_copy(update={"kind": "multi_label"})
    if not kind_known:
        with contextlib.suppress(UsageError):
            return trial_loss(other, classes=2, ignore_index=255)
    return trial_loss(plan, classes=2, ignore_index=255)


def trial_loss(plan: TrainingPlan, *, classes: int, ignore_index: int) -> Loss:
    """The loss of a plan without weights of classes, which only the data tells.

    Raises:
        UsageError: lists every fault of its text.
    """
    if plan.kind == "multi_label":
        return parse_multi_label_loss(plan.loss, classes=classes)
    return parse_loss(
        plan.loss,
        classes=classes,
        ignore_index=ignore_index,
        label_smoothing=plan.label_smoothing,
    )


def _augmentation(plan: TrainingPlan) -> Augmentation:
    return Augmentation(
        training_pieces(
            plan.augmentation,
            pixels=plan.pixels if plan.resize == "area" else None,
            longest=plan.longest,
            any_way_up=plan.any_way_up,
        ),
        size=plan.crop,
        mean=plan.mean,
        std=plan.std,
    )


def _aim(
    plan: TrainingPlan, counts: NDArray[np.int64], dataset: Dataset, classes: int
) -> Aim | None:
    """Lays pieces on rare classes, not on what may be several."""
    if not plan.aim:
        return None
    counts = counts.copy()
    counts[:, classes:] = 0
    return Aim.at_rare(counts, dataset.classes, power=_AIM_POWER, chance=plan.aim)


def _loss(plan: TrainingPlan, train: TrainingData, statistics: Statistics | None) -> Loss:
    weights = None
    if plan.kind == "multi_label":
        return _multi_label_loss(plan, train, statistics)
    if plan.class_weights != "none" and statistics is not None:
        counts = statistics.counts[:, : len(train.classes)]
        around = (counts.sum(axis=1, keepdims=True) * (counts > 0)).sum(axis=0)
        weights = class_weights(
            torch.from_numpy(counts.sum(axis=0)),
            plan.class_weights,
            pixels_around=torch.from_numpy(around),
        )
    return parse_loss(
        plan.loss,
        classes=len(train.classes),
        ignore_index=train.ignore_index,
        class_weights=weights,
        candidates=None if train.candidates is None else torch.from_numpy(train.candidates),
        label_smoothing=plan.label_smoothing,
    )


def _multi_label_loss(
    plan: TrainingPlan, train: TrainingData, statistics: Statistics | None
) -> Loss:
    weights = None
    if plan.class_weights != "none" and statistics is not None:
        areas = statistics.sizes.astype(np.int64).prod(axis=1) - statistics.ignored
        weights = positive_weights(
            torch.from_numpy(statistics.counts.sum(axis=0)),
            plan.class_weights,
            pixels=int(areas[statistics.labelled].sum()),
        )
    return parse_multi_label_loss(plan.loss, classes=len(train.classes), positive_weights=weights)


def _needs_counts(plan: TrainingPlan) -> bool:
    """Whether pixels of each class in each picture are to be known."""
    return plan.class_weights != "none" or plan.sampling != "shuffled" or plan.aim > 0


def _mix(plan: TrainingPlan) -> Mixing | None:
    return {"none": None, "cutmix": CutMix(), "classmix": ClassMix()}[plan.mix]


def _preprocessing(plan: TrainingPlan, *, multiple: int, remainder: int) -> Preprocessing:
    red, green, blue = plan.mean
    spread = plan.std[0], plan.std[1], plan.std[2]
    return Preprocessing(
        scale=1 / 255,
        mean=(red, green, blue),
        std=spread,
        resize=Resize(rule=plan.resize, pixels=plan.pixels, longest=plan.longest),
        multiple=multiple,
        remainder=remainder,
    )
