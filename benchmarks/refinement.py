"""What each refinement does to mean IoU and boundary IoU of three shipped models.

    python -m benchmarks.refinement DATA [--pictures N] [--budget SECONDS] [--json FILE]

DATA holds the folders `camvid`, `drive` and `dubai_aerial`. Each model is judged on pictures that
it did not learn from: `street` on the 101 of CamVid val, `vessels` on the 4 of DRIVE that its
recipe keeps back, `aerial` on the 9 of `recipes/aerial_split`. Every refinement has its default
settings; `min_area` 100 pixels and `smooth` a radius of 2, which have none; superpixels are of
some 256 pixels. "tuned" is what `pixelwise tune-refine` finds: each picture is refined with
settings that were chosen by others. Differences are paired, in points of a hundred, with their 95
% intervals.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe_machine
from pixelwise import data
from pixelwise.cli.refinement import superpixels
from pixelwise.data import Dataset
from pixelwise.evaluation.border_measures import Borders
from pixelwise.evaluation.compare import Comparison, compare
from pixelwise.evaluation.evaluate import evaluate
from pixelwise.evaluation.matching import read_rules
from pixelwise.evaluation.measures import Overlap
from pixelwise.evaluation.opening import Source, set_subjects
from pixelwise.evaluation.predictions import Subject
from pixelwise.evaluation.refine_search import flags_of
from pixelwise.evaluation.refined import KeptPredictions, RefinedPredictions
from pixelwise.evaluation.sources import SetTruth
from pixelwise.evaluation.tune_refine import tune_refine
from pixelwise.formats.files import write_atomic
from pixelwise.inference.predictor import load
from pixelwise.kernels.checks import usable_cores
from pixelwise.refine.plan import Refinement
from pixelwise.training.plan import make_plan, read_choices
from pixelwise.training.setup import open_sources
from pixelwise.training.splits import draw_splits

FIGURES = ("mean_iou", "mean_boundary_iou")
REFINEMENTS = {
    "crf": Refinement("crf"),
    "guided": Refinement("guided"),
    "snap": Refinement(snap=True),
    "smooth": Refinement(smooth=2),
    "min_area": Refinement(min_area=100),
}
TUNED = "tuned"
_DRIVE = {
    "images": "training/images/{}_training.png",
    "masks": "training/1st_manual/{}_manual1.png",
}


@dataclass(frozen=True)
class Row:
    """One refinement of one model.

    Attributes:
        data, model: names.
        refinement: its name; "tuned" of settings chosen by other pictures.
        settings: flags of `pixelwise predict`; what is recommended of "tuned", "" where nothing is.
        pictures: that it was judged on.
        figures: `Difference`s, by key.
        seconds: that it took.
        interval: what the intervals are over, in words.
    """

    data: str
    model: str
    refinement: str
    settings: str
    pictures: int
    figures: dict[str, Any]
    seconds: float
    interval: str


def drive_kept_back(folder: Path) -> Dataset:
    """What the training of `vessels` did not learn from."""
    choices = read_choices(Path("recipes/vessels.yaml"))
    plan = make_plan(
        {**choices, "data": [{"path": str(folder), **_DRIVE}]}, where="recipes/vessels.yaml"
    )
    return draw_splits(open_sources(plan), plan).validations[0]


def subjects(folder: Path) -> dict[str, tuple[str, str, Dataset, Sequence[str]]]:
    """By data set: the model, what the pictures are, the pictures, and rules of classes."""
    aerial = data.open(folder / "dubai_aerial", splits=Path("recipes/aerial_split"))
    camvid = data.open(folder / "camvid")
    return {
        "camvid": ("street", "val", camvid.split("val"), ["recipes/street_on_camvid.yaml"]),
        "drive": ("vessels", "kept back", drive_kept_back(folder / "drive"), ["vessel=foreground"]),
        "dubai_aerial": ("aerial", "val", aerial.split("val"), []),
    }


def subject_of(
    model: str, split: str, dataset: Dataset, rules: Sequence[str], pictures: int
) -> Subject:
    """The model, and so many of the pictures, spread over all; 0 for all."""
    if 0 < pictures < len(dataset):
        dataset = dataset.subset(np.linspace(0, len(dataset) - 1, pictures).astype(int).tolist())
    loaded = load(model, threads=1, streams=usable_cores())
    truth = SetTruth(dataset, split, ())
    (subject,) = set_subjects(
        [Source(model, None)], truth, read_rules(rules), loaded=lambda _: loaded
    )
    return subject


def rows_of(name: str, model: str, subject: Subject, budget: float) -> list[Row]:
    """All refinements of one model."""
    measures, workers = (Overlap(), Borders()), usable_cores()
    kept = replace(subject, predictions=KeptPredictions(subject.predictions))
    plain = evaluate(kept, measures, workers=workers)

    def row(refinement: str, settings: str, comparison: Comparison, begun: float) -> Row:
        figures = {key: vars(comparison.overall[key]) for key in FIGURES}
        seconds = round(time.perf_counter() - begun, 1)
        units = comparison.a.units
        told = f"{units.count} {units.kind}" + (f"; {units.note}" if units.note else "")
        pictures = len(comparison.names)
        made = Row(name, model, refinement, settings, pictures, figures, seconds, told)
        print(line_of(made), flush=True)
        return made

    rows = []
    for title, refinement in REFINEMENTS.items():
        begun = time.perf_counter()
        every = [refinement] * len(subject.truths.names)
        predictions = RefinedPredictions(kept.predictions, every, title, superpixels)
        refined = evaluate(replace(kept, predictions=predictions), measures, workers=workers)
        rows.append(row(title, flags_of(refinement), compare(plain, refined), begun))
    begun = time.perf_counter()
    found = tune_refine(subject, superpixels=superpixels, seconds=budget, workers=workers)
    settings = "" if found.recommended is None else flags_of(found.recommended)
    rows.append(row(TUNED, settings, found.comparison, begun))
    return rows


def line_of(row: Row) -> str:
    """A row for people."""
    cells = [f"{key} {told(row.figures[key])}" for key in FIGURES]
    return f"{row.data:13} {row.refinement:9} {'   '.join(cells)}  {row.seconds:.0f} s"


def told(figure: dict[str, Any]) -> str:
    """A difference and its interval, in points."""
    if figure["low"] is None:
        return f"{100 * figure['difference']:+.2f}"
    low, high = 100 * figure["low"], 100 * figure["high"]
    return f"{100 * figure['difference']:+.2f} ({low:+.2f} to {high:+.2f})"


def main(words: list[str] | None = None) -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--pictures", type=int, default=0, help="of each data set; 0: all")
    parser.add_argument("--budget", type=float, default=240, help="seconds of each search")
    parser.add_argument("--only", nargs="+", help="names of data sets")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(words)
    about = describe_machine()
    print(about)
    rows = []
    for name, (model, split, dataset, rules) in subjects(options.data).items():
        if options.only and name not in options.only:
            continue
        subject = subject_of(model, split, dataset, rules, options.pictures)
        rows += rows_of(name, model, subject, options.budget)
    if options.json:
        content = {
            "machine": about,
            "budget_seconds": options.budget,
            "rows": [asdict(row) for row in rows],
        }
        text = json.dumps(content, indent=1, ensure_ascii=False)
        write_atomic(options.json, f"{text}\n".encode())


if __name__ == "__main__":
    main()
