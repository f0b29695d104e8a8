"""`pixelwise data check`: pairs a second, and memory from 1,000 to 100,000 of them.

    python -m benchmarks.check [--data FOLDER] [--largest N] [--json FILE]

Speed: the pass over pictures of 480×360 and their masks, in this process, files in the disk cache:
every picture decoded whole, every mask read and counted, hashes of contents and looks. Figures are
medians. The data set is CamVid where `--data` names it, else photos and masks made here.
Memory: the whole command in fresh processes, on folders of 1,000, 10,000 and 100,000 pairs that
are hard links to a few: peak resident memory as the system notes it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.machine import describe_machine
from benchmarks.predict import run_process
from pixelwise import data
from pixelwise.data.statistics import gather
from pixelwise.kernels.checks import usable_cores

SIZE = (360, 480)
DISTINCT = 64
CLASSES = 11
COUNTS = (1_000, 10_000, 100_000)


def make_sources(folder: Path) -> None:
    """Photos like in weight to real ones, and masks of large areas."""
    rows, columns = np.indices(SIZE) / SIZE[1]
    for number in range(DISTINCT):
        random = np.random.default_rng(number)
        waves = [
            np.sin(2 * np.pi * (a * rows + b * columns + c))
            for a, b, c in random.uniform(0.3, 9, (6, 3))
        ]
        layers = np.stack([waves[0] + waves[1], waves[2] + waves[3], waves[4] + waves[5]], axis=-1)
        photo = 127 + 50 * layers + random.normal(0, 6, (*SIZE, 3))
        areas = np.argmax(random.normal(size=(CLASSES, 1, 1)) + [
            np.sin(2 * np.pi * (a * rows + b * columns + c))
            for a, b, c in random.uniform(0.3, 4, (CLASSES, 3))
        ], axis=0)  # fmt: skip
        Image.fromarray(np.clip(photo, 0, 255).astype(np.uint8)).save(
            folder / f"{number}.jpg", quality=93
        )
        Image.fromarray(areas.astype(np.uint8)).save(folder / f"{number}.png")


def link(sources: Path, folder: Path, count: int) -> None:
    """A data set of `count` pairs."""
    for kind, suffix in (("images", "jpg"), ("masks", "png")):
        (folder / kind).mkdir(parents=True)
        for number in range(count):
            os.link(
                sources / f"{number % DISTINCT}.{suffix}", folder / kind / f"{number:06}.{suffix}"
            )


def speed(folder: Path, repeats: int) -> dict[str, object]:
    """Pairs a second, with one thread and with one per core."""
    dataset = data.open(folder)
    gather(dataset)
    rates: dict[str, float] = {}
    for workers in sorted({1, usable_cores()}):
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            gather(dataset, workers=workers)
            seconds.append(time.perf_counter() - started)
        rates[f"{workers} thread{'s' * (workers > 1)}"] = len(dataset) / statistics.median(seconds)
    return {"pairs": len(dataset), "pairs_per_second": rates}


def memory(sources: Path, folder: Path, counts: list[int]) -> list[dict[str, float]]:
    """Seconds and peak memory of the whole command."""
    rows = []
    for count in counts:
        place = folder / str(count)
        link(sources, place, count)
        command = [sys.executable, "-m", "pixelwise", "data", "check", str(place)]
        seconds, peak = run_process(command)
        rows.append({"pairs": count, "seconds": seconds, "peak_mib": peak})
        print(f"{count:>9,} pairs  {seconds:8.1f} s  {peak:8.1f} MiB")
    return rows


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--largest", type=int, default=COUNTS[-1])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        sources, folder = Path(name, "sources"), Path(name, "sets")
        sources.mkdir()
        # Made in another process: peak memory as the system notes it starts at the parent's.
        maker = f"import benchmarks.check as b; b.make_sources(b.Path({str(sources)!r}))"
        run_process([sys.executable, "-c", maker])
        counts = [count for count in COUNTS if count <= arguments.largest]
        rows = memory(sources, folder, counts)
        results = {
            "machine": describe_machine(),
            "memory": rows,
            "speed": speed(arguments.data or folder / str(counts[0]), arguments.repeats),
        }
    print(json.dumps(results["speed"], indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
