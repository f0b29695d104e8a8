"""Trainings that are killed again and again, against one that is not.

    python -m benchmarks.training_soak [--kills N] [--saves N] [--workers N …] [--export]
        [--json FILE]

A tiny network learns from tiny pictures. Runs are killed by SIGKILL at random moments, a part of
them inside a save: between the making of the temporary file of a checkpoint, of weights or of a
model and its taking of the name. Each is taken up by `--resume` until it has ended, and the next
one begins. SHA-256 of the log, of the best weights, of the tensors of the checkpoint and, with
--export, of the model are compared with those of the run that was left alone. Each run is a
process of its own, forked from one that has loaded PyTorch, which would take most of the time
otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open

from benchmarks.machine import describe_machine
from pixelwise.errors import PixelwiseError
from pixelwise.training import run

SIDE = 64
LONGEST_RUN = 600.0
DONE, FAILED, CRASHED = 0, 2, 70

Watch = Callable[[str, tuple[object, ...]], object]


@dataclass(frozen=True)
class Soak:
    """What came of it."""

    runs: int
    kills: int
    kills_in_saves: int
    different: int  # runs whose files are others than those of the run that was left alone
    failed: int  # processes that ended with an error
    seconds: float
    machine: str


def make_data(folder: Path, *, train: int = 8, validation: int = 3) -> Path:
    """Writes pictures of noise with a lighter square each, and their masks."""
    generator = np.random.default_rng(3)
    for part, count in (("train", train), ("val", validation)):
        for kind in ("images", "masks"):
            (folder / kind / part).mkdir(parents=True)
        for number in range(count):
            mask = np.zeros((SIDE + number, SIDE), np.uint8)
            row, column = generator.integers(4, SIDE - 24, 2)
            mask[row : row + 20, column : column + 20] = 1
            noise = generator.integers(0, 100, (*mask.shape, 3))
            image = (noise + 120 * mask[..., None]).astype(np.uint8)
            mask[:2] = 255
            Image.fromarray(image).save(folder / "images" / part / f"{number}.png")
            Image.fromarray(mask).save(folder / "masks" / part / f"{number}.png")
    table = "id,name,use\n0,outside,class\n1,square,class\n255,void,ignore\n"
    (folder / "classes.csv").write_text(table, encoding="utf-8")
    return folder


def tiny_plan(data: Path, **choices: object) -> dict[str, object]:
    """Choices of a training of some seconds."""
    return {
        "data": [{"path": str(data)}],
        "architecture": "unet",
        "encoder": "test_efficientnet",
        "encoder_weights": None,
        "network": {"decoder_channels": [8, 8, 8, 8], "upsampling": "bilinear", "dropout": 0.1},
        "resize": "none",
        "crop": [SIDE, SIDE],
        "augmentation": "medium",
        "epochs": 3,
        "batch": 2,
        "learning_rate": 1e-3,
        "precision": "float32",
        "log_every": 1,
        "checkpoint_seconds": 0.02,
        "workers": 2,
        "seed": 1,
        **choices,
    }


def work(folder: Path, choices: Mapping[str, object], *, export: bool = True) -> int:
    """Begins a training, or goes on with it; gives an exit code.

    Args:
        folder: of the run.
        choices: of its plan.
        export: whether it ends with a model and a report, which takes longer than the training.
    """
    if not export:
        run.finish = lambda *_, **__: None
    try:
        if (folder / "plan.yaml").is_file():
            run.resume(folder)
        else:
            run.train(choices, folder)
    except PixelwiseError as error:
        sys.stderr.write(f"error: {error}\n")
        return FAILED
    return DONE


def start(task: Callable[[], int], output: Path, watch: Watch | None = None) -> int:
    """Forks a process for a task; gives its id. What it prints goes to a file."""
    process = os.fork()
    if process:
        return process
    code = CRASHED
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        if watch is not None:
            sys.addaudithook(watch)
        code = task()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def end(process: int) -> int:
    """Waits until a process has ended; gives its exit code, negative for a signal."""
    until = time.monotonic() + LONGEST_RUN
    while time.monotonic() < until:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    raise SystemExit(f"a training did not end within {LONGEST_RUN:.0f} s")


def fingerprint(folder: Path) -> dict[str, str]:
    """SHA-256 of all that must not depend on how often a run was cut."""
    files = ("log.jsonl", "best.safetensors", "val_counts.json", "splits.json", "model.onnx")
    prints = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in files
        if (folder / name).is_file()
    }
    digest = hashlib.sha256()
    with safe_open(folder / "checkpoint.safetensors", framework="np") as file:
        for key in sorted(file.keys()):
            tensor = file.get_tensor(key)
            digest.update(f"{key} {tensor.dtype} {tensor.shape}".encode() + tensor.tobytes())
    return {**prints, "checkpoint tensors": digest.hexdigest()}


class InSaves:
    """Tells through a pipe when a temporary file is opened, or is about to take its name."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in ("open", "os.rename") and ".pixelwise-" in str(arguments[0]):
            with contextlib.suppress(OSError):  # nobody listens any more
                os.write(self._pipe, b".")


