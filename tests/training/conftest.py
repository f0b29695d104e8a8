"""A run folder as a training leaves it, from seeded numbers."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pixelwise.classes import ClassInfo, ClassTable, distinct_colours
from pixelwise.training.picture_counts import write_picture_counts
from pixelwise.training.plan import make_plan, write_plan


@dataclass(frozen=True)
class MadeRun:
    """A run folder and what went into it."""

    folder: Path
    table: ClassTable
    log: list[dict]
    timing: list[dict]

    def write(self) -> Path:
        """Writes both logs, changed or not."""
        for name, lines in (("log.jsonl", self.log), ("timing.jsonl", self.timing)):
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (self.folder / name).write_text(text, encoding="utf-8")
        return self.folder

    def of(self, event: str) -> list[dict]:
        """The lines of the log that tell of such an event."""
        return [line for line in self.log if line["event"] == event]


def _counts(random, pictures, classes, quality):
    truth = random.integers(1, 2000, (pictures, classes))
    right = (truth * np.clip(quality + random.normal(0, 0.1, truth.shape), 0, 1)).astype(np.int64)
    found = right + (random.random(truth.shape) * (truth - right) * 0.6).astype(np.int64)
    return np.stack([right, truth, found], axis=1)


def _score(counts, *, epoch, step, best):
    right, truth, found = counts.sum(0)
    union = truth + found - right
    iou = [float(a / b) if b else None for a, b in zip(right, union, strict=True)]
    known = [value for value in iou if value is not None]
    mean = float(np.mean(known))
    return {
        "event": "score",
        "epoch": epoch,
        "step": step,
        "loss_train": 2 * math.exp(-step / 40),
        "mean_iou": mean,
        "pixel_accuracy": 0.9,
        "iou": iou,
        "dice": [None if value is None else 2 * value / (1 + value) for value in iou],
        "best": mean > best,
        "images": [{"name": "picture_000", "mean_iou": 0.1}],
    }


@pytest.fixture
def make_run(tmp_path):
    """Writes a run folder; every choice is a number of the run."""

    def make(*, classes=4, epochs=6, pictures=40, steps=10, names=None, ended="done", name="run"):
        folder = tmp_path / name
        folder.mkdir()
        random = np.random.default_rng(7)
        names = names or [f"class {number}" for number in range(classes)]
        colours = distinct_colours(len(names))
        table = ClassTable(
            "toy",
            tuple(ClassInfo(i, n, c) for i, (n, c) in enumerate(zip(names, colours, strict=True))),
            None,
            "made for a test",
        )
        plan = make_plan({"data": [{"path": "data/toy"}], "epochs": epochs}, where="a test")
        write_plan(plan, folder / "plan.yaml", {"epochs": "as many as fit: # of them"})
        log = [
            {
                "event": "start",
                "version": "0.0.1",
                "classes": names,
                "train": 100,
                "val": pictures,
                "steps_per_epoch": steps,
                "epochs": epochs,
                "parameters": 6000,
            }
        ]
        timing, best = [], -1.0
        for step in range(1, epochs * steps + 1):
            epoch = (step - 1) // steps
            log.append(
                {
                    "event": "step",
                    "epoch": epoch,
                    "step": step,
                    "loss": 2 * math.exp(-step / 40) + random.random() / 10,
                    "learning_rate": 1e-3 * (1 - step / (epochs * steps + 1)),
                    "gradient_norm": float(random.lognormal()),
                }
            )
            timing.append(
                {"event": "step", "step": step, "images_per_second": 30.0, "seconds": 0.5}
            )
            if step % steps == 0:
                quality = 0.9 * (1 - math.exp(-(epoch + 1) / 2))
                counts = _counts(random, pictures, len(names), quality)
                score = _score(counts, epoch=epoch, step=step, best=best)
                log.append(score)
                timing.append({"event": "score", "step": step, "seconds": 2.0})
                if score["best"]:
                    best = score["mean_iou"]
                    write_picture_counts(
                        folder / "val_counts.json",
                        epoch=epoch,
                        classes=table,
                        names=[f"picture_{number:03d}" for number in range(pictures)],
                        counts=counts,
                    )
        if ended:
            log.append({"event": "stopped", "epoch": epochs, "why": ended})
        run = MadeRun(folder, table, log, timing)
        run.write()
        return run

    return make
