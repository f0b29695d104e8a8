"""int8 and bf16 against float32: speed in turn, and what is lost on a data set.

    python -m benchmarks.export [MODEL DATA] [--map FILE] [--json FILE] [--seconds S] [--count N]

Exports MODEL to each target, calibrated on the split train of DATA, and judges all by its split
val. Then the networks run in turn in one process, warm, one picture at a time, in the engine each
is for, with one thread and with all; ratios are of medians. The float32 network runs in both.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from pixelwise.data import open as open_dataset
from pixelwise.errors import ExportRefusedError
from pixelwise.evaluation.matching import read_rules
from pixelwise.evaluation.opening import Source, set_subjects, set_truth
from pixelwise.export.pictures import from_dataset
from pixelwise.export.run import Subjects, export
from pixelwise.export.targets import TARGETS
from pixelwise.inference.bench import Row, Setting, measure
from pixelwise.inference.engines import installed_engines, usable_cores
from pixelwise.inference.model_file import ModelFile, read_model

MODEL, DATA, MAP = "street", "../shared/data/camvid", "recipes/street_on_camvid.yaml"


def judged_by(truth: Any, rules: Sequence[tuple[str, str]]) -> Subjects:
    """What several models are judged by, by the same pictures."""
    return lambda models: set_subjects(
        [Source(str(place), None) for place in range(len(models))],
        truth,
        rules,
        loaded=lambda place: models[int(place)],
    )


def exports(
    original: ModelFile, data: Path, rules: Sequence[tuple[str, str]], folder: Path, count: int
) -> tuple[dict[str, ModelFile], dict[str, Any]]:
    """The exports that passed, and the verdict of each."""
    dataset = open_dataset(data)
    truth = set_truth(dataset, None)
    calibration = from_dataset(dataset.split("train"), f"{data.name} train").drawn(count)
    samples = from_dataset(truth.dataset, f"{data.name} {truth.split}").compared()
    files, verdicts = {}, {}
    for name, target in TARGETS.items():
        if target.engine not in ("auto", *installed_engines()):
            continue
        try:
            result = export(
                original,
                target,
                folder / f"{name}.onnx",
                samples=samples,
                calibration=calibration if target.precision == "int8" else None,
                data=judged_by(truth, rules),
            )
        except ExportRefusedError as error:
            verdicts[name] = {"refused": error.got}
            continue
        files[name] = result.file
        verdicts[name] = result.verdict.model_dump(mode="json")
        print(f"{name}: {result.verdict.drop.describe() if result.verdict.drop else ''}")
    return files, verdicts


def settings(original: ModelFile, files: dict[str, ModelFile]) -> list[tuple[str, Setting]]:
    """Each in the engine that it is for, the original in all."""
    counts = sorted({1, usable_cores()})
    rows = [("original", original, engine) for engine in installed_engines()]
    rows += [
        (name, file, TARGETS[name].engine)
        for name, file in files.items()
        if TARGETS[name].precision != "float32"
    ]
    return [
        (name, Setting(file, engine, threads, 1))
        for name, file, engine in rows
        for threads in counts
    ]


def ratio(row: Row, rows: Sequence[tuple[str, Row]]) -> float:
    """How much faster than the original in the same engine with as many threads."""
    before = next(
        other.median
        for name, other in rows
        if name == "original" and (other.engine, other.threads) == (row.engine, row.threads)
    )
    return before / row.median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default=MODEL)
    parser.add_argument("data", nargs="?", type=Path, default=Path(DATA))
    parser.add_argument("--map", default=None)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--count", type=int, default=16)
    chosen = parser.parse_args()
    given = chosen.map or (MAP if chosen.model == MODEL else None)
    rules = read_rules([given] if given else [])
    original = read_model(chosen.model)
    with tempfile.TemporaryDirectory() as folder:
        files, verdicts = exports(original, chosen.data, rules, Path(folder), chosen.count)
    named = settings(original, files)
    measured = measure([setting for _, setting in named], seconds=chosen.seconds)
    rows = [(name, row) for (name, _), row in zip(named, measured, strict=True)]
    result = {
        "machine": describe_machine(),
        "model": chosen.model,
        "bytes": {"original": len(original.content)}
        | {name: len(file.content) for name, file in files.items()},
        "verdicts": verdicts,
        "rows": [{"export": name, **asdict(row), "ratio": ratio(row, rows)} for name, row in rows],
    }
    for name, row in rows:
        print(
            f"{name:14} {row.runs_in:26} {row.threads} threads  {row.median:8.1f} ms  "
            f"p95 {row.p95:8.1f} ms  {ratio(row, rows):.2f} times the original"
        )
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
