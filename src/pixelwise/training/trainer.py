"""The training loop.

A run goes from checkpoint to checkpoint. Everything that happens between two of them follows from
the first, the plan and the number of the step: the order of the pictures, their augmentation and
what dropout leaves out are drawn anew from the seed for every step. So a run that was killed
anywhere goes on to the same bits.
"""

from __future__ import annotations

import copy
import itertools
import math
import resource
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from pixelwise.data.loader import Batch
from pixelwise.errors import EngineError
from pixelwise.models.checkpoint import save_weights
from pixelwise.training.distributed import World, sum_over
from pixelwise.training.events import read_events
from pixelwise.training.observers import Observer
from pixelwise.training.optimiser import (
    follow_average,
    learning_rate,
    make_optimizer,
    set_learning_rate,
)
from pixelwise.training.parallel import clip_gradients, shard, wrap
from pixelwise.training.picture_counts import PictureCounts, write_picture_counts
from pixelwise.training.provenance import machine_event
from pixelwise.training.run_folder import Log, RunFolder
from pixelwise.training.scoring import Scored, Seen, score
from pixelwise.training.setup import Materials
from pixelwise.training.state import Progress, load_state, save_state

__all__ = ["Outcome", "Trainer"]

_CHECKPOINT_SECONDS = 60.0
_MOST_ROLL_BACKS = 3
_WORST_SHOWN = 12
_PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
_FIRST_SCALE = 2.0**14
_LEAST_SCALE = 1.0
_SCALE_GROWS_AFTER = 500


class Outcome(NamedTuple):
    """How a run ended.

    Attributes:
        best: the best mean IoU on the validation pictures.
        best_epoch: the epoch it was reached in, from 0.
        why: "done", or "early stop".
    """

    best: float
    best_epoch: int
    why: str


class _NotFiniteError(Exception):
    """A step whose gradient is no number; caught in the loop."""

    def __init__(self, epoch: int, batch: Batch) -> None:
        super().__init__()
        self.epoch = epoch
        self.batch = batch


