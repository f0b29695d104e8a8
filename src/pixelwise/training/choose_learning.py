"""How the network learns: loss, which pictures and pieces it sees, how often, at which rate."""

from __future__ import annotations

import math

from pixelwise.data.wording import counted
from pixelwise.percentages import percent
from pixelwise.training.choices import Choices
from pixelwise.training.choose_input import Scale, size_text
from pixelwise.training.duration import Duration
from pixelwise.training.fingerprint import ClassFacts, Fingerprint
from pixelwise.training.machine import Machine
from pixelwise.training.multi_label import LOSS

__all__ = [
    "choose_batch",
    "choose_epochs",
    "choose_loss",
    "choose_memory",
    "choose_rates",
    "choose_sampling",
    "time_text",
]

_UNEQUAL = 10.0
_ALMOST_EQUAL = 3.0
_MANY_CLASSES = 30
_TOUCHING = 0.02
_SELDOM = 0.1
_LEAST_WEIGHTED = 20
_SEES_MOST = 0.5
_RARE, _VERY_RARE = 0.02, 0.001
_STEP_PIXELS = {"processor": 1_400_000, "GPU": 4_200_000}
_MOST_BATCH = 32
_USUAL_BATCH = 8
_EPOCHS = {"processor": 1000, "GPU": 2000}
_MOST_EPOCHS = 1000
_LEAST_EPOCHS = 4
_LEAST_VIEWS = 2000
_BUDGET_FOR_TRAINING = 0.9
_MORE_THAN_USUAL = 3
_SCORING_SHARE = 0.1
_OFTEN, _SOMETIMES = 40, 8
_MEMORY_SHARE = 0.8
_RATE, _TUNING = 1e-3, 0.3


def choose_loss(choices: Choices, seen: Fingerprint) -> None:
    """The loss, weights of classes, and what becomes of objects."""
    _choose_instances(choices, seen)
    choices.set("label_smoothing", 0.0, "blurred truth blurs borders")
    choices.set("auxiliary_weight", 0.4, "as in PSPNet's paper, where there is an auxiliary head")
    if seen.multi_label:
        _choose_multi_label_loss(choices, seen)
        return
    ratio = seen.imbalance
    rarest, usual = seen.present[0], seen.present[-1]
    between = f"{usual.name!r} has {ratio:,.0f} times the pixels of {rarest.name!r}"
    if ratio < _ALMOST_EQUAL:
        choices.set("loss", "cross-entropy", f"{between}: no class is drowned by another")
    elif len(seen.present) > _MANY_CLASSES:
        choices.set(
            "loss",
            "cross-entropy + 0.5 dice",
            f"{between}; a picture holds few of {len(seen.present)} classes, and its Dice is noisy",
        )
    else:
        choices.set(
            "loss",
            "cross-entropy + dice",
            f"{between}, and in Dice every class weighs the same",
        )
    if ratio >= _UNEQUAL:
        choices.set(
            "class_weights",
            "sqrt-median-frequency",
            f"{between}: the root of the ratio raises rare classes without giving up common ones",
        )
    else:
        choices.set("class_weights", "none", f"{between}: no weights are needed")


def _choose_multi_label_loss(choices: Choices, seen: Fingerprint) -> None:
    rarest = seen.present[0]
    share = f"{rarest.name!r} is on {percent(rarest.share, 2)} of the pixels"
    choices.set(
        "loss",
        LOSS,
        "a yes or no for each class; in Dice a class weighs the same however few pixels have it",
    )
    by_region = any(name in choices.plan.loss for name in ("dice", "tversky"))
    if rarest.share < (_VERY_RARE if by_region else _SELDOM):
        choices.set(
            "class_weights",
            "sqrt-inverse",
            f"{share}: by the root of how many are without it for one with it, at most tenfold",
        )
    else:
        # With weights regions come out too large at a threshold of 0.5: see docs/multi_label.md.
        reason = "the terms by region keep it from being drowned" if by_region else "no rare class"
        choices.set("class_weights", "none", f"{share}: {reason}")


def _choose_instances(choices: Choices, seen: Fingerprint) -> None:
    if seen.multi_label:
        choices.set("instances", "merge", "borders are a class of their own: not over others")
        return
    if not seen.instances:
        choices.set("instances", "merge", "the truth does not tell objects apart")
        return
    touching = f"{percent(seen.touching, 0)} of the objects touch another"
    if len(seen.present) <= 2 and seen.touching >= _TOUCHING:
        choices.set("instances", "borders", f"{touching}: with borders as a class they come apart")
    elif len(seen.present) > 2:
        choices.set(
            "instances",
            "merge",
            f"objects of {len(seen.present)} classes: borders would forget which",
        )
    else:
        choices.set("instances", "merge", f"{touching}: regions tell them apart by themselves")


