"""Trains six architectures on CamVid under one budget, scores them on val, writes JSON.

python -m benchmarks.baselines --data CAMVID --runs RUNS --json benchmarks/results/baselines.json
python -m benchmarks.baselines --data CAMVID --runs RUNS --only unet pspnet
python -m benchmarks.baselines --data CAMVID --runs RUNS --form large --epochs 200

Every architecture sees the same pictures as often, in crops of the same size, under the same
augmentation, loss and schedule. Each has a folder of its own under RUNS; a second start goes on
where the first was cut, and leaves out what is finished. The best scored epoch counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.machine import describe_machine
from pixelwise.errors import UsageError
from pixelwise.formats.files import make_folder, write_atomic
from pixelwise.models.encoders.statistics import input_statistics
from pixelwise.models.layers import BatchNorm
from pixelwise.training.allocator import keep_freed_memory
from pixelwise.training.distributed import World, join_world
from pixelwise.training.events import Event, Score, Start, StepTime, Stopped, read_events
from pixelwise.training.picture_counts import PictureCounts, read_picture_counts
from pixelwise.training.plan import TrainingPlan, make_plan, read_plan, write_plan
from pixelwise.training.run_folder import Log, RunFolder
from pixelwise.training.setup import Materials, bring_together, open_sources, prepare_training
from pixelwise.training.splits import draw_splits, read_splits, write_splits
from pixelwise.training.trainer import Trainer

PROTOCOL = (
    "CamVid val, 480×360, 11 classes, void ignored, original size, one confusion matrix over all "
    "photos"
)
BUDGET: dict[str, object] = {
    "crop": (224, 288),
    "augmentation": "medium",
    "epochs": 8,
    "batch": 8,
    "learning_rate": 1e-3,
    "schedule": "poly",
    "warmup_steps": 45,
    "weight_decay": 1e-2,
    "average_decay": 0.99,
    "loss": "cross-entropy",
    "class_weights": "sqrt-median-frequency",
    "score_every": 4,
    "log_every": 5,
    "seed": 1,
}
"""What is the same for all; choices that are not named are those of `TrainingPlan`."""


@dataclass(frozen=True)
class Baseline:
    """One row of the table.

    Attributes:
        title: the architecture's name in its paper.
        encoder, weights: as in `TrainingPlan`.
        network: options of the architecture.
        width: share of the channels of every layer that is kept.
    """

    title: str
    encoder: str
    weights: str | None
    network: dict[str, object] = field(default_factory=dict)
    width: float = 1.0


# Half-pixel alignment, so that all take crops of one size.
SMALL = {
    "fcn8s": Baseline("FCN-8s", "mobilenetv2_100", "shipped"),
    "segnet": Baseline("SegNet", "vgg11_bn", None, width=0.25),
    "unet": Baseline("U-Net", "mobilenetv2_100", "shipped"),
    "deeplabv3plus": Baseline("DeepLabV3+", "mobilenetv2_100", "shipped"),
    "pspnet": Baseline("PSPNet", "mobilenetv2_100", "shipped", {"alignment": "half_pixel"}),
    "segformer": Baseline("SegFormer-B0", "mit_b0", None),
}
LARGE = {
    "fcn8s": Baseline("FCN-8s", "vgg16", "timm"),
    "segnet": Baseline("SegNet", "vgg16_bn", "timm"),
    "unet": Baseline("U-Net", "resnet50", "timm"),
    "deeplabv3plus": Baseline("DeepLabV3+", "resnet50", "timm"),
    "pspnet": Baseline("PSPNet", "resnet50", "timm", {"alignment": "half_pixel"}),
    "segformer": Baseline("SegFormer-B0", "mit_b0", None),
}
FORMS = {"small": SMALL, "large": LARGE}


def plan_of(name: str, baseline: Baseline, data: Path, changes: dict[str, object]) -> TrainingPlan:
    """The budget, and what follows from the start of the encoder.

    An encoder that starts from nothing learns as fast as the decoder, and its normalisation has no
    statistics worth keeping.
    """
    mean, std = input_statistics(baseline.encoder, baseline.weights)
    started = baseline.weights is not None
    return make_plan(
        {
            **BUDGET,
            "data": [{"path": str(data), "classes": "camvid"}],
            "architecture": name,
            "encoder": baseline.encoder,
            "encoder_weights": baseline.weights,
            "network": baseline.network,
            "mean": mean,
            "std": std,
            "encoder_rate": 0.3 if started else 1.0,
            "freeze_encoder_norm": started,
            **changes,
        },
        where=f"the baseline {name}",
    )


def narrow(network: nn.Module, share: float, kept: set[int]) -> None:
    """Makes every convolution and batch normalisation anew, with fewer channels.

    Args:
        network: of plain convolutions, changed in place.
        share: of the channels.
        kept: numbers of channels that stay: those of the picture and of the scores.
    """

    def fewer(channels: int) -> int:
        return channels if channels in kept else max(1, round(share * channels))

    for name, layer in list(network.named_children()):
        if isinstance(layer, nn.Conv2d):
            thin = nn.Conv2d(
                fewer(layer.in_channels),
                fewer(layer.out_channels),
                kernel_size=layer.kernel_size,
                padding=layer.padding,
                bias=layer.bias is not None,
            )
            setattr(network, name, thin)
        elif isinstance(layer, nn.BatchNorm2d):
            setattr(network, name, BatchNorm(fewer(layer.num_features)))
        else:
            narrow(layer, share, kept)


def prepare(baseline: Baseline, plan: TrainingPlan, folder: RunFolder, world: World) -> Materials:
    """The run of a plan, new or begun.

    Raises:
        UsageError: the folder holds a run of another plan.
    """
    sources = open_sources(plan)
    if not folder.plan.is_file():
        make_folder(folder.path)
        write_splits(draw_splits(sources, plan), folder.splits)
        write_plan(plan, folder.plan)
    if read_plan(folder.plan) != plan:
        raise UsageError(
            "the run was begun under another plan",
            where=str(folder.path),
            fix="give the same --form, --epochs, … or another folder for --runs",
        )
    splits = read_splits(folder.splits, sources)
    train, validation = bring_together(splits.trains, splits.validations, plan)
    materials = prepare_training(plan, train, validation, world)
    if baseline.width != 1:
        torch.manual_seed(plan.seed)
        narrow(materials.network, baseline.width, {len(plan.mean), len(materials.classes)})
    return materials


class CoreClock:
    """Notes the seconds that all cores together spent on steps.

    On a processor that other programs share, they say more than those of the clock.

    Args:
        log: gets a line for each span of steps within an epoch.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._last: tuple[object, int, float] | None = None

    def begin(self, past: Sequence[Event]) -> None:
        """See `Observer`."""

    def on_event(self, event: Mapping[str, object]) -> None:
        """See `Observer`."""
        if "gradient_norm" not in event:
            return
        now = (event["epoch"], int(str(event["step"])), time.process_time())
        if self._last is not None and self._last[0] == now[0]:
            _, step, seconds = self._last
            self._log.write({"steps": now[1] - step, "seconds": round(now[2] - seconds, 3)})
        self._last = now

    def close(self) -> None:
        """See `Observer`."""


