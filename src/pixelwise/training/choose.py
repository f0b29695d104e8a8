"""A plan that fits the data, the machine and the time: every choice with its reason.

The rules are those that published recipes agree on, written so that each can be argued with. What
is resized, cropped and put in a batch follows from the data as in nnU-Net (Isensee et al., Nature
Methods 2021), within what a step may cost; cross-entropy + Dice against imbalance as there; square
roots of median frequencies (Eigen, Fergus, ICCV 2015); rates that go with the root of the batch
(Malladi et al., "On the SDEs and scaling rules for adaptive gradient algorithms", NeurIPS 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pixelwise.data.borders import BORDER_CLASSES
from pixelwise.percentages import percent
from pixelwise.training.choices import Choices
from pixelwise.training.choose_input import Scale, choose_crop, choose_pictures, choose_scale
from pixelwise.training.choose_learning import (
    choose_batch,
    choose_epochs,
    choose_loss,
    choose_memory,
    choose_rates,
    choose_sampling,
)
from pixelwise.training.choose_network import choose_network, choose_numbers
from pixelwise.training.duration import Duration, grid_of, measure
from pixelwise.training.fingerprint import Fingerprint
from pixelwise.training.machine import Machine
from pixelwise.training.plan import TrainingPlan
from pixelwise.training.start_model import read_start_model
from pixelwise.training.warm_start import choose_as_start

__all__ = ["Choice", "choose", "table"]


_FEW_VIDEOS = 10


@dataclass(frozen=True)
class Choice:
    """A plan and why it is so.

    Attributes:
        plan: complete.
        reasons: a sentence for each choice, by its name.
        warnings: what to know before the training begins.
        seconds: how long the training will take, about.
    """

    plan: TrainingPlan
    reasons: Mapping[str, str]
    warnings: tuple[str, ...]
    seconds: float


def choose(
    seen: Fingerprint,
    machine: Machine,
    *,
    budget_seconds: float | None = None,
    fixed: Mapping[str, object],
    measured: Callable[..., Duration] = measure,
) -> Choice:
    """Fills in what is not fixed.

    Where `instances` comes out as "borders", the data is to be opened with its borders; the
    fingerprint may be that of the data without.

    Args:
        seen: the data.
        machine: what it will be trained on.
        budget_seconds: time for all of it; None: as long as such data needs.
        fixed: choices of `TrainingPlan` that stay as they are; `data` is one of them.
        measured: what a step costs, as `measure` finds out.

    Raises:
        UsageError: lists every fixed choice that cannot be, or names what cannot be built.
        EngineError: the memory does not suffice for two pictures.
        UnknownModelError, ModelFileError, WeightsError: training cannot start from the model.
    """
    choices = Choices(fixed)
    _choose_data(choices, seen)
    choose_loss(choices, seen)
    classes = _channels(choices, seen)
    if choices.plan.start_from is not None:
        choose_as_start(choices, read_start_model(choices.plan.start_from), classes=classes)
    scale = choose_scale(choices, seen, machine)
    choose_network(choices, seen, machine, scale)
    choose_pictures(choices, seen)
    choose_numbers(choices, machine)
    grid = grid_of(choices.plan, classes=classes)
    choose_crop(choices, machine, scale, grid)
    choose_batch(choices, seen, machine)
    choose_sampling(choices, seen, scale)
    cost = measured(
        choices.plan,
        classes=classes,
        scored_size=_scored(scale, choices.plan, grid),
        device="cuda" if machine.gpus else "cpu",
    )
    choose_memory(choices, machine, cost)
    seconds = choose_epochs(choices, seen, machine, cost, budget_seconds)
    choose_rates(choices, seen)
    _warn_of_classes(choices, seen)
    return Choice(choices.plan, choices.reasons, tuple(choices.warnings), seconds)


def table(choice: Choice) -> list[tuple[str, str, str]]:
    """A row for each choice: its name, its value, its reason."""
    values = choice.plan.model_dump(mode="json")
    return [
        (name, _text(value), choice.reasons.get(name, ""))
        for name, value in values.items()
        if name not in ("data", "card")
    ]


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_text(part)}" for name, part in value.items()) or "–"
    if isinstance(value, list):
        return "×".join(map(str, value)) if _are_sides(value) else " ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and value >= 10_000:
        return f"{value:,}"
    return "–" if value is None else str(value)


def _are_sides(value: list[object]) -> bool:
    return len(value) == 2 and all(isinstance(part, int) for part in value)


def _choose_data(choices: Choices, seen: Fingerprint) -> None:
    counts = f"{seen.train:,} pictures to learn from, {seen.validation:,} to score on"
    choices.set("classes", None, f"{len(seen.classes)} classes, as in the data")
    choices.set("train", "train", counts)
    choices.set("validation", "val", counts)
    choices.set("validation_share", 0.2, "a fifth, where there is no split to score on")
    if not seen.multi_label:
        choices.set("kind", "multi_class", "each pixel of the data has one class")
        return
    overlap = f"{percent(seen.overlap)} of the pixels with a class have several"
    choices.set("kind", "multi_label", f"{overlap}: each class is a yes or no of its own")
    if not seen.overlap:
        choices.warn(
            "no pixel of the pictures looked at has several classes: one class per pixel tells the "
            "same, and is learned more easily"
        )


def _channels(choices: Choices, seen: Fingerprint) -> int:
    borders = seen.instances and choices.plan.instances == "borders"
    return len(BORDER_CLASSES) if borders else len(seen.classes)


def _scored(scale: Scale, plan: TrainingPlan, grid: tuple[int, int]) -> tuple[int, int]:
    """The size at which the median picture is scored: padded to the network's grid."""
    step, rest = grid
    longest = max(scale.size)
    shrink = min(1.0, plan.longest / longest)
    height, width = (round(side * shrink) for side in scale.size)
    return height + (rest - height) % step, width + (rest - width) % step


def _warn_of_classes(choices: Choices, seen: Fingerprint) -> None:
    if seen.group_kind == "video" and seen.groups < _FEW_VIDEOS:
        choices.warn(
            f"{seen.train:,} pictures to learn from are frames of {seen.groups} videos: a score on "
            "others of the same places says little about other places"
        )
    if seen.absent and not seen.open_share:
        names = ", ".join(map(repr, seen.absent[:5])) + (" …" if len(seen.absent) > 5 else "")
        choices.warn(f"no picture to learn from holds {names}: it will never be predicted")
    few = [facts for facts in seen.present if facts.pictures < 5 <= seen.train]
    if few:
        names = ", ".join(f"{facts.name!r} ({facts.pictures})" for facts in few[:5])
        more = f" and {len(few) - 5} more" if len(few) > 5 else ""
        choices.warn(f"fewer than five pictures hold {names}{more}: little can be learned of them")
