"""How fast a model's network runs here: by engine, number of threads and size of the batch."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelwise.inference.card import Preprocessing
from pixelwise.inference.engines import Engine, make_engine, usable_cores
from pixelwise.inference.model_file import ModelFile
from pixelwise.inference.preprocess import plan_input

__all__ = ["Row", "Setting", "measure", "picture_size", "processor", "settings_of"]

_USUAL = (480, 640)
_BATCHES = (1, 4)
_LEAST_RUNS, _MOST_RUNS = 3, 200
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


@dataclass(frozen=True)
class Setting:
    """What is measured: a model in an engine, with so many threads, on so many pictures at once."""

    file: ModelFile
    engine: str
    threads: int
    batch: int


@dataclass(frozen=True)
class Row:
    """What was measured.

    Attributes:
        model: path or name of the model.
        engine: that was asked for.
        runs_in: library, device and precision that it computes in.
        threads, batch: of each run.
        median, p95: milliseconds that a run takes; 19 of 20 take no longer than the latter.
        throughput: pictures in a second, by the median.
        runs: that were measured.
    """

    model: str
    engine: str
    runs_in: str
    threads: int
    batch: int
    median: float
    p95: float
    throughput: float
    runs: int


def picture_size(size: tuple[int, int] | None, card: Preprocessing) -> tuple[int, int]:
    """`(H, W)` of the picture to measure with: the card's own, or 480 × 640."""
    if size is not None:
        return size
    return card.resize.size if card.resize.size is not None else _USUAL


def settings_of(
    file: ModelFile,
    *,
    engines: Sequence[str],
    threads: Sequence[int] = (),
    batches: Sequence[int] = (),
) -> tuple[Setting, ...]:
    """What is to be measured of a model.

    Args:
        file: the model.
        engines: that can be had.
        threads: of a run; none: powers of two up to all cores.
        batches: pictures of a run; none: one and four. A model that takes one at a time gets one.
    """
    cores = usable_cores()
    powers = {min(2**power, cores) for power in range(cores.bit_length() + 1)}
    counts = sorted(set(threads) or powers)
    sizes = [1] if file.one_by_one else sorted(set(batches) or _BATCHES)
    return tuple(
        Setting(file, engine, count, batch)
        for engine in engines
        for count in counts
        for batch in sizes
    )


def measure(
    settings: Sequence[Setting],
    *,
    size: tuple[int, int] | None = None,
    seconds: float = 2.0,
    progress: Callable[[int], object] | None = None,
) -> tuple[Row, ...]:
    """Runs the network of each setting, in turn, warm, for some seconds each.

    In turn: what else the machine does then troubles all of them alike.

    Args:
        settings: what is measured.
        size: `(H, W)` of the picture; None for the usual.
        seconds: that each setting may take; three runs at least.
        progress: called with 1 for every setting that is done.

    Raises:
        MissingExtraError: an engine is not installed.
        EngineError: a network cannot be run.
    """
    engines = [
        make_engine(each.file, engine=each.engine, threads=each.threads) for each in settings
    ]
    inputs = [_input(each, size) for each in settings]
    times: list[list[float]] = [[] for _ in settings]
    for engine, batch in zip(engines, inputs, strict=True):
        engine.run(batch)
    waiting = list(range(len(settings)))
    while waiting:
        for place in waiting:
            times[place].append(_timed(engines[place], inputs[place]))
        left = [place for place in waiting if _goes_on(times[place], seconds)]
        if progress is not None and len(left) < len(waiting):
            progress(len(waiting) - len(left))
        waiting = left
    return tuple(
        _row(setting, engine.description, own)
        for setting, engine, own in zip(settings, engines, times, strict=True)
    )


def _input(setting: Setting, size: tuple[int, int] | None) -> NDArray[np.float32]:
    rule = setting.file.card.preprocessing
    padded = plan_input(picture_size(size, rule), rule).padded
    generator = np.random.default_rng(0)
    return generator.uniform(-1, 1, (setting.batch, 3, *padded)).astype(np.float32)


def _timed(engine: Engine, batch: NDArray[np.float32]) -> float:
    begin = time.perf_counter()
    engine.run(batch)
    return time.perf_counter() - begin


def _goes_on(times: Sequence[float], seconds: float) -> bool:
    if len(times) < _LEAST_RUNS:
        return True
    return sum(times) < seconds and len(times) < _MOST_RUNS


def _row(setting: Setting, runs_in: str, times: Sequence[float]) -> Row:
    median, p95 = (float(value) for value in np.quantile(times, (0.5, 0.95)))
    return Row(
        model=setting.file.path.name,
        engine=setting.engine,
        runs_in=runs_in,
        threads=setting.threads,
        batch=setting.batch,
        median=1000 * median,
        p95=1000 * p95,
        throughput=setting.batch / median,
        runs=len(times),
    )


def processor() -> str:
    """The processor, with what it can that matters to networks."""
    model, flags = platform.processor() or platform.machine(), []
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        lines = facts.read_text("utf-8", "replace").splitlines()
        named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        present = next((line.split() for line in lines if line.startswith("flags")), [])
        model = named[0] if named else model
        flags = [flag for flag in _FLAGS if flag in present]
    return f"{model} ({', '.join(flags)})" if flags else model