def cores_log(folder: RunFolder) -> Path:
    """Where `CoreClock` writes."""
    return folder.path / "cores.jsonl"


def core_seconds_per_step(folder: RunFolder) -> float | None:
    """Median over the run, of all cores together; None for a run without timed steps."""
    path = cores_log(folder)
    spans = map(json.loads, path.read_text().splitlines()) if path.is_file() else ()
    times = [span["seconds"] / span["steps"] for span in spans]
    return round(statistics.median(times), 3) if times else None


def is_finished(folder: RunFolder) -> bool:
    """Whether the run came to its end."""
    return any(isinstance(event, Stopped) for event in read_events(folder.log))


def row(name: str, baseline: Baseline, folder: RunFolder) -> dict[str, Any]:
    """What a finished run tells."""
    plan = read_plan(folder.plan)
    events = list(read_events(folder.log))
    start = next(event for event in events if isinstance(event, Start))
    scores = [event for event in events if isinstance(event, Score)]
    best = [event for event in scores if event.best][-1]
    counts = read_picture_counts(folder.pictures)
    return {
        "name": name,
        "title": baseline.title,
        "encoder": baseline.encoder,
        "width": baseline.width,
        "train": start.train,
        "val": start.val,
        "start": "random" if baseline.weights is None else "ImageNet",
        "parameters": start.parameters,
        "mean_iou": best.mean_iou,
        "interval": None if counts is None else interval_of(counts),
        "pixel_accuracy": best.pixel_accuracy,
        "iou": dict(zip(start.classes, best.iou, strict=True)),
        "epoch": best.epoch + 1,
        "scored": [[event.epoch + 1, event.mean_iou] for event in scores],
        "pictures_seen": scores[-1].step * plan.batch,
        "steps": scores[-1].step,
        "seconds_per_step": seconds_per_step(folder, start.steps_per_epoch, plan.log_every),
        "core_seconds_per_step": core_seconds_per_step(folder),
    }


