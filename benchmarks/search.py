"""A search through many results: without an index, with one, and after some were changed.

    python -m benchmarks.search [--pictures N] [--repeats N] [--json FILE]

Results are made up: label maps of 2 × 2 … 8 × 8 blocks of up to eight of 19 classes, as
`pixelwise predict` writes them, of so few pixels that what is read is their headers. They lie in
folders of 1,000. A search without an index reads every header; one with it asks the file system
for length and time of every file; then a hundredth of the files is written anew. Peak memory is
that of a process which only searches. The pyramid is timed on a map of 2048 × 1024 pixels with
some 5,000 regions, beside a plain count of its labels.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import pixelwise as pw
from benchmarks.machine import describe_machine
from benchmarks.polygons import CLASSES, cells
from pixelwise import kernels
from pixelwise.formats.masks import encode_mask
from pixelwise.kernels import reference_cells
from pixelwise.presence import Presence, cell_edges
from pixelwise.searching.index import INDEX_NAME

QUERIES = ("class-3 > 20%", "class-3 > 20% in left and not class-5")
IN_A_FOLDER = 1000
CHANGED = 100  # one file of so many
NAMES = json.dumps({number: f"class-{number}" for number in range(CLASSES)})

_MEMORY = """
import resource, sys
import pixelwise as pw
for query in sys.argv[2:]:
    pw.search(sys.argv[1], query, limit=100)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def write(folder: Path, number: int, seed: int) -> None:
    """One result."""
    random = np.random.default_rng(seed)
    ids = random.choice(CLASSES, random.integers(2, 9), replace=False).astype(np.uint8)
    side = int(random.integers(2, 9))
    blocks = ids[random.integers(0, len(ids), (side, side))]
    labels = np.repeat(np.repeat(blocks, 96 // side, axis=0), 128 // side, axis=1)
    said = {
        "model": "made-up",
        "model_hash": f"{seed:064x}",
        "source": f"photos/{number // IN_A_FOLDER:04}/picture_{number:07}.jpg",
        "source_hash": f"{number:064x}",
        "classes": NAMES,
        "presence": Presence.of(labels, threads=1).encode(),
    }
    place = folder / "labels" / f"{number // IN_A_FOLDER:04}" / f"picture_{number:07}.png"
    place.write_bytes(encode_mask(labels, text={"pixelwise": json.dumps(said)}))
    # Files as young as a search are read again by the next one.
    os.utime(place, (1_700_000_000 + seed, 1_700_000_000 + seed))


def timed(work: Callable[[], Any]) -> float:
    """Seconds on the clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median_ms(work: Callable[[], Any], repeats: int) -> float:
    """Of several runs."""
    return 1e3 * statistics.median(timed(work) for _ in range(repeats))


def searches(pictures: int, repeats: int) -> dict[str, Any]:
    """Seconds of searches through a folder of made-up results."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(0, pictures, IN_A_FOLDER):
            (folder / "labels" / f"{number // IN_A_FOLDER:04}").mkdir(parents=True)
        for number in range(pictures):
            write(folder, number, number)
        whole, placed = QUERIES
        first = timed(lambda: pw.search(folder, whole))
        again = statistics.median(timed(lambda: pw.search(folder, whole)) for _ in range(repeats))
        places = statistics.median(timed(lambda: pw.search(folder, placed)) for _ in range(repeats))
        for number in range(0, pictures, CHANGED):
            write(folder, number, pictures + number)
        changed = timed(lambda: pw.search(folder, whole))
        kept = pw.search(folder, placed)
        (folder / INDEX_NAME).unlink()
        if pw.search(folder, placed) != kept:
            raise SystemExit("the index answers otherwise than the files")
        done = subprocess.run(
            [sys.executable, "-c", _MEMORY, str(folder), *QUERIES],
            capture_output=True,
            text=True,
            check=True,
        )
        return {
            "pictures": pictures,
            "without an index, s": first,
            "with it, s": again,
            "with it, a part of the picture, s": places,
            f"after a change of every {CHANGED}th, s": changed,
            "matches": kept.matches,
            "index, bytes a picture": (folder / INDEX_NAME).stat().st_size / pictures,
            "peak memory, MiB": float(done.stdout),
        }


def pyramid(repeats: int) -> dict[str, float]:
    """Milliseconds of counting a map in 64 cells, on one core."""
    labels = cells()
    edges = cell_edges(labels.shape[0]), cell_edges(labels.shape[1])
    return {
        "pyramid, ms": median_ms(lambda: Presence.of(labels, threads=1), repeats),
        "its NumPy twin, ms": median_ms(
            lambda: reference_cells.count_cells(labels, *edges, CLASSES), repeats
        ),
        "plain count of the labels, ms": median_ms(
            lambda: kernels.count_labels(labels, CLASSES, threads=1), repeats
        ),
    }


def main() -> None:
    """Prints the figures, and writes them as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    about = f"{describe_machine()}; NumPy {np.__version__}; compiled: {kernels.COMPILED}"
    print(f"{about}\n")
    figures = searches(options.pictures, options.repeats) | pyramid(4 * options.repeats)
    for name, value in figures.items():
        print(f"{name:40}{value:14,.2f}")
    if options.json:
        value = {"about": about, "figures": figures}
        options.json.write_text(json.dumps(value, indent=2) + "\n")


if __name__ == "__main__":
    main()
