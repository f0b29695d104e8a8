"""Loading for training, against torchvision v2 and albumentations: from files and from a cache.

    python -m benchmarks.loading [--data FOLDER] [--cache FOLDER] [--repeats N] [--json FILE]

1024×512 JPEG photos (quality 90) and PNG masks to 384×512 crops, by the chain that
`benchmarks.augment_peers` states. The photos are those of CamVid and LabelMeFacade, enlarged, in a
temporary folder. All run in one process, one thread each, in turns of a batch of 16, and the table
shows medians over the batches; every path works through the same pictures in the same order, and
the files lie in the system's cache. pixelwise makes whole batches by its loader; its peers make
single samples and are spared putting them together. torchvision has three ways to read; the
ratios are to the fastest.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import pixelwise.data
from benchmarks.augment import machine
from benchmarks.augment_peers import (
    CHANGE,
    HUE,
    IGNORED,
    SCALES,
    albumentations,
    single_threaded,
    torchvision,
)
from pixelwise.classes import ClassInfo, ClassTable, distinct_colours
from pixelwise.data.augment import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Augmentation,
    Augmented,
    Flip,
    Photometric,
    RandomCrop,
    RandomScale,
)
from pixelwise.data.cache import CachedDataset, open_cache
from pixelwise.data.dataset import Dataset
from pixelwise.data.loader import Batches
from pixelwise.data.sampling import InOrder, sample_generator
from pixelwise.data.targets import MultiClassTarget

BATCH = 16
PICTURES = 64
PICTURE = (512, 1024)
SIZE = (384, 512)
CLASSES = 32
CHAIN = Augmentation(
    (
        RandomScale(*SCALES),
        Flip(0.5),
        RandomCrop(),
        Photometric(brightness=CHANGE, contrast=CHANGE, saturation=CHANGE, hue=HUE),
    ),
    size=SIZE,
)

Turn = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One path."""

    name: str
    source: str
    median_ms: float  # per picture
    least_ms: float
    images_per_second: float
    times_torchvision: float  # its fastest, from files
    times_albumentations: float  # from the same source