def interval_of(counts: PictureCounts) -> list[float] | None:
    """Low and high end of the 95 % interval, by drawing pictures."""
    interval = counts.interval()
    return None if interval is None else [round(interval.low, 4), round(interval.high, 4)]


def seconds_per_step(folder: RunFolder, steps_per_epoch: int, log_every: int) -> float | None:
    """Median over the run, loading and augmentation included; None for a run without timed steps.

    The clock of the first steps of an epoch starts with the epoch.
    """
    times = [
        event.seconds / min(log_every, (event.step - 1) % steps_per_epoch + 1)
        for event in read_events(folder.timing)
        if isinstance(event, StepTime)
    ]
    return round(statistics.median(times), 3) if times else None


def results_of(form: str, runs: Path) -> dict[str, Any]:
    """All finished runs of a form."""
    folders = {name: RunFolder(runs / name) for name in FORMS[form]}
    done = {name: folder for name, folder in folders.items() if is_finished(folder)}
    plans = [read_plan(folder.plan) for folder in done.values()]
    shared = {*BUDGET, "precision"}
    rows = [row(name, FORMS[form][name], folder) for name, folder in done.items()]
    return {
        "machine": describe_machine(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "form": form,
        "protocol": PROTOCOL,
        "budget": plans[0].model_dump(mode="json", include=shared) if plans else {},
        "rows": rows,
    }


def make_parser() -> argparse.ArgumentParser:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="CamVid, 480×360 form")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--json", type=Path, help="where the results go")
    parser.add_argument("--form", choices=sorted(FORMS), default="small", help="which encoders")
    parser.add_argument("--only", nargs="+", choices=list(SMALL), help="leave out the others")
    parser.add_argument("--epochs", type=int, default=BUDGET["epochs"])
    parser.add_argument("--batch", type=int, default=BUDGET["batch"])
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    return parser


def main(words: list[str] | None = None) -> None:
    """The command line of this module."""
    arguments = make_parser().parse_args(words)
    changes = {name: getattr(arguments, name) for name in ("epochs", "batch", "precision")}
    for name, baseline in FORMS[arguments.form].items():
        if arguments.only and name not in arguments.only:
            continue
        folder = RunFolder(arguments.runs / name)
        plan = plan_of(name, baseline, arguments.data, changes)
        with join_world() as world:
            materials = prepare(baseline, plan, folder, world)
            if not is_finished(folder):
                with folder.held(), Log(cores_log(folder), None) as log:
                    Trainer(materials, folder, world, observer=CoreClock(log)).run()
        told = row(name, baseline, folder)
        print(f"{baseline.title}: {100 * told['mean_iou']:.1f} %", flush=True)
    if arguments.json is not None:
        results = results_of(arguments.form, arguments.runs)
        text = json.dumps(results, indent=1, ensure_ascii=False)
        write_atomic(arguments.json, f"{text}\n".encode())


if __name__ == "__main__":
    keep_freed_memory()
    main()