def choose_sampling(choices: Choices, seen: Fingerprint, scale: Scale) -> None:
    """Which pictures are shown more often, and where pieces are cut out."""
    seldom = [facts for facts in seen.present if facts.pictures < _SELDOM * seen.train]
    if seldom and seen.train >= _LEAST_WEIGHTED:
        choices.set(
            "sampling",
            "weighted",
            f"{_names(seldom)} in less than a tenth of the pictures: these come more often",
        )
    else:
        choices.set("sampling", "shuffled", "no class is in few pictures only")
    crop = choices.plan.crop
    share = min(1.0, crop[0] * crop[1] / (scale.size[0] * scale.size[1]))
    rare = [facts for facts in seen.present if facts.share < _RARE]
    very = [facts for facts in rare if facts.share < _VERY_RARE]
    if share >= _SEES_MOST:
        choices.set(
            "aim", 0.0, f"a piece shows {percent(share, 0)} of the median picture wherever it lies"
        )
    elif rare:
        choices.set(
            "aim",
            0.5 if very else 0.33,
            f"{_names(rare)} of less than {percent(_VERY_RARE if very else _RARE)} of the pixels, "
            f"and a piece shows {percent(share, 0)} of a picture: so many pieces are laid on rare "
            "classes",
        )
    else:
        choices.set("aim", 0.0, "no class is rare enough to be missed by chance")
    choices.set("mix", "none", "pasted parts help where labels are few and scenes alike; try it")


