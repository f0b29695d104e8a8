"""A whole training: choose, train, export, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pixelwise.data.statistics import gather
from pixelwise.training.choose import Choice, choose
from pixelwise.training.distributed import World, barrier, join_world
from pixelwise.training.fingerprint import fingerprint
from pixelwise.training.finish import Finished, finish
from pixelwise.training.machine import machine
from pixelwise.training.merging import TrainingData
from pixelwise.training.observers import Observer, Observers
from pixelwise.training.plan import TrainingPlan, make_plan, read_plan, write_plan
from pixelwise.training.run_folder import RunFolder
from pixelwise.training.setup import bring_together, open_sources, prepare_training
from pixelwise.training.splits import Splits, draw_splits, read_splits, write_splits
from pixelwise.training.tensorboard_log import TensorBoardLog
from pixelwise.training.trainer import Outcome, Trainer

__all__ = ["Prepared", "Run", "choose_plan", "resume", "train"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A plan and the data that it was made for.

    Attributes:
        choice: the plan and its reasons.
        train: what is learned from.
        validation: what is scored.
        splits: pictures of both, by data set.
    """

    choice: Choice
    train: TrainingData
    validation: TrainingData
    splits: Splits


@dataclass(frozen=True, eq=False)
class Run:
    """A finished training.

    Attributes:
        folder: everything of it.
        outcome: how the training ended.
        finished: the model file and its scores; None in all processes but the first.
        seconds: from start to end.
    """

    folder: RunFolder
    outcome: Outcome
    finished: Finished | None
    seconds: float


def choose_plan(
    fixed: Mapping[str, object],
    *,
    budget_seconds: float | None = None,
    progress: Callable[[int], object] | None = None,
) -> Prepared:
    """Reads all the data once and fills in what is not fixed.

    Args:
        fixed: choices of `TrainingPlan`; `data` is one of them.
        budget_seconds: time that the training may take.
        progress: called with the number of pictures read since the last call.

    Raises:
        UsageError: lists every choice that cannot be.
        DatasetError: the data cannot be used.
    """
    draft = make_plan({**fixed, "instances": "merge"}, where="the choices")
    splits = draw_splits(open_sources(draft), draft, progress=progress)
    train, validation = bring_together(splits.trains, splits.validations, draft)
    statistics, _ = gather(train.dataset)
    seen = fingerprint(
        train.dataset,
        statistics,
        validation=len(validation.dataset),
        classes=len(train.classes),
        seed=draft.seed,
    )
    choice = choose(seen, machine(), budget_seconds=budget_seconds, fixed=fixed)
    if choice.plan.instances == "borders":
        train, validation = bring_together(splits.trains, splits.validations, choice.plan)
    return Prepared(choice, train, validation, splits)


def train(prepared: Prepared, output: Path, *, observer: Observer | None = None) -> Run:
    """Begins a run in a folder of its own.

    Raises:
        OutputExistsError: the folder is not empty.
    """
    choice = prepared.choice
    with join_world() as world:
        folder = RunFolder(output)
        if world.is_first:
            folder.begin()
            write_splits(prepared.splits, folder.splits)
            write_plan(choice.plan, folder.plan, choice.reasons)
        barrier(world)
        return _run(choice.plan, prepared.train, prepared.validation, folder, world, observer)


def resume(output: Path, *, observer: Observer | None = None) -> Run:
    """Goes on with a run where its last checkpoint stands.

    Raises:
        UsageError: there is no run in the folder.
    """
    folder = RunFolder(output)
    folder.resume()
    plan = read_plan(folder.plan)
    splits = read_splits(folder.splits, open_sources(plan))
    train, validation = bring_together(splits.trains, splits.validations, plan)
    with join_world() as world:
        return _run(plan, train, validation, folder, world, observer)


def _run(
    plan: TrainingPlan,
    train: TrainingData,
    validation: TrainingData,
    folder: RunFolder,
    world: World,
    observer: Observer | None,
) -> Run:
    started = time.monotonic()
    materials = prepare_training(plan, train, validation, world)
    views = Observers(
        [
            *([] if observer is None else [observer]),
            *([TensorBoardLog(folder.tensorboard)] if world.is_first else []),
        ]
    )
    with closing(views):
        outcome = Trainer(materials, folder, world, observer=views).run()
    finished = finish(materials, folder) if world.is_first else None
    return Run(folder, outcome, finished, time.monotonic() - started)
