"""Augmentation of a decoded picture and its mask, against torchvision v2 and albumentations.

    python -m benchmarks.augment [--repeats N] [--json FILE]

Random scale, crop, flip, colours and normalising of 1024×512 pictures and masks to 384×512: see
`benchmarks.augment_peers`. All run in one process on one thread, in turns of a batch of 16
pictures; the table shows medians over the batches. No file is read.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.augment_peers import IGNORED, PIPELINES, single_threaded
from benchmarks.machine import describe_machine
from pixelwise import kernels
from pixelwise.data.augment import PRESETS, Augmentation, Augmented, Rotate, preset
from pixelwise.data.targets import MultiClassTarget

BATCH = 16
PICTURE = (512, 1024)
SIZE = (384, 512)
PHOTO = Path("examples/photos/roundabout_buildings.jpg")


@dataclass(frozen=True)
class Row:
    """One pipeline."""

    name: str
    median_ms: float
    least_ms: float
    images_per_second: float
    times_faster: float  # than torchvision v2


Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def samples() -> list[Pair]:
    """A photo and a mask of 19 classes, each time moved on, so that none is in the cache."""
    photo = Image.open(PHOTO).convert("RGB").resize(PICTURE[::-1])
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 19, (16, 32), np.uint8)
    mask = np.asarray(Image.fromarray(coarse).resize(PICTURE[::-1], Image.Resampling.NEAREST))
    return [
        (np.roll(np.array(photo), 50 * n, axis=1), np.roll(np.array(mask), 50 * n, axis=1))
        for n in range(BATCH)
    ]


def in_turns(paths: dict[str, Callable[..., object]], repeats: int) -> dict[str, list[float]]:
    """Milliseconds per picture of each path, a batch of one after a batch of the other."""
    pairs = samples()
    times: dict[str, list[float]] = {name: [] for name in paths}
    for turn in range(repeats + 1):
        for name, path in paths.items():
            start = time.perf_counter()
            for image, mask in pairs:
                path(image, mask)
            if turn:  # the first warms up
                times[name].append((time.perf_counter() - start) * 1e3 / BATCH)
    return times


def peers(repeats: int) -> list[Row]:
    """The same chain in each library."""
    times = in_turns({name: make(SIZE) for name, make in PIPELINES.items()}, repeats)
    slowest = statistics.median(times["torchvision v2"])
    return [
        Row(
            name=name,
            median_ms=statistics.median(values),
            least_ms=min(values),
            images_per_second=1000 / statistics.median(values),
            times_faster=slowest / statistics.median(values),
        )
        for name, values in times.items()
    ]


def parts(repeats: int) -> dict[str, float]:
    """Mean milliseconds of the presets, and of a rotation in every sample."""
    chains = {f"preset {name}": preset(name, size=SIZE) for name in PRESETS}
    chains["medium, always rotated"] = Augmentation(
        (Rotate(20, chance=1), *PRESETS["medium"]), size=SIZE
    )
    batch = [
        Augmented(np.empty((3, *SIZE), np.float32), MultiClassTarget(np.empty(SIZE, np.uint8)))
        for _ in range(BATCH)
    ]
    times = in_turns({name: path_of(chain, batch) for name, chain in chains.items()}, repeats)
    # A mean, since a blur or a JPEG comes in some of the draws only.
    return {name: statistics.mean(values) for name, values in times.items()}


def path_of(chain: Augmentation, batch: list[Augmented]) -> Callable[..., object]:
    """One augmentation, each call into the next place of the batch."""
    generator = np.random.default_rng(0)
    places = itertools.cycle(batch)

    def run(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Augmented:
        plan = chain.draw(PICTURE, generator)
        target = MultiClassTarget(mask)
        return chain.apply(plan, image, target, ignore_index=IGNORED, out=next(places))

    return run


def machine() -> str:
    """The machine, the libraries, and which kernels run."""
    from importlib.metadata import version

    names = ("torch", "torchvision", "albumentations", "opencv-python-headless")
    libraries = ", ".join(f"{name} {version(name)}" for name in names)
    kind = "NumPy twins"
    if kernels.COMPILED:
        from pixelwise.kernels import _native

        kind = _native.variants()[-1]
    return f"{describe_machine()}; {libraries}; kernels: {kind}"


def main() -> None:
    """Prints the tables, and writes them as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    single_threaded()
    about = machine()
    protocol = f"one thread, in turns of {BATCH} pictures, median of {options.repeats}"
    print(f"{about}\n{protocol}\n")
    rows = peers(options.repeats)
    print(f"{'chain':18}{'median':>11}{'least':>11}{'images/s':>10}{'× torchvision':>15}")
    for row in rows:
        print(
            f"{row.name:18}{row.median_ms:8.2f} ms{row.least_ms:8.2f} ms"
            f"{row.images_per_second:10.0f}{row.times_faster:15.1f}"
        )
    means = parts(options.repeats)
    print()
    for name, value in means.items():
        print(f"{name:24}{value:8.3f} ms in the mean")
    if options.json:
        content = {
            "machine": about,
            "protocol": protocol,
            "rows": [asdict(row) for row in rows],
            "presets_mean_ms": means,
        }
        options.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