def kill_at_random(process: int, generator: random.Random, longest: float) -> None:
    """Kills a process after a random time."""
    time.sleep(generator.uniform(0.02, longest))
    os.kill(process, signal.SIGKILL)


def kill_in_save(process: int, pipe: int, generator: random.Random, most: int) -> None:
    """Kills a process within or right after one of its saves, unless it ends before."""
    for _ in range(generator.randint(1, most)):
        ready, _, _ = select.select([pipe], [], [], LONGEST_RUN)
        if not ready or not os.read(pipe, 1):
            return
    time.sleep(generator.choice([0.0, generator.uniform(0, 0.002)]))
    os.kill(process, signal.SIGKILL)


@dataclass(frozen=True)
class _Whole:
    """The run that was left alone: what it made, its seconds, its file operations in saves."""

    prints: Mapping[str, str]
    seconds: float
    operations: int


def _left_alone(base: Path, *, export: bool) -> _Whole:
    folder = base / "whole"
    choices = tiny_plan(base / "data")
    began = time.monotonic()
    pipe, told = os.pipe()
    process = start(lambda: work(folder, choices, export=export), base / "out", InSaves(told))
    os.close(told)
    operations = 0
    while content := os.read(pipe, 4096):
        operations += len(content)
    os.close(pipe)
    if end(process) != DONE:
        raise SystemExit((base / "out").read_text(errors="replace"))
    return _Whole(fingerprint(folder), time.monotonic() - began, operations)


def soak(kills: int, saves: int, workers: list[int], seed: int, *, export: bool) -> Soak:
    """Kills trainings, and compares what they made.

    Args:
        kills: how many in all.
        saves: how many of them inside a save.
        workers: threads that read pictures, of one run after the other.
        seed: of the moments.
        export: whether the runs end with a model.
    """
    generator = random.Random(seed)
    began = time.monotonic()
    in_saves = [True] * saves + [False] * (kills - saves)
    generator.shuffle(in_saves)
    runs = different = failed = 0
    done = {True: 0, False: 0}
    with tempfile.TemporaryDirectory() as made:
        base = Path(made)
        make_data(base / "data")
        whole = _left_alone(base, export=export)
        while in_saves:
            folder = base / f"run {runs}"
            choices = tiny_plan(base / "data", workers=workers[runs % len(workers)])
            task = partial(work, folder, choices, export=export)
            code = -signal.SIGKILL
            while code == -signal.SIGKILL:
                code = _one(task, base / "out", in_saves, generator, whole)
                if code == -signal.SIGKILL:
                    done[in_saves.pop()] += 1
            failed += code != DONE
            different += code == DONE and fingerprint(folder) != whole.prints
            runs += 1
            shutil.rmtree(folder)
        if failed:
            sys.stderr.write((base / "out").read_text(errors="replace")[-5000:])
    return Soak(
        runs=runs,
        kills=sum(done.values()),
        kills_in_saves=done[True],
        different=different,
        failed=failed,
        seconds=round(time.monotonic() - began, 1),
        machine=describe_machine(),
    )


def _one(
    task: Callable[[], int],
    output: Path,
    in_saves: Sequence[bool],
    generator: random.Random,
    whole: _Whole,
) -> int:
    """A process of a run, killed by the last of the kinds while there are some; its exit code."""
    pipe, told = os.pipe()
    process = start(task, output, InSaves(told))
    os.close(told)
    if in_saves and in_saves[-1]:
        kill_in_save(process, pipe, generator, max(1, whole.operations // 3))
    elif in_saves:
        kill_at_random(process, generator, whole.seconds / 2)
    os.close(pipe)
    return end(process)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--saves", type=int, default=100)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2, 4])
    parser.add_argument("--export", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    answer = soak(
        options.kills,
        min(options.saves, options.kills),
        options.workers,
        options.seed,
        export=options.export,
    )
    line = json.dumps(asdict(answer))
    print(line)
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    sys.exit(bool(answer.different or answer.failed))


if __name__ == "__main__":
    main()
