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
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from pixelwise.data.faults import Fault
from pixelwise.data.loader import Batch
from pixelwise.errors import PixelwiseError, UsageError
from pixelwise.losses import supervise_all
from pixelwise.models.checkpoint import save_weights
from pixelwise.training.checkpoints import Checkpoints
from pixelwise.training.depthwise import quicken_depthwise
from pixelwise.training.distributed import World, from_first, gather_values, sum_over
from pixelwise.training.events import read_events
from pixelwise.training.log_lines import rounded, score_line
from pixelwise.training.memory import device_name, peak_mib, to_device
from pixelwise.training.observers import Observer
from pixelwise.training.optimiser import (
    follow_average,
    learning_rate,
    make_optimizer,
    set_learning_rate,
)
from pixelwise.training.parallel import clip_gradients, full_state, shard, whole, wrap
from pixelwise.training.picture_counts import PictureCounts, write_picture_counts
from pixelwise.training.provenance import machine_event
from pixelwise.training.run_folder import Log, RunFolder
from pixelwise.training.scoring import Scored, Seen, score
from pixelwise.training.setup import Materials
from pixelwise.training.state import Progress
from pixelwise.training.step_faults import (
    NotFiniteError,
    is_out_of_memory,
    not_finite_again,
    step_error,
    too_many_skipped,
)