def choose_batch(choices: Choices, seen: Fingerprint, machine: Machine) -> None:
    """Pictures of a step."""
    crop = choices.plan.crop
    pixels = crop[0] * crop[1]
    place = "GPU" if machine.gpus else "processor"
    by_pixels = 2 ** max(1, round(math.log2(_STEP_PIXELS[place] / pixels)))
    by_data = max(1, seen.train // 4)
    batch = min(by_pixels, _MOST_BATCH, 2 ** int(math.log2(by_data)))
    # Normalisation over a batch of one is that of a picture: two are better where there are two.
    batch = max(batch, min(2, seen.train))
    reason = f"{batch} × {size_text(crop)} pixels: enough for steady steps"
    if batch < by_pixels:
        reason = f"{seen.train:,} pictures to learn from: an epoch keeps several steps"
        if batch == _MOST_BATCH:
            reason = "larger ones learn no more from each picture"
    choices.set("batch", batch, reason)


def choose_memory(choices: Choices, machine: Machine, cost: Duration) -> None:
    """Parts into which a batch is cut, so that it fits."""
    batch = choices.plan.batch
    room = int(_MEMORY_SHARE * machine.room)
    parts = next(
        (parts for parts in range(1, batch + 1) if cost.memory(-(-batch // parts)) <= room), batch
    )
    needed = cost.memory(-(-batch // parts))
    text = f"{-(-batch // parts)} pictures at a time need some {_mib(needed)}"
    if not machine.room:
        choices.set("accumulate", 1, f"{text}; how much memory is free cannot be told")
        return
    choices.set("accumulate", parts, f"{text}, {_mib(machine.room)} are free")
    if needed > room:
        choices.warn(
            f"one picture of a training step needs some {_mib(needed)}, and {_mib(machine.room)} "
            "are free: give a smaller --crop or a smaller --encoder"
        )


def choose_epochs(
    choices: Choices,
    seen: Fingerprint,
    machine: Machine,
    cost: Duration,
    budget_seconds: float | None,
) -> float:
    """Passes over the data, scorings, and all that hangs on them; gives the seconds expected."""
    steps = max(1, seen.train // choices.plan.batch)
    epoch = steps * cost.step_seconds(choices.plan.batch)
    scoring = seen.validation * cost.score_seconds
    usual = _EPOCHS["GPU" if machine.gpus else "processor"] / seen.train**0.5
    usual = max(_LEAST_EPOCHS, min(_MOST_EPOCHS, round(usual)))
    each = epoch + min(scoring, _SCORING_SHARE * epoch)
    if budget_seconds is None:
        choices.set(
            "epochs",
            usual,
            f"{usual * seen.train:,} pictures in all; an epoch of {steps:,} steps takes some "
            f"{time_text(epoch)} here",
        )
    else:
        affordable = int(_BUDGET_FOR_TRAINING * budget_seconds / each)
        epochs = max(1, min(affordable, _MORE_THAN_USUAL * usual))
        choices.set(
            "epochs",
            epochs,
            f"an epoch takes some {time_text(each)}, and {time_text(budget_seconds)} are given, a "
            "tenth of them for the export and the report",
        )
        if affordable < 1:
            choices.warn(
                f"one epoch takes some {time_text(each)}, and {time_text(budget_seconds)} are "
                "given: give more, or a smaller --crop"
            )
    epochs = choices.plan.epochs
    if epochs * seen.train < _LEAST_VIEWS:
        choices.warn(
            f"{epochs * seen.train:,} pictures will be seen in all: fewer than {_LEAST_VIEWS:,} "
            "teach little beyond what the encoder knows"
        )
    _choose_scorings(choices, epoch, scoring)
    _choose_augmentation(choices, seen)
    scorings = epochs / choices.plan.score_every + epochs * 0.1
    seconds = epochs * epoch + scorings * scoring
    if budget_seconds is not None and choices.is_fixed("epochs"):
        choices.warn(
            f"{epochs:,} epochs are given and take some {time_text(seconds)}: a budget of "
            f"{time_text(budget_seconds)} changes nothing"
        )
    return seconds


def _choose_scorings(choices: Choices, epoch: float, scoring: float) -> None:
    epochs = choices.plan.epochs
    by_time = math.ceil(scoring / max(_SCORING_SHARE * epoch, 1e-9))
    every = max(1, min(by_time, max(1, epochs // 10)))
    choices.set(
        "score_every",
        every,
        f"a scoring takes some {time_text(scoring)}, an epoch {time_text(epoch)}",
    )
    scorings = epochs // choices.plan.score_every
    patience = math.ceil(0.3 * scorings) if scorings >= 20 else 0
    choices.set(
        "early_stop",
        patience,
        f"almost a third of {scorings} scorings: until the rate has fallen, scores go up and down"
        if patience
        else f"{counted(scorings, 'scoring')} only, and the last, at the lowest rate, is the best",
    )


def _choose_augmentation(choices: Choices, seen: Fingerprint) -> None:
    epochs = choices.plan.epochs
    if not seen.photos:
        choices.set(
            "augmentation",
            "none",
            f"pictures of {seen.bands} bands are no photos: their values mean what they are",
        )
        return
    often = f"each picture is seen {counted(epochs, 'time')}"
    if epochs >= _OFTEN:
        choices.set("augmentation", "strong", f"{often}: it must look another each time")
    elif epochs >= _SOMETIMES:
        choices.set("augmentation", "medium", often)
    else:
        choices.set("augmentation", "light", f"{often} only: hardly ever the same")


def choose_rates(choices: Choices, seen: Fingerprint) -> None:
    """Learning rates, their schedule, averaging, decay."""
    plan = choices.plan
    steps = plan.epochs * max(1, seen.train // plan.batch)
    rate = _RATE * (plan.batch / _USUAL_BATCH) ** 0.5
    reason = f"0.001 at a batch of {_USUAL_BATCH}, by the root of the batch as AdamW wants it"
    if plan.start_from is not None:
        rate, reason = rate * _TUNING, f"{reason}; a third of it to go on from a model"
    choices.set("learning_rate", float(f"{rate:.2g}"), reason)
    _choose_encoder_rate(choices)
    choices.set("schedule", "cosine", "falls to nothing, and needs no steps to be chosen")
    warmup = min(1000, max(1, round(0.04 * steps)))
    choices.set("warmup_steps", warmup, f"a twenty-fifth of {steps:,} steps")
    choices.set("weight_decay", 0.01, "AdamW's usual one")
    choices.set("clip", 5.0, "only steps that jump are shortened")
    window = min(5000, max(5, steps / 5))
    choices.set(
        "average_decay",
        float(f"{1 - 1 / window:.6g}"),
        f"an average over some {window:,.0f} steps, at most a fifth of the run",
    )
    choices.set(
        "log_every",
        max(1, min(50, seen.train // plan.batch // 5)),
        f"{seen.train // plan.batch:,} steps in an epoch",
    )
    choices.set("checkpoint_seconds", 60.0, "so much is trained anew after a power cut")
    choices.set("workers", None, "every core")
    choices.set("seed", 0, "any will do: the same one gives the same run")


def _choose_encoder_rate(choices: Choices) -> None:
    plan = choices.plan
    if plan.start_from is not None:
        choices.set("encoder_rate", 1.0, "all of the model goes on learning alike")
    elif plan.encoder_weights is None:
        choices.set("encoder_rate", 1.0, "random weights have all to learn")
    elif plan.encoder_weights == "shipped":
        choices.set("encoder_rate", 0.3, "what it knows of ImageNet should bend, not break")
    else:
        choices.set("encoder_rate", 0.1, "what a large encoder knows should bend, not break")


def time_text(seconds: float) -> str:
    """A time for people: in the unit that suits it."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def _names(classes: list[ClassFacts]) -> str:
    names = [repr(facts.name) for facts in classes[:3]]
    more = len(classes) - len(names)
    text = ", ".join(names) + (f" and {more} more" if more else "")
    return f"{text} {'is' if len(classes) == 1 else 'are'}"


def _mib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
