"""The report on a run: scores with their protocol, how sure they are, what to beware of."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pixelwise.data.wording import counted, percent
from pixelwise.formats.files import write_atomic
from pixelwise.metrics.bootstrap import groups_suffice
from pixelwise.training.events import Quarantined, RolledBack, Score, SmallerBatches
from pixelwise.training.history import History, read_history
from pixelwise.training.picture_counts import Interval, PictureCounts
from pixelwise.version import VERSION

__all__ = ["ClassScore", "Report", "WorstPicture", "make_report", "write_report"]

_WORST = 12
_FEW_PICTURES = 30
_FEW_WITH_CLASS = 3
_LOW_IOU = 0.05
_FELL_BY = 0.03
_LAST_SHARE = 0.05
_NAMES_SHOWN = 8


@dataclass(frozen=True)
class ClassScore:
    """Scores of a class at the best scoring; None where there is nothing to tell.

    Attributes:
        name: of the class.
        colour: red, green, blue.
        iou, dice: 0 … 1.
        precision: share of the pixels found that are of the class.
        recall: share of the pixels of the class that are found.
        pixels: of the class in the truth.
        pictures: whose truth has the class.
    """

    name: str
    colour: tuple[int, int, int] | None
    iou: float | None
    dice: float | None
    precision: float | None
    recall: float | None
    pixels: int | None
    pictures: int | None


@dataclass(frozen=True)
class WorstPicture:
    """A picture with a low mean IoU within it; `place` is -1 where it is not known."""

    name: str
    mean_iou: float | None
    place: int


@dataclass(frozen=True, eq=False)
class Report:
    """What there is to tell of a run.

    Attributes:
        history: of the run.
        classes: scores of each, in the order of the channels.
        interval: of the mean IoU; None where it cannot be told.
        worst: the worst pictures, the worst first.
        protocol: how the score came about, in sentences.
        warnings: what to beware of, in sentences.
    """

    history: History
    classes: tuple[ClassScore, ...]
    interval: Interval | None
    worst: tuple[WorstPicture, ...]
    protocol: tuple[str, ...]
    warnings: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """The report as plain data, as in report.json."""
        history, best = self.history, self.history.best
        start = history.start
        return {
            "pixelwise": VERSION,
            "run": history.folder.resolve().name,
            "ended": None if history.stopped is None else history.stopped.why,
            "mean_iou": None if best is None else best.mean_iou,
            "interval": None
            if self.interval is None
            else {
                "low": round(self.interval.low, 6),
                "high": round(self.interval.high, 6),
                "confidence": 0.95,
                "drawn_from": self.interval.units,
                "by": _units(history),
            },
            "pixel_accuracy": None if best is None else best.pixel_accuracy,
            "best_epoch": None if best is None else best.epoch + 1,
            "protocol": list(self.protocol),
            "model": None
            if history.model is None
            else {
                "file": history.model.path.name,
                "sha256": history.model.sha256,
                "bytes": len(history.model.content),
                "scores": [score.model_dump() for score in history.model.card.scores],
            },
            "warnings": list(self.warnings),
            "classes": [vars(row) for row in self.classes],
            "scores": [
                {
                    "epoch": score.epoch + 1,
                    "step": score.step,
                    "mean_iou": score.mean_iou,
                    "loss_train": score.loss_train,
                }
                for score in history.scores
            ],
            "worst": [{"name": row.name, "mean_iou": row.mean_iou} for row in self.worst],
            "training_pictures": None if start is None else start.train,
            "validation_pictures": None if start is None else start.val,
            "parameters": None if start is None else start.parameters,
            "epochs": None if start is None else start.epochs,
            "epochs_done": _epochs_done(history),
            "seconds": round(history.seconds, 1),
            "images_per_second": history.images_per_second,
            "memory_mib": history.memory_mib,
            "trained_with": None if start is None else start.version,
            "machines": [machine.model_dump() for machine in history.machines],
            "events": [
                {"event": _KINDS[type(incident)], **incident.model_dump()}
                for incident in history.incidents
            ],
            "plan": [vars(choice) for choice in history.plan],
        }


_KINDS = {
    Quarantined: "quarantined",
    RolledBack: "rolled back",
    SmallerBatches: "smaller batches",
}


def write_report(run_folder: Path) -> Report:
    """Writes report.json and report.html into the folder of a run, finished or not.

    Raises:
        UsageError: the folder holds no run, or a file of it cannot be read.
        OutputError: a file cannot be written.
    """
    from pixelwise.training.report_page import report_page

    report = make_report(run_folder)
    content = json.dumps(report.facts(), indent=1, allow_nan=False) + "\n"
    write_atomic(run_folder / "report.json", content.encode())
    write_atomic(run_folder / "report.html", report_page(report).encode())
    return report


def make_report(run_folder: Path) -> Report:
    """Reads a run, and judges it.

    Raises:
        UsageError: the folder holds no run, or a file of it cannot be read.
    """
    history = read_history(run_folder)
    interval = None if history.counts is None else _interval(history.counts)
    classes = _class_scores(history)
    return Report(
        history=history,
        classes=classes,
        interval=interval,
        worst=_worst(history),
        protocol=tuple(_protocol(history, interval)),
        warnings=(
            *_warnings_of_course(history),
            *_warnings_of_data(history, interval),
            *_warnings_of_classes(classes, pictures=history.start.val if history.start else 0),
        ),
    )


def _interval(counts: PictureCounts) -> Interval | None:
    """By groups where they suffice, as in the card of the finished model."""
    return (replace(counts, groups=None) if _lacks_groups(counts) else counts).interval()


def _lacks_groups(counts: PictureCounts) -> bool:
    return counts.groups is not None and not groups_suffice(counts.groups, counts.counts[:, 1] > 0)


def _class_scores(history: History) -> tuple[ClassScore, ...]:
    names = history.start.classes if history.start else ()
    best, counts = history.best, history.counts
    rows = []
    for channel, name in enumerate(names):
        iou = dice = precision = recall = pixels = pictures = colour = None
        if best is not None and channel < len(best.iou):
            iou, dice = best.iou[channel], best.dice[channel]
        if counts is not None and channel < len(counts.classes):
            right, truth, found = counts.counts[:, :, channel].sum(0).tolist()
            precision, recall = _ratio(right, found), _ratio(right, truth)
            pixels = truth
            pictures = int((counts.counts[:, 1, channel] > 0).sum())
            colour = counts.colours[channel]
        rows.append(ClassScore(name, colour, iou, dice, precision, recall, pixels, pictures))
    return tuple(rows)


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 7) if whole else None


def _worst(history: History) -> tuple[WorstPicture, ...]:
    counts, best = history.counts, history.best
    if counts is not None:
        scores = counts.by_picture
        return tuple(
            WorstPicture(counts.names[place], round(float(scores[place]), 7), place)
            for place in counts.worst(_WORST)
        )
    return tuple(WorstPicture(p.name, p.mean_iou, -1) for p in (best.images if best else ()))


def _epochs_done(history: History) -> int:
    if history.stopped is not None:
        return history.stopped.epoch
    return max((score.epoch + 1 for score in history.scores), default=0)


def _protocol(history: History, interval: Interval | None) -> list[str]:
    """How the score came about."""
    best, start = history.best, history.start
    if best is None or start is None:
        return []
    present = sum(iou is not None for iou in best.iou)
    several = history.choice("kind") == "multi_label"
    way = (
        "Each class by itself is found where its probability is 0.5 at least: no threshold was "
        "chosen on these pictures. The counts of each class are added up over all"
        if several
        else "One confusion matrix is filled over all"
    )
    lines = [
        f"Mean IoU (Jaccard index) over the {present} of {len(best.iou)} classes that occur in "
        f"truth or prediction. {way} {counted(start.val, 'validation picture')}, each at its "
        "original size and once, without test-time augmentation; ignored pixels do not count.",
        _validation(history),
        f"Weights: those after epoch {best.epoch + 1}{_averaged(history)}, the best of "
        f"{counted(len(history.scores), 'scoring')} of these same pictures.",
    ]
    if interval is not None:
        lines.append(
            f"95 % interval: jackknife over {interval.units:,} {_units(history)}. It "
            "tells how much the score depends on which pictures are in the set; not that the "
            "epoch was chosen on them, which flatters the score a little."
        )
    return lines


def _units(history: History) -> str:
    counts = history.counts
    grouped = counts is not None and counts.groups is not None and not _lacks_groups(counts)
    return "groups of pictures" if grouped else "pictures"


def _validation(history: History) -> str:
    split, train = history.choice("validation"), history.choice("train")
    share = history.choice("validation_share")
    kept = f"{percent(share)} of the pictures of {train!r}" if isinstance(share, float) else "part"
    if split is None:
        return f"Validation pictures: {kept}, kept back by groups."
    return (
        f"Validation pictures: the split {split!r}; of a data set without one, {kept}, kept back "
        "by groups."
    )


def _averaged(history: History) -> str:
    decay = history.choice("average_decay")
    return f", averaged over the steps with a decay of {decay:g}" if decay else ""


def _warnings_of_course(history: History) -> list[str]:
    best, start = history.best, history.start
    told = []
    if history.stopped is None:
        told.append(
            "The run is not over: this is how far it is. `pixelwise train --resume` goes on."
        )
    if best is None or start is None:
        return [*told, "Nothing has been scored yet."]
    last = history.scores[-1]
    done = history.stopped is not None and history.stopped.why == "done"
    near_end = best.epoch + 1 > start.epochs - max(1.0, _LAST_SHARE * start.epochs)
    if done and near_end and start.epochs > 1:
        told.append(
            f"The best epoch, {best.epoch + 1}, is among the last of {start.epochs}: the score "
            "was still rising, and more epochs would probably help."
        )
    told += _fall(best, last)
    rolled_back = sum(isinstance(incident, RolledBack) for incident in history.incidents)
    if rolled_back:
        told.append(
            f"{counted(rolled_back, 'step')} had to be taken back, for the gradient was no finite "
            "number: see the events for the pictures; a lower learning rate may help."
        )
    quarantined = sum(isinstance(incident, Quarantined) for incident in history.incidents)
    if quarantined:
        told.append(f"{counted(quarantined, 'file')} could not be read: see the events.")
    return told


def _fall(best: Score, last: Score) -> list[str]:
    if best.mean_iou is None or last.mean_iou is None or best.loss_train is None:
        return []
    if best.mean_iou - last.mean_iou < _FELL_BY:
        return []
    if last.loss_train is None or last.loss_train >= best.loss_train:
        return [
            f"The score fell from {percent(best.mean_iou)} to {percent(last.mean_iou)} after the "
            "best epoch, and the loss did not fall: the learning rate may be too high."
        ]
    return [
        f"The score fell from {percent(best.mean_iou)} at epoch {best.epoch + 1} to "
        f"{percent(last.mean_iou)} while the loss on the training pictures went on falling: the "
        "network learns them by heart. More pictures, a stronger augmentation or fewer epochs "
        "would help. The kept weights are those of the best epoch."
    ]


def _warnings_of_data(history: History, interval: Interval | None) -> list[str]:
    start = history.start
    if start is None:
        return []
    told = []
    if start.val < _FEW_PICTURES:
        told.append(
            f"{counted(start.val, 'validation picture')} only: the score says little about other "
            "pictures."
        )
    counts = history.counts
    if interval is not None and counts is not None and _lacks_groups(counts):
        told.append(
            f"The validation pictures come in {counted(len(set(counts.groups or ())), 'group')}, "
            "too few of them or of one class; pictures of a group are alike: the interval is too "
            "narrow."
        )
    if history.counts is None and history.best is not None:
        told.append("There are no counts of single pictures, and so no interval.")
    return told


def _warnings_of_classes(classes: tuple[ClassScore, ...], *, pictures: int) -> list[str]:
    scored = any(row.iou is not None for row in classes)
    if not scored:
        return []
    absent = [row.name for row in classes if row.iou is None or row.pixels == 0]
    rare = [
        f"{row.name} ({row.pictures})"
        for row in classes
        if row.pictures is not None and 0 < row.pictures < _FEW_WITH_CLASS
    ]
    poor = [
        f"{row.name} ({percent(row.iou)})"
        for row in classes
        if row.iou is not None and row.iou < _LOW_IOU and row.pixels != 0
    ]
    told = []
    if absent:
        told.append(
            "Not in the truth of the validation pictures, so how well they are found is not "
            f"known: {_listed(absent)}."
        )
    if rare and pictures >= _FEW_WITH_CLASS:
        told.append(
            f"In fewer than {_FEW_WITH_CLASS} validation pictures, so their scores are chance: "
            f"{_listed(rare)}."
        )
    if poor:
        told.append(f"Hardly found at all: {_listed(poor)}.")
    return told


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    shown = ", ".join(names[:_NAMES_SHOWN])
    return f"{shown} and {more:,} more" if more > 0 else shown