__all__ = ["Outcome", "Trainer"]

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
        # The network of the materials is the whole one, in which the best weights are kept.
        network = materials.network if world.size == 1 else copy.deepcopy(materials.network)
        self._network = network.to(self._device).to(memory_format=layout)
        quicken_depthwise(self._network)
        self._averaged = copy.deepcopy(self._network).eval()
        self._autocast = _PRECISIONS[self._plan.precision]
        wrapped = wrap(self._network, world, self._plan.strategy, precision=self._autocast)
        self._wrapped = wrapped.compiled() if self._plan.compile else wrapped
        shard(self._averaged, world, self._plan.strategy)
        self._optimizer = make_optimizer(self._network, self._plan)
        self._sharded = world.size > 1 and self._plan.strategy == "fsdp"
        self._checkpoints = Checkpoints(
            folder.checkpoint,
            world,
            self._network,
            self._averaged,
            self._optimizer,
            sharded=self._sharded,
        )
        self._progress = Progress(
            accumulate=self._plan.accumulate,
            scale=_FIRST_SCALE if self._autocast is torch.float16 else 0.0,
            threads=torch.get_num_threads(),
            plan=materials.fingerprint,
        )
        self._names = tuple(entry.name for entry in materials.protocol.dataset.entries)
        groups = materials.protocol.groups
        self._groups = None if groups is None else groups.of
        self._start_clock()
        self._steps = len(materials.batches)

    def run(self) -> Outcome:
        """Trains to the end.

        Raises:
            DatasetError: too many pictures cannot be read.
            EngineError: the loss is no number again and again, or the memory does not suffice.
            UsageError: the plan or the classes are not those that the run began with.
            OutputError: a file of the run cannot be written; the last checkpoint is whole.
        """
        resumed = self._checkpoints.is_there()
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
            self._timed(machine_event(device_name(self._device), self._world.size))
            if not resumed:
                self._note(self._materials.description(self._steps))
                self._save()
            while not self._progress.ended:
                try:
                    self._epoch()
                except NotFiniteError as fault:
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
                self._note_quarantined(self._materials.batches.quarantined)
                if (progress.epoch, batch.number) in progress.skipped:
                    self._note_skipped(batch)
                else:
                    self._step(batch)
                progress.batch = batch.number + 1
                if self._is_late(saved):
                    self._save()
                    saved = time.monotonic()
        if self._pictures:
            self._time()
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
        images = to_device(batch.images, self._device)  # [B, 3, H, W]
        images = images.contiguous(memory_format=self._layout)
        truth = batch.target
        target = to_device(truth, self._device)
        # Counted on the processor, which would have to wait for a GPU.
        counts = sum_over(self._world, self._materials.loss.counts(torch.from_numpy(truth)))
        rate = learning_rate(plan, progress.step, plan.epochs * self._steps)
        set_learning_rate(self._optimizer, rate)
        loss = self._gradients(images, target, counts)
        norm = self._gradient_norm()
        # A loss that is no number has spoilt the statistics of the normalisations on its way.
        if not math.isfinite(loss) or not (math.isfinite(norm) or self._scale_falls()):
            raise NotFiniteError(progress.epoch, batch)
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
                    "loss": rounded(loss),
                    "learning_rate": rounded(rate),
                    "gradient_norm": rounded(norm),
                }
            )
            self._time()

    def _gradients(self, images: torch.Tensor, target: torch.Tensor, counts: torch.Tensor) -> float:
        """Gradients of the whole batch, in as many parts as memory asks for; gives the loss."""
        buffers = [buffer.clone() for buffer in self._network.buffers()]
        while True:
            size = -(-len(images) // self._progress.accumulate)
            try:
                return self._try_gradients(images, target, counts)
            except PixelwiseError:
                raise
            except (RuntimeError, ValueError, MemoryError) as error:
                smaller = -(-len(images) // (2 * self._progress.accumulate))
                alone = self._world.size == 1
                if not (alone and is_out_of_memory(error) and smaller < size):
                    raise step_error(error, self._progress.accumulate, alone=alone) from error
            self._optimizer.zero_grad(set_to_none=True)
            with torch.no_grad():
                # The part that did fit may have gone through the normalisations.
                for buffer, before in zip(self._network.buffers(), buffers, strict=True):
                    buffer.copy_(before)
            self._progress.accumulate *= 2
            self._note({"event": "smaller batches", "micro_batch": smaller})

    def _try_gradients(
        self, images: torch.Tensor, target: torch.Tensor, counts: torch.Tensor
    ) -> float:
        self._optimizer.zero_grad(set_to_none=True)
        torch.manual_seed(_mixed(self._plan.seed, self._progress.step, self._world.rank))
        size = -(-len(images) // self._progress.accumulate)
        loss = torch.zeros((), dtype=torch.float64, device=self._device)
        parts = list(zip(torch.split(images, size), torch.split(target, size), strict=True))
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
        return supervise_all(
            self._materials.loss,
            logits,
            target,
            weights=(1.0, *(self._plan.auxiliary_weight for _ in logits[1:])),
            alignment=self._network.alignment,
            counts=counts,
        )

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
        with whole(self._averaged):
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
        self._note_quarantined(scored.faults)
        self._note(
            score_line(progress, mean_loss, scored, self._picture_counts(scored), better=better)
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
        network = self._averaged
        if self._sharded:
            network = self._materials.network
            network.load_state_dict(full_state(self._averaged))
        if not self._world.is_first:
            return
        save_weights(network, self._folder.best)
        write_picture_counts(
            self._folder.pictures,
            epoch=self._progress.epoch - 1,
            classes=self._materials.classes,
            names=self._names,
            counts=scored.pictures,
            groups=self._groups,
        )

    def _picture_counts(self, scored: Scored) -> PictureCounts:
        classes = self._materials.classes
        return PictureCounts(
            epoch=self._progress.epoch - 1,
            names=self._names,
            groups=self._groups,
            classes=classes.names,
            colours=tuple(info.colour for info in classes),
            counts=scored.pictures,
        )

    def _roll_back(self, fault: NotFiniteError) -> None:
        """Back to the last checkpoint, and past the batch that led astray.

        The log tells of it where the batch is left out, not here: so it does not depend on when
        the checkpoint was written.
        """
        skipped = [*self._progress.skipped, (fault.epoch, fault.batch.number)]
        if too_many_skipped(skipped, self._steps):
            step, names = self._progress.step + 1, self._names_of(fault.batch)
            raise not_finite_again(self._folder.path, step, names)
        self._load()
        self._log.cut(self._progress.log_length)
        self._progress.skipped = skipped
        self._save()

    def _note_skipped(self, batch: Batch) -> None:
        step, names = self._progress.step + 1, self._names_of(batch)
        why = "the loss or its gradient is no finite number"
        self._note({"event": "rolled back", "step": step, "names": names, "why": why})

    def _names_of(self, batch: Batch) -> list[str]:
        """Of the pictures of all processes."""
        return list(itertools.chain(*gather_values(self._world, list(batch.names))))

    def _note_quarantined(self, faults: Sequence[Fault]) -> None:
        """Tells of every file once, whichever process met it."""
        told = self._progress.quarantined
        new = [[fault.file, fault.what] for fault in faults if fault.file not in told]
        if not int(sum_over(self._world, torch.tensor(len(new)))):
            return
        for file, what in itertools.chain(*gather_values(self._world, new)):
            if file not in told:
                told.append(file)
                self._note({"event": "quarantined", "file": file, "what": what})

    def _to_training(self) -> None:
        self._network.train()
        if self._plan.freeze_encoder_norm:
            for module in self._network.encoder.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def _load(self) -> None:
        self._progress = self._checkpoints.load()
        if self._progress.plan != self._materials.fingerprint:
            raise UsageError(
                "the plan of the run, or the classes of its data, were changed since it began",
                where=str(self._folder.plan),
                fix="undo that, or begin a new run: pixelwise train --plan FILE --finetune RUN",
            )
        torch.set_num_threads(self._progress.threads)

    def _save(self) -> None:
        self._progress.log_length = self._log.sync()
        self._checkpoints.save(self._progress)

    def _is_late(self, saved: float) -> bool:
        """Whether a checkpoint is due; for shards all processes write it, and must agree."""
        late = time.monotonic() - saved >= self._plan.checkpoint_seconds
        return bool(from_first(self._world, late)) if self._sharded else late

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
            "memory_mib": peak_mib(self._device),
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


def _mixed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0] >> 1)