def make_pictures(data: Path, folder: Path) -> Dataset:
    """Writes photos and masks, and opens them."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    sets = [pixelwise.data.open(data / name) for name in ("camvid", "labelmefacade")]
    chosen = [part.subset(range(0, len(part), len(part) // (PICTURES // 2))) for part in sets]
    pairs = itertools.islice(itertools.chain(*zip(*chosen, strict=False)), PICTURES)
    for number, sample in enumerate(pairs):
        if not isinstance(sample.target, MultiClassTarget):
            raise SystemExit(f"{sample.name} has no mask of classes")
        mask = np.where(sample.target.mask < CLASSES, sample.target.mask, IGNORED).astype(np.uint8)
        photo = Image.fromarray(sample.image).resize(PICTURE[::-1], Image.Resampling.LANCZOS)
        ids = Image.fromarray(mask).resize(PICTURE[::-1], Image.Resampling.NEAREST)
        photo.save(folder / "images" / f"{number:03}.jpg", quality=90)
        ids.save(folder / "masks" / f"{number:03}.png")
    classes = tuple(
        ClassInfo(id_, f"class {id_}", colour)
        for id_, colour in enumerate(distinct_colours(CLASSES))
    )
    table = ClassTable("benchmark", classes, IGNORED, "made for a benchmark")
    return pixelwise.data.open(folder, classes=table)


def ours(dataset: Dataset, workers: int = 0) -> Turn:
    """pixelwise: the next batch of the loader."""
    batches = Batches(dataset, CHAIN, BATCH, sampler=InOrder(), workers=workers)
    source = (batch for epoch in itertools.count() for batch in batches.epoch(epoch))
    return lambda: next(source)


def peer(dataset: Dataset, path: Callable[[Path, Path], object]) -> Turn:
    """A path from two files, for the pictures of the next batch."""
    files = [(dataset.root / one.image, dataset.root / one.truth) for one in dataset.entries]
    source = itertools.cycle(files)
    return lambda: [path(*pair) for pair in itertools.islice(source, BATCH)]


def torchvision_pil() -> Callable[[Path, Path], object]:
    """torchvision v2 on PIL pictures, to a tensor after the colours."""
    import torch
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    fill = {Image.Image: (127, 127, 127), tv_tensors.Mask: IGNORED}
    chain = v2.Compose(
        [
            v2.ScaleJitter(PICTURE, SCALES),
            v2.RandomCrop(SIZE, pad_if_needed=True, fill=fill),
            v2.RandomHorizontalFlip(0.5),
            v2.ColorJitter(CHANGE, CHANGE, CHANGE, HUE),
            v2.ToImage(),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )

    def run(image: Path, mask: Path) -> Any:
        ids = torch.from_numpy(np.array(Image.open(mask)))
        return chain(Image.open(image).convert("RGB"), tv_tensors.Mask(ids))

    return run


def torchvision_tensors() -> Callable[[Path, Path], object]:
    """torchvision v2 on tensors, PIL decodes."""
    chain = torchvision(SIZE)
    return lambda image, mask: chain(np.array(Image.open(image)), np.array(Image.open(mask)))


def torchvision_io() -> Callable[[Path, Path], object]:
    """torchvision v2 on tensors, torchvision.io decodes."""
    from torchvision.io import ImageReadMode, decode_image

    chain = torchvision(SIZE)

    def run(image: Path, mask: Path) -> Any:
        photo = decode_image(str(image), ImageReadMode.RGB).permute(1, 2, 0).numpy()
        return chain(photo, decode_image(str(mask), ImageReadMode.UNCHANGED)[0].numpy())

    return run


def albumentations_files() -> Callable[[Path, Path], object]:
    """albumentations, OpenCV decodes."""
    import cv2

    chain = albumentations(SIZE)

    def run(image: Path, mask: Path) -> Any:
        photo = cv2.cvtColor(cv2.imread(str(image)), cv2.COLOR_BGR2RGB)
        return chain(photo, cv2.imread(str(mask), cv2.IMREAD_UNCHANGED))

    return run


def albumentations_cache(cached: CachedDataset) -> Turn:
    """albumentations on the arrays of the cache."""
    chain = albumentations(SIZE)
    source = itertools.cycle(range(len(cached)))

    def run(place: int) -> Any:
        entry = cached.entries[place]
        return chain(cached.read_image(entry), cached.read_target(entry, PICTURE).mask)

    return lambda: [run(place) for place in itertools.islice(source, BATCH)]


def in_turns(turns: dict[str, Turn], repeats: int) -> dict[str, list[float]]:
    """Milliseconds per picture of each path, a batch of one after a batch of the other."""
    times: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(repeats + 1):
        for name, turn in turns.items():
            start = time.perf_counter()
            turn()
            if number:  # the first warms up
                times[name].append((time.perf_counter() - start) * 1e3 / BATCH)
    return times


def compared(dataset: Dataset, cached: CachedDataset, repeats: int) -> list[Row]:
    """Every path from files and from the cache."""
    turns = {
        "pixelwise, files": ours(dataset),
        "torchvision v2 on PIL, files": peer(dataset, torchvision_pil()),
        "torchvision v2 on tensors, files": peer(dataset, torchvision_tensors()),
        "torchvision v2 and io, files": peer(dataset, torchvision_io()),
        "albumentations, files": peer(dataset, albumentations_files()),
        "pixelwise, cache": ours(cached),
        "albumentations, cache": albumentations_cache(cached),
    }
    times = in_turns(turns, repeats)
    medians = {name: statistics.median(values) for name, values in times.items()}
    fastest = min(value for name, value in medians.items() if name.startswith("torchvision"))
    return [
        Row(
            name=name.rpartition(", ")[0],
            source=name.rpartition(", ")[2],
            median_ms=median,
            least_ms=min(times[name]),
            images_per_second=1000 / median,
            times_torchvision=fastest / median,
            times_albumentations=medians["albumentations, " + name.rpartition(", ")[2]] / median,
        )
        for name, median in medians.items()
    ]


def parts(dataset: Dataset, cached: CachedDataset, repeats: int) -> dict[str, float]:
    """Median milliseconds per picture of the steps, and of the loader beyond them."""
    out = Augmented(np.empty((3, *SIZE), np.float32), MultiClassTarget(np.empty(SIZE, np.uint8)))
    entries = itertools.cycle(enumerate(cached.entries))

    def augment() -> None:
        for position, entry in itertools.islice(entries, BATCH):
            generator = sample_generator(0, 0, position)
            image, target = cached.read_image(entry), cached.read_target(entry, PICTURE)
            plan = CHAIN.draw(PICTURE, generator)
            CHAIN.apply(plan, image, target, ignore_index=IGNORED, out=out)

    def load(path: Path) -> None:
        Image.open(path).load()

    times = in_turns(
        {
            "decoding the JPEG alone, by PIL": peer(dataset, lambda image, _: load(image)),
            "decoding the PNG alone, by PIL": peer(dataset, lambda _, mask: load(mask)),
            "drawing and augmenting from the cache": augment,
            "the same by the loader, in batches": ours(cached),
        },
        repeats,
    )
    return {name: statistics.median(values) for name, values in times.items()}


def scaling(dataset: Dataset, cached: CachedDataset, repeats: int) -> dict[str, float]:
    """Images per second with one and two threads, and the cores that the machine had free."""

    def hashes(threads: int) -> Turn:
        content = bytes(2_000_000 * BATCH)

        def run() -> None:
            work = [
                threading.Thread(target=lambda: hashlib.sha256(content).digest())
                for _ in range(threads)
            ]
            for one in work:
                one.start()
            for one in work:
                one.join()

        return run

    def epoch(source: Dataset, workers: int) -> Turn:
        batches = Batches(source, CHAIN, BATCH, sampler=InOrder(), workers=workers)
        return lambda: [None for _ in batches.epoch(0)]

    turns = {
        f"{name}, {workers} threads": epoch(source, workers)
        for name, source in (("files", dataset), ("cache", cached))
        for workers in (1, 2)
    }
    hashing = {f"hashing, {threads} threads": hashes(threads) for threads in (1, 2)}
    times = in_turns(turns | hashing, repeats)
    medians = {name: statistics.median(values) for name, values in times.items()}
    figures = {name: 1000 * PICTURES / BATCH / medians[name] for name in turns}
    free = 2 * medians["hashing, 1 threads"] / medians["hashing, 2 threads"]
    return {**figures, "cores that two hashing threads had": free}


def main() -> None:
    """Prints the tables, and writes them as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(os.environ.get("PIXELWISE_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=default, help="folder of camvid, …")
    parser.add_argument("--cache", type=Path, help="folder to make the cache in")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not (options.data / "camvid").is_dir() or not (options.data / "labelmefacade").is_dir():
        sys.exit(f"no camvid and labelmefacade in {options.data}: pass --data")
    single_threaded()
    about = machine()
    protocol = f"one thread each, in turns of {BATCH} pictures, median of {options.repeats}"
    print(f"{about}\n{protocol}\n")
    with tempfile.TemporaryDirectory() as pictures, tempfile.TemporaryDirectory() as store:
        dataset = make_pictures(options.data, Path(pictures) / "set")
        cached = open_cache(dataset, (options.cache or Path(store)) / "cache", limit=1 << 30)
        rows = compared(dataset, cached, options.repeats)
        steps = parts(dataset, cached, options.repeats)
        threads = scaling(dataset, cached, max(3, options.repeats // 4))
    head = ("path", "median", "least", "images/s", "× torchvision", "× albumentations")
    print("{:28}{:>8}{:>11}{:>11}{:>10}{:>15}{:>18}".format(head[0], "source", *head[1:]))
    for row in rows:
        print(
            f"{row.name:28}{row.source:>8}{row.median_ms:8.2f} ms{row.least_ms:8.2f} ms"
            f"{row.images_per_second:10.0f}{row.times_torchvision:15.1f}"
            f"{row.times_albumentations:18.2f}"
        )
    print()
    for name, value in steps.items():
        print(f"{name:40}{value:8.3f} ms per picture")
    print()
    for name, value in threads.items():
        print(f"{name:40}{value:8.2f}")
    if options.json:
        content = {
            "machine": about,
            "protocol": protocol,
            "rows": [asdict(row) for row in rows],
            "steps_ms": steps,
            "threads": threads,
        }
        options.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
