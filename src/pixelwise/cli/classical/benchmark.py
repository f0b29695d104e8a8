"""`pixelwise classical DATA --benchmark`: a table of methods, beside a model, with its protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.classical.benchmark import Benchmark, Compared, MethodScore, compared, scorable
from pixelwise.classical.benchmark import benchmark as scored
from pixelwise.classical.methods import METHODS, Method
from pixelwise.classical.truth_seeds import HOW_DRAWN
from pixelwise.cli.data.options import open_from, refuse_taken
from pixelwise.cli.judging import Opening, Work
from pixelwise.cli.output import (
    ExitCode,
    print_columns,
    print_error,
    print_json,
    print_line,
    print_wrapped,
)
from pixelwise.cli.progress import progress_bar
from pixelwise.data.borders import BORDER_CLASSES
from pixelwise.data.split_files import sha256_of
from pixelwise.data.wording import counted
from pixelwise.errors import MaskFileError, UsageError
from pixelwise.evaluation.evaluate import Estimate, Evaluation, evaluate
from pixelwise.evaluation.matching import Match, Rule, match_classes, read_rules
from pixelwise.evaluation.opening import refuse_layers, set_subjects, set_truth, source_of
from pixelwise.evaluation.predictions import Subject
from pixelwise.evaluation.sources import SetTruth
from pixelwise.formats.files import write_atomic
from pixelwise.version import VERSION

__all__ = ["Wanted", "run_benchmark"]

_SUFFIXES = (".json", ".md")
_FROM_TRUTH = "seeds from the truth"


@dataclass(frozen=True)
class Wanted:
    """What is to be scored.

    Attributes:
        data: folder of the data set.
        opening: how it is opened.
        methods: to score.
        model: name, file or run to compare with; None for none.
        rules: of its classes; see `match_classes`.
        split: of the data set; see `set_truth`.
        sample: so many pictures, drawn by the seed; None for all.
        seed: of the sample and of the methods.
        output: a file for the result too, or None.
        overwrite: whether that may be there.
        summary: whether the result is told as JSON.
        work: threads, and how the model runs.
    """

    data: Path
    opening: Opening
    methods: Sequence[Method]
    model: str | None
    rules: Sequence[str]
    split: str | None
    sample: int | None
    seed: int
    output: Path | None
    overwrite: bool
    summary: bool
    work: Work


def run_benchmark(wanted: Wanted) -> ExitCode:
    """Scores, and prints table and protocol.

    Raises:
        PixelwiseError: it could not start.
    """
    if wanted.output is not None:
        if wanted.output.suffix.lower() not in _SUFFIXES:
            raise UsageError(
                "the kind of file is told by its suffix",
                got=f"-o {wanted.output}",
                fix=f"name a file that ends in {' or '.join(_SUFFIXES)}",
            )
        refuse_taken(wanted.output, overwrite=wanted.overwrite)
    truth, subject = _opened(wanted)
    match = _own_match(truth, read_rules(wanted.rules)) if subject is None else subject.match
    rounds = len(wanted.methods) and (1 if subject is None else 2)
    with progress_bar(len(truth.names) * rounds) as advance:
        found = scored(
            truth,
            match,
            wanted.methods,
            seed=wanted.seed,
            workers=wanted.work.workers,
            progress=advance,
        )
        model = None
        if subject is not None:
            model = evaluate(subject, workers=wanted.work.workers, progress=advance)
    protocol = _protocol(truth, match, found, model)
    table = _table(found, model)
    document = _plain(found, model, protocol)
    if wanted.summary:
        print_json(document)
    else:
        print_columns(table[0], table[1:])
        print_line("")
        for title, text in protocol:
            print_wrapped(f"{title}: {text}")
    for fault in found.faults:
        print_error(MaskFileError(fault.what, where=fault.file, got=fault.got, fix=fault.fix))
    if wanted.output is not None:
        is_json = wanted.output.suffix.lower() == ".json"
        text = json.dumps(document, indent=1) + "\n" if is_json else _markdown(table, protocol)
        write_atomic(wanted.output, text.encode("utf-8", "surrogateescape"))
    return ExitCode.SOME_FAILED if found.faults else ExitCode.DONE


def _opened(wanted: Wanted) -> tuple[SetTruth, Subject | None]:
    """The pictures to judge by, and the model as their judged subject."""
    dataset = open_from(wanted.data, **vars(wanted.opening))
    sources = [] if wanted.model is None else [source_of(wanted.model)]
    truth = set_truth(dataset, wanted.split, sources)
    refuse_layers(truth)
    count = len(truth.names)
    if wanted.sample is not None and wanted.sample < count:
        generator = np.random.default_rng(wanted.seed)
        places = np.sort(generator.choice(count, wanted.sample, replace=False)).tolist()
        split = f"{truth.split or 'all pictures'}, {len(places):,} of {count:,} drawn by seed "
        truth = replace(truth, dataset=truth.dataset.subset(places), split=split + str(wanted.seed))
    if not sources:
        return truth, None
    loaded = wanted.work.loaded(sources[0].model) if sources[0].folder is None else None
    rules = read_rules(wanted.rules)
    if loaded is not None and not rules:
        rules = _rules_of_borders(loaded.classes.names, truth)
    (subject,) = set_subjects(
        sources, truth, rules, loaded=lambda name: loaded or wanted.work.loaded(name)
    )
    return truth, subject


def _rules_of_borders(own: Sequence[str], truth: SetTruth) -> tuple[Rule, ...]:
    """Of a model of outside, inside and border: its inside and border are the objects."""
    if tuple(own) != BORDER_CLASSES.names or len(truth.classes) != 2:
        return ()
    ground, objects = truth.classes.names
    outside, inside, border = BORDER_CLASSES.names
    return (outside, ground), (inside, objects), (border, objects)


def _own_match(truth: SetTruth, rules: Sequence[Rule]) -> Match:
    return match_classes(truth.classes, truth.classes, rules, titles=("truth", "truth"))


def _protocol(
    truth: SetTruth, match: Match, found: Benchmark, model: Evaluation | None
) -> list[tuple[str, str]]:
    left_out = [name for name, method in METHODS.items() if not scorable(method)]
    shown = [score.method for score in found.scores if score.from_truth]
    faults = f", {counted(len(found.faults), 'picture')} left out" if found.faults else ""
    units = found.units
    settings = "; ".join(
        f"{score.method} {', '.join(f'{key}={value}' for key, value in score.settings.items())}"
        for score in found.scores
        if score.settings
    )
    rows = [
        ("data", truth.facts["data"]),
        ("split", f"{truth.facts['split']}: {counted(len(found.names), 'picture')}{faults}"),
        ("picture list", f"SHA-256 {sha256_of(sorted(truth.names))}"),
        ("training", truth.facts.get("learned", "")),
        ("classes", f"{len(found.classes)}: {', '.join(found.classes.names)}"),
        ("map", "; ".join(match.notes)),
        (
            "assignment",
            "regions have no names: each class is given the region of highest IoU, one to one, by "
            "the Hungarian method on IoUs; “mIoU” with one assignment for all pictures, chosen on "
            "them; “by picture” with another one in each, which only its truth can tell",
        ),
        ("settings", settings + "; all else by default" if settings else "by default"),
        (
            "averaging",
            "one confusion matrix over all pictures at the size of their truth, IoU taken once "
            "from its sums; mean over the classes",
        ),
        (
            "interval",
            f"95 %, studentised jackknife over {units.count:,} {units.kind}"
            if units.count > 1
            else "none: there is one picture",
        ),
        (_FROM_TRUTH, f"{', '.join(shown)}: not automatic; {HOW_DRAWN}" if shown else ""),
        ("not scored", f"{', '.join(left_out)}: needs a sequence"),
        ("failed", _failures(found)),
        ("pixelwise", VERSION),
    ]
    if model is not None:
        facts = model.subject.predictions.facts
        told = facts["predictions"]
        if "model_hash" in facts:
            told += f", SHA-256 {facts['model_hash']}"
        rows.insert(0, ("model", told))
    return [(title, text) for title, text in rows if text]


def _failures(found: Benchmark) -> str:
    return "; ".join(
        f"{score.method} on {counted(score.failed, 'picture')}, counted as nothing found"
        for score in found.scores
        if score.failed
    )


def _table(found: Benchmark, model: Evaluation | None) -> list[tuple[str, ...]]:
    """Titles and rows, the best automatic method first, and after them those with seeds."""
    classes = found.classes.names
    titles = ["method", "mIoU %", "by picture %", *(f"{name} %" for name in classes), "s/picture"]
    titles += ["model - method"] if model is not None else []
    rows: list[tuple[str, ...]] = [tuple(titles)]
    if model is not None:
        told = model.subject.predictions.facts["predictions"]
        each = [_number(estimate.value) for estimate in model.by_class["iou"]]
        rows.append((told, _shown(model.overall["mean_iou"]), "", *each, "", ""))
    for score in _best_first(found):
        name = f"{score.method} ({_FROM_TRUTH})" if score.from_truth else score.method
        row = [name, _shown(score.by_set.mean_iou), _shown(score.by_picture.mean_iou)]
        row += [_number(estimate.value) for estimate in score.by_set.iou]
        row.append(f"{score.seconds:.2f}")
        if model is not None:
            row.append(_difference(compared(found, score, model)))
        rows.append(tuple(row))
    return rows


def _best_first(found: Benchmark) -> list[MethodScore]:
    """Those that were shown where to look come after the automatic ones."""
    return sorted(
        found.scores,
        key=lambda score: (score.from_truth, -(score.by_set.mean_iou.value or 0)),
    )


def _shown(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return _number(estimate.value)
    return f"{_number(estimate.value)} ({_number(estimate.low)}–{_number(estimate.high)})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _difference(made: Compared) -> str:
    value = f"{100 * made.difference:+.1f}"
    if made.low is None or made.high is None:
        return value
    words = {"model": "model better", "method": "method better", "open": "not told apart"}
    return f"{value} ({100 * made.low:+.1f} … {100 * made.high:+.1f}): {words[made.verdict]}"


def _markdown(table: list[tuple[str, ...]], protocol: list[tuple[str, str]]) -> str:
    head, *body = table
    lines = [head, ("---", *("---:" for _ in head[1:])), *body]
    cells = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return cells + "\n" + "".join(f"- {title}: {text}\n" for title, text in protocol)


def _plain(
    found: Benchmark, model: Evaluation | None, protocol: list[tuple[str, str]]
) -> dict[str, Any]:
    classes = found.classes.names

    def scores(mean: Estimate, each: Sequence[Estimate]) -> dict[str, Any]:
        pairs = zip(classes, each, strict=True)
        return {"mean_iou": vars(mean), "iou": {name: vars(value) for name, value in pairs}}

    methods = []
    for score in _best_first(found):
        entry = {
            "method": score.method,
            "settings": dict(score.settings),
            "seeds": "from the truth" if score.from_truth else None,
            "regions": dict(zip(classes, score.regions, strict=True)),
            "one_assignment": scores(score.by_set.mean_iou, score.by_set.iou),
            "by_picture": scores(score.by_picture.mean_iou, score.by_picture.iou),
            "seconds": score.seconds,
            "failed": score.failed,
        }
        if model is not None:
            made = compared(found, score, model)
            entry["model_minus_method"] = {**vars(made), "better": made.verdict}
        methods.append(entry)
    document: dict[str, Any] = {"protocol": dict(protocol), "methods": methods}
    if model is not None:
        document["model"] = scores(model.overall["mean_iou"], model.by_class["iou"])
    return document
