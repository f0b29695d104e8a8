"""`predict --ray` against plain threads, and how the schedule scales with skewed file sizes.

    python -m benchmarks.ray_scaling [--pictures N] [--repeats N] [--json FILE]

Throughput: the same folder of JPEGs by `pixelwise predict` with threads and with `--ray`, whole
commands in turns, on all cores. "steady" counts pictures between the first and last label map, by
the times of their files, so without the start of the command and of Ray; "whole" is the command.
Scaling: pictures of lognormal sizes (sigma 1.2, at most 24 megapixels) are timed one by one on one
core. Then many of them, drawn again with a seed, are dealt to workers by `Schedule` and, for
comparison, in listing order in blocks of 16; the clock is simulated, with a millisecond for each
block's message. Efficiency is the sum of all times over workers × length.
"""

from __future__ import annotations

import argparse
import heapq
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import pixelwise
from benchmarks.machine import describe_machine
from pixelwise.inference.job_list import Job
from pixelwise.inference.schedule import Schedule

SIGMA = 1.2
MEDIAN_MEGAPIXELS = 0.5
LARGEST_MEGAPIXELS = 24.0
MESSAGE_SECONDS = 0.001
DRAWN = 4000
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128)
BLOCK = 16


def make_photos(folder: Path, count: int, *, skewed: bool) -> list[Path]:
    """JPEGs made of the example photos: of 0.5 megapixels, or of sizes that differ much."""
    sources = sorted(Path("examples/photos").glob("*.jpg"))
    draw = np.random.default_rng(0)
    made = []
    for number in range(count):
        drawn = MEDIAN_MEGAPIXELS * float(np.exp(SIGMA * draw.standard_normal()))
        size = min(LARGEST_MEGAPIXELS, drawn) if skewed else MEDIAN_MEGAPIXELS
        with Image.open(sources[number % len(sources)]) as image:
            factor = (size * 1e6 / (image.width * image.height)) ** 0.5
            sides = round(image.width * factor), round(image.height * factor)
            path = folder / f"{number:05d}.jpg"
            image.convert("RGB").resize(sides).save(path, quality=90)
        made.append(path)
    return made


def command_seconds(photos: Path, output: Path, *options: str) -> dict[str, float]:
    """Pictures per second of a whole command, and of its steady part."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pixelwise", "predict", str(photos), "-o", str(output), *options],
        check=True,
        capture_output=True,
    )
    seconds = time.perf_counter() - started
    times = sorted(path.stat().st_mtime for path in (output / "labels").rglob("*.png"))
    return {
        "whole": len(times) / seconds,
        "steady": (len(times) - 1) / (times[-1] - times[0]),
    }


def throughput(folder: Path, count: int, repeats: int) -> dict[str, object]:
    """Plain threads and Ray, in turns."""
    photos = folder / "even"
    photos.mkdir()
    make_photos(photos, count, skewed=False)
    kinds = {"threads": [], "ray": ["--ray"]}
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for turn in range(repeats):
        for kind, options in kinds.items():
            output = folder / f"{kind}_{turn}"
            found[kind].append(command_seconds(photos, output, *options))
    return {
        "pictures": count,
        **{
            f"{kind}_{part}_per_second": statistics.median(each[part] for each in found[kind])
            for kind in kinds
            for part in ("whole", "steady")
        },
        "ray_to_threads_steady": statistics.median(
            ray["steady"] / plain["steady"]
            for ray, plain in zip(found["ray"], found["threads"], strict=True)
        ),
    }


def measured_times(photos: list[Path], output: Path) -> tuple[list[int], list[float]]:
    """Bytes of each photo, and seconds from its file to its two results, on one core."""
    model = pixelwise.load("street", threads=1)
    model.predict(photos[0])
    sizes, seconds = [], []
    for path in photos:
        started = time.perf_counter()
        result = model.predict(path)
        result.save(output / "labels.png")
        result.save_overlay(output / "overlay.png")
        seconds.append(time.perf_counter() - started)
        sizes.append(path.stat().st_size)
    return sizes, seconds


def simulated(blocks_of: Schedule, seconds: dict[str, float], workers: int) -> float:
    """Length of a run in seconds: each free worker takes the next block."""
    free = [0.0] * workers
    while block := blocks_of.take(workers):
        begun = heapq.heappop(free)
        work = sum(seconds[str(job.name)] for job in block)
        heapq.heappush(free, begun + MESSAGE_SECONDS + work)
    return max(free)


def in_listing_order(seconds: list[float], workers: int) -> float:
    """The same, in blocks of one length in the order of the names."""
    free = [0.0] * workers
    for first in range(0, len(seconds), BLOCK):
        begun = heapq.heappop(free)
        heapq.heappush(free, begun + MESSAGE_SECONDS + sum(seconds[first : first + BLOCK]))
    return max(free)


def scaling(folder: Path, count: int) -> dict[str, object]:
    """Efficiency of simulated runs over the number of workers."""
    photos = folder / "skewed"
    photos.mkdir()
    sizes, seconds = measured_times(make_photos(photos, count, skewed=True), folder)
    chosen = np.random.default_rng(1).integers(0, count, DRAWN)
    drawn = [seconds[place] for place in chosen]
    jobs = [Job(Path(f"{n}.jpg"), Path(str(n)), sizes[p]) for n, p in enumerate(chosen)]
    named = {str(job.name): value for job, value in zip(jobs, drawn, strict=True)}
    total = sum(drawn)
    return {
        "pictures": DRAWN,
        "milliseconds_median": 1000 * statistics.median(drawn),
        "milliseconds_largest": 1000 * max(drawn),
        "efficiency": {
            str(workers): {
                "schedule": total / workers / simulated(Schedule(jobs, DRAWN), named, workers),
                "listing order, blocks of 16": total / workers / in_listing_order(drawn, workers),
            }
            for workers in WORKERS
        },
    }


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = {
            "machine": describe_machine(),
            "scaling": scaling(folder, arguments.pictures),
            "throughput": throughput(folder, arguments.pictures, arguments.repeats),
        }
    print(json.dumps(results, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
