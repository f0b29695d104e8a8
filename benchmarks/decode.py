"""Exact decode against `torch.nn.functional.interpolate` + argmax or softmax, on random scores.

    python -m benchmarks.decode [--repeats N] [--json FILE]

Both sides run in one process, in turns, on the same number of threads; the table shows medians.
The smooth scores are random values on a coarse grid, enlarged so that about 10 % of the cells
between four scores lie on a class border, as in the answers of networks. Peak memory is that of a
process that does nothing else, above its imports and its input.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.machine import describe_machine
from pixelwise import kernels
from pixelwise.kernels import Axis

THREADS = 2
BORDER_SHARE = 0.10


@dataclass(frozen=True)
class Case:
    """Classes and sizes of the scores, and the size of the picture."""

    name: str
    classes: int
    source: tuple[int, int]
    size: tuple[int, int]
    kind: str

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """Rows and columns in the half-pixel convention."""
        rows, columns = map(Axis.half_pixel, self.size, self.source)
        return rows, columns


CASES = [
    Case("150 classes, 128×128 -> 683×1024, smooth", 150, (128, 128), (683, 1024), "smooth"),
    Case("150 classes, 128×128 -> 683×1024, noise", 150, (128, 128), (683, 1024), "noise"),
    Case("19 classes, 256×512 -> 1024×2048, smooth", 19, (256, 512), (1024, 2048), "smooth"),
    Case("19 classes, 256×512 -> 1024×2048, noise", 19, (256, 512), (1024, 2048), "noise"),
]


@dataclass(frozen=True)
class Row:
    """One path of one case."""

    case: str
    path: str
    median_ms: float
    least_ms: float
    ratio: float  # of the peer's median to this one
    peak_mib: float


@dataclass(frozen=True)
class Agreement:
    """Where the labels differ from torch's, and what float64 says there."""

    case: str
    border_share: float
    pixels: int
    differing: int
    largest_margin: float  # between the two labels in float64, over the largest score
    float64_agrees_with_pixelwise: int
    confidence_error: float


