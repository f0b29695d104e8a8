"""Upsampling + cross-entropy, forward and backward, against plain PyTorch, on random scores.

    python -m benchmarks.upsampled_loss [--repeats N] [--threads N ...] [--json FILE]

Plain is `torch.nn.functional.interpolate` and `torch.nn.functional.cross_entropy`. All sides run in
one process, in turns, on the same number of threads; the table shows medians, of the time on the
clock and of that on the processor, which other programs on the machine disturb less. Chunked is
what runs on devices other than the CPU, here on the CPU. Errors are those of the gradient against
float64, over its largest entry. Peak memory is that of a process that does nothing else, above its
imports and its input.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn import functional

from benchmarks.machine import describe_machine
from pixelwise import kernels
from pixelwise.kernels.checks import usable_cores
from pixelwise.losses.chunked import chunked_loss
from pixelwise.losses.upsampled import SummedLoss, upsampled_cross_entropy

IGNORED = 255
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Case:
    """Sizes of the scores and of the pictures."""

    classes: int
    batch: int = 4
    source: tuple[int, int] = (128, 128)
    size: tuple[int, int] = (512, 512)

    @property
    def name(self) -> str:
        """The sizes in words."""
        (h, w), (height, width) = self.source, self.size
        return f"{self.classes} classes, {h}×{w} -> {height}×{width}, batch {self.batch}"


CASES = [Case(150), Case(59), Case(19), Case(11), Case(2)]


@dataclass(frozen=True)
class Row:
    """One path of one case."""

    case: str
    path: str
    threads: int
    median_ms: float
    least_ms: float
    processor_ms: float  # median, all threads together
    ratio: float  # of plain PyTorch's median to this one
    processor_ratio: float
    peak_mib: float
    memory_ratio: float  # of plain PyTorch's peak to this one
    loss_error: float  # relative, against float64
    gradient_error: float  # against float64, over the largest entry


def plain(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Interpolation and cross-entropy of PyTorch."""
    wide = functional.interpolate(logits, target.shape[1:], mode="bilinear")
    return functional.cross_entropy(wide, target, ignore_index=IGNORED, reduction="sum")