class Trainer:
    """A run, from its checkpoint on.

    Args:
        materials: what is trained, and on what.
        folder: where it is kept.
        world: the processes that work on it.
        observer: told of everything, in the first process.
        look: called with each picture of a scoring.
    """

    def __init__(
        self,
        materials: Materials,
        folder: RunFolder,
        world: World,
        *,
        observer: Observer | None = None,
        look: Callable[[Seen], object] | None = None,
    ) -> None:
        self._materials = materials
        self._plan = materials.plan
        self._folder = folder
        self._world = world
        self._observer = observer
        self._look = look
        self._device = torch.device(world.device)
        layout = torch.channels_last if self._plan.channels_last else torch.contiguous_format
        self._layout = layout
        self._network = materials.network.to(self._device, memory_format=layout)
        self._averaged = copy.deepcopy(self._network).eval()
        self._autocast = _PRECISIONS[self._plan.precision]
        self._wrapped = wrap(self._network, world, self._plan.strategy, precision=self._autocast)
        shard(self._averaged, world, self._plan.strategy)
        self._optimizer = make_optimizer(self._network, self._plan)
        if self._plan.compile:
            self._network.compile()
        self._progress = Progress(
            accumulate=self._plan.accumulate,
            scale=_FIRST_SCALE if self._autocast is torch.float16 else 0.0,
            threads=torch.get_num_threads(),
        )
        self._names = tuple(entry.name for entry in materials.protocol.dataset.entries)
        self._roll_backs = 0
        self._clock = time.monotonic()
        self._pictures = 0
        self._steps = len(materials.batches)

    def run(self) -> Outcome:
        """Trains to the end.

        Raises:
            DatasetError: too many pictures cannot be read.
            EngineError: the loss is no number again and again, or the memory does not suffice.
            OutputError: a file of the run cannot be written; the last checkpoint is whole.
        """
        resumed = self._folder.checkpoint.is_file()
        if resumed:
            self._load()
        with (
            (
                Log(self._folder.log, self._progress.log_length)
                if self._world.is_first
                else _Nothing()
            ) as self._log,
            Log(self._folder.timing, None) if self._world.is_first else _Nothing() as self._timing,
        ):
            if self._world.is_first and self._observer is not None:
                self._observer.begin(tuple(read_events(self._folder.log)))
            self._timed(machine_event(_name(self._device), self._world.size))
            if not resumed:
                self._note(self._materials.description(self._steps))
                self._save()
            while not self._progress.ended:
                try:
                    self._epoch()
                except _NotFiniteError as fault:
                    self._roll_back(fault)
        return Outcome(self._progress.best, self._progress.best_epoch, self._progress.ended)

    def _epoch(self) -> None:
        """The rest of the epoch under way, its scoring, and a checkpoint."""
        progress = self._progress
        self._to_training()
        self._start_clock()
        saved = time.monotonic()
        batches = self._materials.batches.epoch(progress.epoch, start=progress.batch)
        with closing(batches):
            for batch in batches:
                if (progress.epoch, batch.number) not in progress.skipped:
                    self._step(batch)
                progress.batch = batch.number + 1
                if time.monotonic() - saved > _CHECKPOINT_SECONDS:
                    self._save()
                    saved = time.monotonic()
        progress.epoch += 1
        progress.batch = 0
        if self._is_scored(progress.epoch):
            self._score()
        progress.loss_sum, progress.loss_steps = 0.0, 0
        if not progress.ended and progress.epoch == self._plan.epochs:
            progress.ended = "done"
        if progress.ended:
            self._note({"event": "stopped", "epoch": progress.epoch, "why": progress.ended})
        self._save()

    def _step(self, batch: Batch) -> None:
        progress, plan = self._progress, self._plan
        target = torch.from_numpy(batch.masks).to(self._device)
        images = torch.from_numpy(batch.images).to(self._device)  # [B, 3, H, W]
        images = images.contiguous(memory_format=self._layout)
        counts = sum_over(self._world, self._materials.loss.counts(target))
        rate = learning_rate(plan, progress.step, plan.epochs * self._steps)
        set_learning_rate(self._optimizer, rate)
        loss = self._gradients(images, target, counts)
        norm = self._gradient_norm()
        if not math.isfinite(norm) and not self._scale_falls():
            raise _NotFiniteError(progress.epoch, batch)
        if math.isfinite(norm):
            self._optimizer.step()
            self._scale_grows()
            follow_average(self._averaged, self._network, plan.average_decay, progress.step)
        progress.step += 1
        self._pictures += len(batch) * self._world.size
        progress.loss_sum += loss
        progress.loss_steps += 1
        if progress.step % plan.log_every == 0:
            self._note(
                {
                    "event": "step",
                    "epoch": progress.epoch,
                    "step": progress.step,
                    "loss": _rounded(loss),
                    "learning_rate": _rounded(rate),
                    "gradient_norm": _rounded(norm),
                }
            )
            self._time()

    def _gradients(self, images: torch.Tensor, target: torch.Tensor, counts: torch.Tensor) -> float:
        """Gradients of the whole batch, in as many parts as memory asks for; gives the loss."""
        while True:
            try:
                return self._try_gradients(images, target, counts)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                smaller = -(-len(images) // (2 * self._progress.accumulate))
                if not _is_out_of_memory(error):
                    raise
                if self._world.size > 1 or self._progress.accumulate >= len(images):
                    raise _memory_error(self._progress.accumulate) from error
            self._optimizer.zero_grad(set_to_none=True)
            self._progress.accumulate *= 2
            self._note({"event": "smaller batches", "micro_batch": smaller})

    def _try_gradients(
        self, images: torch.Tensor, target: torch.Tensor, counts: torch.Tensor
    ) -> float:
        self._optimizer.zero_grad(set_to_none=True)
        torch.manual_seed(_mixed(self._plan.seed, self._progress.step, self._world.rank))
        size = -(-len(images) // self._progress.accumulate)
        loss = torch.zeros((), dtype=torch.float64, device=self._device)
        parts = list(zip(images.split(size), target.split(size), strict=True))
        for number, (image, truth) in enumerate(parts, start=1):
            last = number == len(parts)
            with self._wrapped.part(last=last):
                part = self._loss(image, truth, counts)
                # The processes' gradients are averaged, and the loss is a sum over them.
                scaled = part * self._world.size * (self._progress.scale or 1.0)
                torch.autograd.backward(scaled)
            loss += part.detach()
        return float(sum_over(self._world, loss))

    def _loss(
        self, image: torch.Tensor, target: torch.Tensor, counts: torch.Tensor
    ) -> torch.Tensor:
        with torch.autocast(self._device.type, self._autocast, enabled=self._autocast is not None):
            logits = self._wrapped(image)
        weights = (1.0, *(self._plan.auxiliary_weight for _ in logits[1:]))
        alignment = self._network.alignment
        total = torch.zeros((), device=self._device)
        for scores, weight in zip(logits, weights, strict=True):
            loss = self._materials.loss(scores, target, alignment=alignment, counts=counts)
            total = total + weight * loss
        return total

    def _gradient_norm(self) -> float:
        gradients = [
            parameter.grad for parameter in self._network.parameters() if parameter.grad is not None
        ]
        if self._progress.scale:
            torch._foreach_mul_(gradients, 1.0 / self._progress.scale)
        limit = self._plan.clip or math.inf
        return clip_gradients(self._network, limit)

    def _scale_falls(self) -> bool:
        """Whether the gradient may have left float16's range, and is tried smaller from now on."""
        if self._progress.scale <= _LEAST_SCALE:
            return False
        self._progress.scale /= 2
        return True

    def _scale_grows(self) -> None:
        if self._progress.scale and self._progress.step % _SCALE_GROWS_AFTER == 0:
            self._progress.scale *= 2

    def _is_scored(self, epoch: int) -> bool:
        last_tenth = epoch > self._plan.epochs - max(1, self._plan.epochs // 10)
        return last_tenth or epoch % self._plan.score_every == 0

    def _score(self) -> None:
        progress = self._progress
        started = time.monotonic()
        scored = score(
            self._averaged,
            self._materials.protocol,
            self._world,
            autocast=self._autocast,
            look=self._look,
            progress=self._scoring(),
        )
        mean_iou = scored.scores.mean_iou
        # Without any counted pixel there is no score, and the latest weights are the best.
        better = not mean_iou <= progress.best
        if better:
            progress.best = -1.0 if math.isnan(mean_iou) else mean_iou
            progress.best_epoch = progress.epoch - 1
            progress.without_better = 0
            self._save_best(scored)
        else:
            progress.without_better += 1
            if 0 < self._plan.early_stop <= progress.without_better:
                progress.ended = "early stop"
        mean_loss = progress.loss_sum / max(1, progress.loss_steps)
        for fault in scored.faults:
            self._note({"event": "quarantined", "file": fault.file, "what": fault.what})
        self._note(
            _score_event(progress, mean_loss, scored, self._picture_counts(scored), better=better)
        )
        seconds = round(time.monotonic() - started, 3)
        self._timed({"event": "score", "step": progress.step, "seconds": seconds})

    def _scoring(self) -> Callable[[int], object]:
        """Tells how far a scoring is; by the pictures of the first process."""
        total = len(self._materials.protocol.dataset)
        done = itertools.count(1)

        def progress(_: int) -> None:
            pictures = min(total, next(done) * self._world.size)
            self._tell({"event": "scoring", "done": pictures, "total": total})

        return progress

    def _save_best(self, scored: Scored) -> None:
        if not self._world.is_first:
            return
        save_weights(self._averaged, self._folder.best)
        write_picture_counts(
            self._folder.pictures,
            epoch=self._progress.epoch - 1,
            classes=self._materials.classes,
            names=self._names,
            counts=scored.pictures,
        )

    def _picture_counts(self, scored: Scored) -> PictureCounts:
        classes = self._materials.classes
        return PictureCounts(
            epoch=self._progress.epoch - 1,
            names=self._names,
            groups=None,
            classes=classes.names,
            colours=tuple(info.colour for info in classes),
            counts=scored.pictures,
        )

    def _roll_back(self, fault: _NotFiniteError) -> None:
        """Back to the last checkpoint, and past the batch that led astray."""
        names = list(fault.batch.names)
        step = self._progress.step + 1
        self._roll_backs += 1
        if self._roll_backs > _MOST_ROLL_BACKS:
            raise EngineError(
                "the loss is no number again and again; the last good state is kept",
                where=str(self._folder.path),
                got=f"step {step}, pictures {', '.join(names)}",
                fix="try a tenth of the learning rate, or precision float32; `pixelwise data "
                "check` looks for pictures that are not what they seem",
            )
        self._load()
        if self._world.is_first:
            self._log.cut(self._progress.log_length)
        self._progress.skipped.append((fault.epoch, fault.batch.number))
        why = "the gradient is no finite number"
        self._note({"event": "rolled back", "step": step, "names": names, "why": why})
        self._save()

    def _to_training(self) -> None:
        self._network.train()
        if self._plan.freeze_encoder_norm:
            for module in self._network.encoder.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def _load(self) -> None:
        self._progress = load_state(
            self._folder.checkpoint, self._network, self._averaged, self._optimizer
        )
        torch.set_num_threads(self._progress.threads)

    def _save(self) -> None:
        if self._world.is_first:
            self._progress.log_length = self._log.sync()
            save_state(
                self._folder.checkpoint,
                self._progress,
                self._network,
                self._averaged,
                self._optimizer,
            )

    def _note(self, event: Mapping[str, object]) -> None:
        self._log.write(event)
        self._tell(event)

    def _time(self) -> None:
        seconds = time.monotonic() - self._clock
        event = {
            "event": "step",
            "step": self._progress.step,
            "seconds": round(seconds, 3),
            "images_per_second": round(self._pictures / max(seconds, 1e-9), 1),
            "memory_mib": _peak_mib(self._device),
        }
        self._timed(event)
        self._start_clock()

    def _start_clock(self) -> None:
        self._clock = time.monotonic()
        self._pictures = 0

    def _timed(self, event: Mapping[str, object]) -> None:
        self._timing.write(event)
        self._tell(event)

    def _tell(self, event: Mapping[str, object]) -> None:
        if self._world.is_first and self._observer is not None:
            self._observer.on_event(event)


class _Nothing:
    """The log of a process that writes none."""

    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def write(self, event: Mapping[str, object]) -> None:
        pass

    def sync(self) -> int:
        return 0

    def cut(self, length: int) -> None:
        pass


def _score_event(
    progress: Progress, mean_loss: float, scored: Scored, pictures: PictureCounts, *, better: bool
) -> dict[str, Any]:
    scores = scored.scores
    by_picture = pictures.by_picture
    return {
        "event": "score",
        "epoch": progress.epoch - 1,
        "step": progress.step,
        "loss_train": _rounded(mean_loss),
        "mean_iou": _rounded(scores.mean_iou),
        "pixel_accuracy": _rounded(scores.pixel_accuracy),
        "iou": [_rounded(value) for value in scores.iou.tolist()],
        "dice": [_rounded(value) for value in scores.dice.tolist()],
        "best": better,
        "images": [
            {"name": pictures.names[place], "mean_iou": _rounded(float(by_picture[place]))}
            for place in pictures.worst(_WORST_SHOWN)
        ],
    }


def _rounded(value: float) -> float | None:
    """To seven significant digits; JSON has no word for what is no number."""
    return float(f"{value:.7g}") if math.isfinite(value) else None


def _mixed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0] >> 1)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return "DefaultCPUAllocator" in str(error) and "memory" in str(error)


def _memory_error(accumulate: int) -> EngineError:
    return EngineError(
        "the memory does not suffice for a training step",
        got=f"a batch in {accumulate} parts",
        fix=f"give --accumulate {2 * accumulate}, a smaller --crop or a smaller --encoder",
    )


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _peak_mib(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device) // 2**20)
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
