"""A whole training: choose, train, export, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pixelwise.data.statistics import Statistics, gather
from pixelwise.errors import OutputError
from pixelwise.formats.files import sweep_leftovers
from pixelwise.training.choose import Choice, choose
from pixelwise.training.distributed import World, barrier, join_world, same_everywhere
from pixelwise.training.duration import grid_of
from pixelwise.training.fingerprint import fingerprint
from pixelwise.training.finish import Finished, finish
from pixelwise.training.machine import machine
from pixelwise.training.merging import TrainingData
from pixelwise.training.multi_label import settled
from pixelwise.training.observers import Observer, Observers
from pixelwise.training.plan import TrainingPlan, make_plan, read_plan, write_plan
from pixelwise.training.rate_search import RateSearch, search_rate
from pixelwise.training.run_folder import RunFolder
from pixelwise.training.setup import (
    bring_together,
    check_names,
    check_plan,
    open_sources,
    prepare_training,
)
from pixelwise.training.splits import Bar, Splits, draw_splits, read_splits, write_splits
from pixelwise.training.step_faults import lack_of_memory_told
from pixelwise.training.tensorboard_log import TensorBoardLog
from pixelwise.training.trainer import Outcome, Trainer

__all__ = ["RATE_STEPS", "Prepared", "Run", "choose_plan", "find_rate", "resume", "train"]

RATE_STEPS = 100
"""Steps of a search for a learning rate."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A plan and the data that it was made for.

    Attributes:
        choice: the plan and its reasons.
        train: what is learned from.
        validation: what is scored.
        splits: pictures of both, by data set.
        statistics: of the pictures to learn from; None where they are not known.
    """

    choice: Choice
    train: TrainingData
    validation: TrainingData
    splits: Splits
    statistics: Statistics | None


@dataclass(frozen=True, eq=False)
class Run:
    """A finished training.

    Attributes:
        folder: everything of it.
        outcome: how the training ended.
        finished: the model file and its scores; None in all processes but the first.
        was_over: the training had ended before, and only the model was made anew.
        seconds: from start to end.
    """

    folder: RunFolder
    outcome: Outcome
    finished: Finished | None
    was_over: bool
    seconds: float


def choose_plan(
    fixed: Mapping[str, object],
    *,
    budget_seconds: float | None = None,
    bar: Bar | None = None,
    processes: int = 1,
) -> Prepared:
    """Reads all the data and fills in what is not fixed.

    The data is read once; where its classes are brought to others, what is learned from twice.

    Args:
        fixed: choices of `TrainingPlan`; `data` is one of them.
        budget_seconds: time that the training may take.
        bar: shows how many pictures are read.
        processes: that share the batch.

    Raises:
        UsageError: lists every choice that cannot be.
        DatasetError: the data cannot be used.
    """
    draft = make_plan({**fixed, "instances": "merge"}, where="the choices")
    asked = {"instances": fixed.get("instances", "merge")}
    check_names(draft.changed(**asked), kind_known="kind" in fixed)
    draft, datasets = settled(draft, open_sources(draft), fixed)
    check_names(draft.changed(**asked, start_from=None))
    splits = draw_splits(datasets, draft, bar=bar)
    train, validation = bring_together(splits.trains, splits.validations, draft)
    gathered = _statistics(splits, train, draft)
    seen = fingerprint(
        train.dataset,
        gathered,
        validation=len(validation.dataset),
        classes=len(train.classes),
        multi_label=draft.kind == "multi_label",
        seed=draft.seed,
    )
    choice = choose(seen, machine(), budget_seconds=budget_seconds, fixed=fixed)
    if "batch" not in fixed:
        choice = _shared(choice, processes)
    with_borders = choice.plan.instances == "borders"
    if with_borders:
        train, validation = bring_together(splits.trains, splits.validations, choice.plan)
    grid = grid_of(choice.plan, classes=len(train.classes))
    check_plan(choice.plan, processes, len(train.dataset), grid)
    # What becomes of the data is to be known before anything is trained.
    warnings = (*splits.notes, *train.notes, *choice.warnings)
    return Prepared(
        replace(choice, warnings=warnings),
        train,
        validation,
        splits,
        None if with_borders else gathered,
    )


def _statistics(splits: Splits, train: TrainingData, plan: TrainingPlan) -> Statistics:
    """Of the pictures to learn from, under the classes of the training."""
    if plan.classes is None and len(splits.statistics) == 1:
        # Its classes keep their order, and `places` and `counts` go by that.
        return replace(splits.statistics[0], classes=train.dataset.classes)
    return gather(train.dataset)[0]


def _shared(choice: Choice, processes: int) -> Choice:
    """The plan with a batch that the processes can share evenly."""
    batch = -(-choice.plan.batch // processes) * processes
    if batch == choice.plan.batch:
        return choice
    reasons = {**choice.reasons, "batch": f"the next multiple of {processes} processes"}
    return replace(choice, plan=choice.plan.changed(batch=batch), reasons=reasons)


def train(
    fixed: Mapping[str, object],
    output: Path,
    *,
    budget_seconds: float | None = None,
    show: Callable[[Choice], object] | None = None,
    observer: Observer | None = None,
    bar: Bar | None = None,
) -> Run:
    """Chooses a plan and trains by it, in a folder of its own.

    Of several processes the first one chooses, and the others read what it wrote.

    Args:
        fixed: choices of `TrainingPlan`; `data` is one of them.
        output: folder of the run; new, or empty.
        budget_seconds: time that all of it may take.
        show: called with the plan before the training begins.
        observer: told of everything that happens.
        bar: shows how many pictures are read.

    Raises:
        UsageError: lists every choice that cannot be.
        DatasetError: the data cannot be used.
        OutputExistsError: the folder is not empty.
        EngineError: the training cannot go on; its last good state is kept.
    """
    folder = RunFolder(output)
    statistics = None
    with join_world() as world, ExitStack() as holding:
        if world.is_first:
            folder.check_free()
            prepared = choose_plan(
                fixed, budget_seconds=budget_seconds, bar=bar, processes=world.size
            )
            if show is not None:
                show(prepared.choice)
            holding.enter_context(folder.held())
            folder.check_free()
            holding.enter_context(folder.left_free_by_errors())
            write_splits(prepared.splits, folder.splits)
            write_plan(prepared.choice.plan, folder.plan, prepared.choice.reasons)
            statistics = prepared.statistics
        return _go_on(folder, world, observer, statistics)


def resume(output: Path, *, observer: Observer | None = None) -> Run:
    """Goes on with a run where its last checkpoint stands.

    Raises:
        UsageError: there is no run in the folder, or the processes do not see the same one.
        DatasetError: pictures of the run are gone.
        EngineError: the training cannot go on; its last good state is kept.
    """
    folder = RunFolder(output)
    with join_world() as world, ExitStack() as holding:
        if world.is_first:
            folder.check_begun()
            holding.enter_context(folder.held())
            sweep_leftovers(folder.path)
        return _go_on(folder, world, observer)


def _go_on(
    folder: RunFolder,
    world: World,
    observer: Observer | None,
    statistics: Statistics | None = None,
) -> Run:
    started = time.monotonic()
    barrier(world)
    plan = read_plan(folder.plan)
    splits = read_splits(folder.splits, open_sources(plan))
    same_everywhere(world, folder.plan.read_text() + folder.splits.read_text(), what="run folder")
    train, validation = bring_together(splits.trains, splits.validations, plan)
    materials = prepare_training(
        plan,
        train,
        validation,
        world,
        begun=folder.is_begun(),
        groups=splits.score_groups,
        statistics=statistics,
    )
    views = Observers(
        [
            *([] if observer is None else [observer]),
            *([TensorBoardLog(folder.tensorboard)] if world.is_first else []),
        ]
    )
    was_over = folder.is_over()
    with _told(folder), closing(views):
        outcome = Trainer(materials, folder, world, observer=views).run()
        finished = finish(materials, folder, observer=views) if world.is_first else None
    return Run(folder, outcome, finished, was_over, time.monotonic() - started)


@contextmanager
def _told(folder: RunFolder) -> Iterator[None]:
    """What a run stops for: nothing is lost, and it can go on."""
    try:
        with lack_of_memory_told(str(folder.path)):
            yield
    except OutputError as error:
        fix = f"{error.fix}; then go on: pixelwise train --resume {folder.path}"
        raise type(error)(error.what, where=error.where, got=error.got, fix=fix) from error


def find_rate(prepared: Prepared, *, progress: Callable[[int], object] | None = None) -> RateSearch:
    """Looks for a learning rate, on the data and the network of a plan; nothing is written.

    Args:
        prepared: of `choose_plan`.
        progress: called with 1 after each of at most `RATE_STEPS` steps.

    Raises:
        EngineError: the loss is no number from the beginning.
    """
    plan = prepared.choice.plan
    with join_world() as world:
        materials = prepare_training(
            plan, prepared.train, prepared.validation, world, statistics=prepared.statistics
        )
        return search_rate(
            plan,
            materials.network,
            materials.batches,
            materials.loss,
            device=world.device,
            steps=RATE_STEPS,
            progress=progress,
        )