def fused(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """One pass of the compiled kernel."""
    return upsampled_cross_entropy(logits, target, ignore_index=IGNORED)


def chunked(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """A few rows at a time in plain torch."""
    rule = kernels.LossRule(logits.shape[1], IGNORED)
    total: torch.Tensor = SummedLoss.apply(logits, target, False, rule, chunked_loss)
    return total


PATHS: dict[str, Loss] = {"plain PyTorch": plain, "fused": fused, "chunked": chunked}


def batch_of(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    """Random scores and truth, a tenth of it ignored, the same in every process."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(case.batch, case.classes, *case.source, generator=generator)
    target = torch.randint(case.classes, (case.batch, *case.size), generator=generator)
    ignored = torch.rand(target.shape, generator=generator) < 0.1
    return logits, target.masked_fill(ignored, IGNORED)


def step(loss: Loss, logits: torch.Tensor, target: torch.Tensor) -> tuple[float, torch.Tensor]:
    """The mean loss and its gradient, as a training step needs them."""
    logits = logits.detach().requires_grad_()
    total = loss(logits, target)
    (total / target.numel()).backward()
    assert logits.grad is not None
    return total.item(), logits.grad


def truth(case: Case) -> tuple[float, torch.Tensor]:
    """Loss and gradient in float64, one picture at a time."""
    logits, target = batch_of(case)
    parts = [step(plain, logits[n : n + 1].double(), target[n : n + 1]) for n in range(case.batch)]
    return sum(total for total, _ in parts), torch.cat([part for _, part in parts]) / case.batch


def measure(case: Case, threads: int, repeats: int) -> list[Row]:
    """All paths of a case, in turns."""
    logits, target = batch_of(case)
    exact_total, exact = truth(case)
    torch.set_num_threads(threads)
    errors = {}
    for name, loss in PATHS.items():
        total, gradient = step(loss, logits, target)
        worst = (gradient - exact).abs().max() / exact.abs().max()
        errors[name] = abs(total / exact_total - 1), worst.item()
    times: dict[str, list[float]] = {name: [] for name in PATHS}
    work: dict[str, list[float]] = {name: [] for name in PATHS}
    for _ in range(repeats):
        for name, loss in PATHS.items():
            start, started = time.perf_counter(), time.process_time()
            step(loss, logits, target)
            times[name].append((time.perf_counter() - start) * 1e3)
            work[name].append((time.process_time() - started) * 1e3)
    medians = {name: statistics.median(values) for name, values in times.items()}
    worked = {name: statistics.median(values) for name, values in work.items()}
    peaks = {name: peak_memory(case, name, threads) for name in PATHS}
    return [
        Row(
            case=case.name,
            path=name,
            threads=threads,
            median_ms=medians[name],
            least_ms=min(times[name]),
            processor_ms=worked[name],
            ratio=medians["plain PyTorch"] / medians[name],
            processor_ratio=worked["plain PyTorch"] / worked[name],
            peak_mib=peaks[name],
            memory_ratio=peaks["plain PyTorch"] / peaks[name],
            loss_error=errors[name][0],
            gradient_error=errors[name][1],
        )
        for name in PATHS
    ]


def peak_memory(case: Case, path: str, threads: int) -> float:
    """MiB that a fresh process needs for one step, above what it has before."""
    code = (
        "import sys; from benchmarks import upsampled_loss as own; "
        "print(own.growth(own.CASES[int(sys.argv[1])], sys.argv[2], int(sys.argv[3])))"
    )
    command = [sys.executable, "-c", code, str(CASES.index(case)), path, str(threads)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def growth(case: Case, path: str, threads: int) -> float:
    """MiB by which the peak of this process rises in one step, Linux."""
    torch.set_num_threads(threads)
    logits, target = batch_of(case)
    step(PATHS[path], logits[:1, :2, :3, :3], torch.zeros(1, 4, 4, dtype=torch.int64))
    ctypes.CDLL(None).malloc_trim(0)  # what making the input has left behind
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = peak_resident_mib()
    step(PATHS[path], logits, target)
    return peak_resident_mib() - before


def peak_resident_mib() -> float:
    """The most memory that this process has had, Linux."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def machine() -> str:
    """The machine, torch, and which kernels run."""
    kind = "NumPy twins"
    if kernels.COMPILED:
        from pixelwise.kernels import _native

        kind = _native.variants()[-1]
    return f"{describe_machine()}; torch {torch.__version__}; kernels: {kind}"


def bind(threads: int) -> None:
    """On one thread to one core; else to all that there are."""
    cores = range(os.cpu_count() or 1)
    os.sched_setaffinity(0, cores[-1:] if threads == 1 else cores)


def main() -> None:
    """Prints the table, and writes it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({usable_cores(), 1})[::-1])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    about = machine()
    protocol = (
        f"in turns, median of {options.repeats}; on one thread: bound to one core; "
        f"load average of other programs at the start: {os.getloadavg()[0]:.1f}"
    )
    print(f"{about}\n{protocol}\n")
    print(
        f"{'case':44}{'path':15}{'threads':>7}{'median':>12}{'least':>12}{'× plain':>9}"
        f"{'processor':>12}{'× plain':>9}{'peak MiB':>10}{'1/':>6}{'gradient error':>16}"
    )
    rows = []
    for threads in options.threads:
        bind(threads)
        for case in CASES:
            for row in measure(case, threads, options.repeats):
                rows.append(row)
                print(
                    f"{row.case:44}{row.path:15}{row.threads:7}{row.median_ms:9.1f} ms"
                    f"{row.least_ms:9.1f} ms{row.ratio:9.1f}"
                    f"{row.processor_ms:9.1f} ms{row.processor_ratio:9.1f}{row.peak_mib:10.1f}"
                    f"{row.memory_ratio:6.1f}{row.gradient_error:16.1e}",
                    flush=True,
                )
    if options.json:
        content = {
            "machine": about,
            "protocol": protocol,
            "rows": [asdict(row) for row in rows],
        }
        options.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