def scores_of(case: Case) -> npt.NDArray[np.float32]:
    """Random scores, the same in every process."""
    rng = np.random.default_rng(0)
    if case.kind == "noise":
        return rng.normal(size=(case.classes, *case.source)).astype(np.float32)
    tried = []
    for step in range(16, 65, 4):
        coarse_size = [side // step + 2 for side in case.source]
        coarse = 4 * rng.normal(size=(case.classes, *coarse_size)).astype(np.float32)
        axes = map(Axis.corners, case.source, coarse_size)
        scores = kernels.decode_scores(coarse, *axes)
        tried.append((abs(border_share(scores) - BORDER_SHARE), step, scores))
    return min(tried, key=lambda trial: trial[:2])[2]


def border_share(scores: npt.NDArray[np.float32]) -> float:
    """The share of cells whose four scores do not agree on the best class."""
    best = scores.argmax(axis=0)
    here = best[:-1, :-1]
    agree = (here == best[1:, :-1]) & (here == best[:-1, 1:]) & (here == best[1:, 1:])
    return float(1 - agree.mean())


def paths_of(
    case: Case, scores: npt.NDArray[np.float32]
) -> dict[str, Callable[[], npt.NDArray[np.generic]]]:
    """The functions to time, by name; torch's are named as such."""
    import torch

    torch.set_num_threads(THREADS)
    rows, columns = case.axes
    tensor = torch.from_numpy(scores)[None]

    def torch_labels() -> npt.NDArray[np.generic]:
        enlarged = torch.nn.functional.interpolate(tensor, case.size, mode="bilinear")
        return enlarged.argmax(1)[0].numpy()

    def torch_confidence() -> npt.NDArray[np.generic]:
        enlarged = torch.nn.functional.interpolate(tensor, case.size, mode="bilinear")
        return enlarged.softmax(1).amax(1)[0].numpy()

    paths: dict[str, Callable[[], npt.NDArray[np.generic]]] = {
        "labels": lambda: kernels.decode_labels(scores, rows, columns, threads=THREADS),
        "labels, torch": torch_labels,
        "confidence": lambda: kernels.decode_confidence(scores, rows, columns, threads=THREADS),
        "confidence, torch": torch_confidence,
    }
    if kernels.COMPILED:
        paths["labels, full loop"] = lambda: full_loop(case, scores)
    return paths


def full_loop(case: Case, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The compiled labels without any shortcut."""
    from pixelwise.kernels import _native

    rows, columns = case.axes
    labels = np.empty(case.size, np.uint8)
    tables = (*rows.table(case.source[0]), *columns.table(case.source[1]))
    _native.decode_labels(scores, *tables, labels, THREADS, full=True)
    return labels


def measure(case: Case, repeats: int) -> tuple[list[Row], Agreement]:
    """All paths of a case, in turns."""
    scores = scores_of(case)
    paths = paths_of(case, scores)
    answers = {name: path() for name, path in paths.items()}
    times: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(repeats):
        for name, path in paths.items():
            start = time.perf_counter()
            path()
            times[name].append((time.perf_counter() - start) * 1e3)
    medians = {name: statistics.median(values) for name, values in times.items()}
    rows = [
        Row(
            case=case.name,
            path=name,
            median_ms=medians[name],
            least_ms=min(times[name]),
            ratio=medians[name.split(",")[0] + ", torch"] / medians[name],
            peak_mib=peak_memory(case, name),
        )
        for name in paths
    ]
    return rows, agreement(case, scores, answers)


def agreement(
    case: Case,
    scores: npt.NDArray[np.float32],
    answers: dict[str, npt.NDArray[np.generic]],
) -> Agreement:
    """Compares both answers with each other and with float64."""
    ours, theirs = answers["labels"], answers["labels, torch"]
    y, x = np.nonzero(ours != theirs)
    exact = exact_scores(case, scores, y, x)
    mine = np.take_along_axis(exact, ours[y, x][None].astype(np.int64), 0)[0]
    other = np.take_along_axis(exact, theirs[y, x][None].astype(np.int64), 0)[0]
    margin = np.abs(mine - other) / np.abs(scores).max()
    error = np.abs(answers["confidence"] - answers["confidence, torch"])
    return Agreement(
        case=case.name,
        border_share=border_share(scores),
        pixels=ours.size,
        differing=len(y),
        largest_margin=float(margin.max(initial=0.0)),
        float64_agrees_with_pixelwise=int((exact.argmax(axis=0) == ours[y, x]).sum()),
        confidence_error=float(error.max()),
    )


def exact_scores(
    case: Case,
    scores: npt.NDArray[np.float32],
    y: npt.NDArray[np.int64],
    x: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """All classes at some pixels in float64, [C, pixels]."""
    low, high, weights = [], [], []
    for places, axis, source in zip((y, x), case.axes, case.source, strict=True):
        positions = axis.positions(source)[places]
        low.append(positions.astype(np.int64))
        high.append(np.minimum(low[-1] + 1, source - 1))
        weights.append(positions - low[-1])
    wide = scores.astype(np.float64)
    upper = wide[:, low[0], low[1]] * (1 - weights[1]) + wide[:, low[0], high[1]] * weights[1]
    lower = wide[:, high[0], low[1]] * (1 - weights[1]) + wide[:, high[0], high[1]] * weights[1]
    return upper * (1 - weights[0]) + lower * weights[0]


def peak_memory(case: Case, path: str) -> float:
    """MiB that a fresh process needs for one call, above what it has before."""
    code = (
        "import sys; from benchmarks import decode; "
        "print(decode.growth(decode.CASES[int(sys.argv[1])], sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(CASES.index(case)), path]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def growth(case: Case, path: str) -> float:
    """MiB by which the peak of this process rises in one call, Linux."""
    import torch

    scores = scores_of(case)
    function = paths_of(case, scores)[path]
    torch.nn.functional.interpolate(torch.zeros(1, 1, 2, 2), (3, 3), mode="bilinear")
    ctypes.CDLL(None).malloc_trim(0)  # what making the input has left behind
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = peak_resident_mib()
    function()
    return peak_resident_mib() - before


def peak_resident_mib() -> float:
    """The most memory that this process has had, Linux."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def machine() -> str:
    """The machine, torch, and which kernels run."""
    import torch

    kind = "NumPy twins"
    if kernels.COMPILED:
        from pixelwise.kernels import _native

        kind = _native.variants()[-1]
    return f"{describe_machine()}; torch {torch.__version__}; kernels: {kind}"


def summaries(results: list[tuple[list[Row], Agreement]]) -> list[dict[str, object]]:
    """One entry per case with the figures that the README shows."""
    return [
        {
            "title": rows[0].case,
            "torch_ms": row["labels, torch"].median_ms,
            "labels_ms": row["labels"].median_ms,
            "times_faster": row["labels"].ratio,
        }
        for rows, _ in results
        for row in [{entry.path: entry for entry in rows}]
    ]


def main() -> None:
    """Prints the tables, and writes them as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    about = machine()
    protocol = f"{THREADS} threads each, in turns, median of {options.repeats}"
    print(f"{about}\n{protocol}\n")
    results = [measure(case, options.repeats) for case in CASES]
    print(f"{'case':44}{'path':20}{'median':>10}{'least':>10}{'× torch':>9}{'peak MiB':>10}")
    for rows, _ in results:
        for row in rows:
            print(
                f"{row.case:44}{row.path:20}{row.median_ms:7.2f} ms{row.least_ms:7.2f} ms"
                f"{row.ratio:9.1f}{row.peak_mib:10.1f}"
            )
    print()
    for _, agreed in results:
        print(
            f"{agreed.case}: {agreed.border_share:.1%} border cells; {agreed.differing} of "
            f"{agreed.pixels} labels differ from torch's, margin in float64 at most "
            f"{agreed.largest_margin:.1e} of the largest score, float64 takes pixelwise's in "
            f"{agreed.float64_agrees_with_pixelwise}; confidence within "
            f"{agreed.confidence_error:.1e}"
        )
    if options.json:
        content = {
            "machine": about,
            "protocol": protocol,
            "cases": summaries(results),
            "rows": [asdict(row) for rows, _ in results for row in rows],
            "agreement": [asdict(agreed) for _, agreed in results],
        }
        options.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
