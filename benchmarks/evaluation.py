"""Label maps of 2 megapixels judged from disk: time against decoding alone, and memory.

    python -m benchmarks.evaluation [--pictures N] [--threads N] [--json FILE]

Truth and prediction are areas of smooth fields, the prediction those of the same field with noise,
written as indexed PNGs of 1024 × 2048. "evaluate" is the whole command in a process of its own:
start, the hash of all files, decoding, counting, intervals and tables. "decoding" is a process
that starts Python, reads the same files with the same reader in as many threads, and does nothing
with them. Both run in turns; the table shows medians. Memory is the largest of the command's
process, for a tenth of the pictures and for all.
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
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.machine import describe_machine
from pixelwise import kernels
from pixelwise.classes import ClassTable
from pixelwise.formats.png import encode_mask
from pixelwise.kernels import Axis

SIZE = (1024, 2048)
FIELDS = 20
TABLES = {19: "cityscapes", 150: "ade20k"}
NOISE = 0.3
DECODING = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pixelwise.classes import ClassTable
from pixelwise.evaluation.label_maps import read_ids
table = ClassTable.builtin(sys.argv[1])
files = [file for folder in sys.argv[3:] for file in sorted(Path(folder).iterdir())]
with ThreadPoolExecutor(int(sys.argv[2])) as pool:
    for _ in pool.map(lambda file: read_ids(file, table).shape, files):
        pass
"""


@dataclass(frozen=True)
class Row:
    """One number of classes and one choice of measures."""

    classes: int
    measures: str
    pictures: int
    evaluate_s: float
    decoding_s: float
    ratio: float
    few_mib: float
    all_mib: float


def write_pictures(folder: Path, classes: int, pictures: int) -> tuple[Path, Path]:
    """Folders of predictions and truth; each picture is a field moved by its number."""
    random = np.random.default_rng(0)
    table = ClassTable.builtin(TABLES[classes])
    ids = np.array(table.ids, np.uint8)
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(table.palette)] = table.palette
    folders = (folder / f"predictions_{classes}", folder / f"truth_{classes}")
    for each in folders:
        each.mkdir()
    for field in range(min(FIELDS, pictures)):
        scores = random.normal(size=(classes, SIZE[0] // 96, SIZE[1] // 96)).astype(np.float32)
        noise = NOISE * random.normal(size=scores.shape).astype(np.float32)
        for target, values in zip(folders, (scores + noise, scores), strict=True):
            axes = map(Axis.half_pixel, SIZE, values.shape[1:])
            labels = ids[kernels.decode_labels(values, *axes)]
            for number in range(field, pictures, FIELDS):
                moved = np.roll(labels, (7 * number, 13 * number), (0, 1))
                path = target / f"picture_{number:05}.png"
                path.write_bytes(encode_mask(moved, palette=palette))
    return folders


def run(command: Sequence[str], threads: int) -> tuple[float, float]:
    """Seconds and peak MiB of a process."""
    quiet = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=quiet) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    spent = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:4])} … ended with {process.returncode}")
    return spent, usage.ru_maxrss / 1024


def measure(folder: Path, classes: int, pictures: int, threads: int, repeats: int) -> list[Row]:
    """Both choices of measures against decoding, in turns."""
    predictions, truth = write_pictures(folder, classes, pictures)
    few = folder / f"few_{classes}"
    for source in (predictions, truth):
        part = few / source.name
        part.mkdir(parents=True)
        for file in sorted(source.iterdir())[: max(1, pictures // 10)]:
            (part / file.name).symlink_to(file)

    def evaluate(of: Sequence[Path], options: Sequence[str]) -> list[str]:
        table = ["--classes", TABLES[classes], "--threads", str(threads)]
        sides = ["--predictions", str(of[0]), "--truth", str(of[1])]
        return [sys.executable, "-m", "pixelwise", "evaluate", *sides, *table, *options]

    decoding = [sys.executable, "-c", DECODING, TABLES[classes], str(threads)]
    decoding += [str(predictions), str(truth)]
    rows = []
    for title, options in (("overlap and borders", []), ("distances too", ["--distances"])):
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(repeats):
            spent, most = run(evaluate((predictions, truth), options), threads)
            times[0].append(spent)
            times[1].append(run(decoding, threads)[0])
        least = run(evaluate([few / each.name for each in (predictions, truth)], options), threads)[
            1
        ]
        whole, alone = map(statistics.median, times)
        rows.append(Row(classes, title, pictures, whole, alone, whole / alone, least, most))
    return rows


def main() -> None:
    """Prints the table, and writes it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    about = f"{describe_machine()}; NumPy {np.__version__}; compiled: {kernels.COMPILED}"
    protocol = f"{options.threads} threads, processes in turns, median of {options.repeats}"
    print(f"{about}\n{protocol}\n")
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            row
            for classes in TABLES
            for row in measure(
                Path(folder), classes, options.pictures, options.threads, options.repeats
            )
        ]
    print(
        f"{'classes':>7}  {'measures':22}{'evaluate':>10}{'decoding':>10}{'ratio':>7}{'memory':>22}"
    )
    for row in rows:
        print(
            f"{row.classes:7}  {row.measures:22}{row.evaluate_s:8.1f} s{row.decoding_s:8.1f} s"
            f"{row.ratio:7.2f}{row.few_mib:10.0f}, {row.all_mib:.0f} MiB"
        )
    if options.json:
        content = {"machine": about, "protocol": protocol, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
