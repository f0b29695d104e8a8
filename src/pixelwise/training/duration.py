"""How long a training takes on this machine, and how much memory: measured on a few steps."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from pixelwise.errors import EngineError
from pixelwise.models.build import build
from pixelwise.models.network import SegmentationNetwork
from pixelwise.training.depthwise import quicken_depthwise
from pixelwise.training.optimiser import follow_average, make_optimizer
from pixelwise.training.plan import TrainingPlan
from pixelwise.training.setup import trial_loss

__all__ = ["Duration", "grid_of", "measure"]

_PICTURES = 2
_SECONDS = 3.0
_MOST_PASSES = 4
_MOST_SCORED = 1 << 20
_IGNORED = 65_535
_PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Duration:
    """What a training costs.

    Attributes:
        pass_seconds: forward and backward, for each picture of a batch.
        update_seconds: of the weights, for each step.
        score_seconds: forward alone, for each picture that is scored.
        fixed_bytes: weights, gradients, moments and averaged weights.
        picture_bytes: what the backward pass keeps, for each picture of a part of a batch.
        spare_bytes: what is taken for a while beside that, for each picture.
    """

    pass_seconds: float
    update_seconds: float
    score_seconds: float
    fixed_bytes: int
    picture_bytes: int
    spare_bytes: int

    def step_seconds(self, batch: int) -> float:
        """Of a step with so many pictures."""
        return batch * self.pass_seconds + self.update_seconds

    def memory(self, pictures: int) -> int:
        """Bytes for a part of a batch with so many pictures."""
        return self.fixed_bytes + pictures * (self.picture_bytes + self.spare_bytes)


def measure(
    plan: TrainingPlan,
    *,
    classes: int,
    scored_size: tuple[int, int],
    device: str = "cpu",
) -> Duration:
    """Trains for a few passes on noise; some seconds. Nothing of it remains.

    Args:
        plan: complete; its loss, precision, crop and network are those measured.
        classes: how many channels the scores have.
        scored_size: `(H, W)` of a picture to be scored, as it reaches the network.
        device: where.

    Raises:
        UsageError: the plan names what cannot be built.
        EngineError: not even two pictures fit into the memory.
    """
    try:
        with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
            return _Trial(plan, classes, torch.device(device)).run(scored_size)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate" in str(error):
            raise EngineError(
                f"the memory does not suffice for {_PICTURES} pictures of a training step",
                where=f"{plan.architecture} on {plan.encoder}",
                got=f"crop {plan.crop[0]}×{plan.crop[1]}, {classes} classes",
                fix="give a smaller --crop or a smaller --encoder",
            ) from error
        raise


def grid_of(plan: TrainingPlan, *, classes: int) -> tuple[int, int]:
    """Sides of pictures that fit the network: (n, r) for n·k + r.

    Raises:
        UsageError: the plan names what cannot be built.
    """
    with torch.random.fork_rng(devices=[]):
        network = _network(plan, classes)
    return max(network.encoder.strides), 1 if network.alignment == "corners" else 0


def _network(plan: TrainingPlan, classes: int) -> SegmentationNetwork:
    return build(
        plan.architecture,
        classes=classes,
        encoder=plan.encoder,
        in_channels=len(plan.mean),
        **plan.network,
    )


class _Trial:
    """A network that is trained on noise."""

    def __init__(self, plan: TrainingPlan, classes: int, device: torch.device) -> None:
        self._plan = plan
        self._device = device
        self._layout = torch.channels_last if plan.channels_last else torch.contiguous_format
        self._network = _network(plan, classes).to(device).train()
        self._network.to(memory_format=self._layout)
        quicken_depthwise(self._network)
        if plan.freeze_encoder_norm:
            self._network.encoder.eval()
        self._optimizer = make_optimizer(self._network, plan)
        self._loss = trial_loss(plan, classes=classes, ignore_index=_IGNORED)
        self._averaged = copy.deepcopy(self._network).eval()
        # A GPU is not busy with two.
        self._pictures = _PICTURES if device.type == "cpu" else max(_PICTURES, min(8, plan.batch))
        self._target = torch.randint(classes, (self._pictures, *plan.crop), device=device)
        if plan.kind == "multi_label":
            layers = torch.arange(classes, device=device)[:, None, None] == self._target[:, None]
            self._target = layers.to(torch.uint8)

    def run(self, scored_size: tuple[int, int]) -> Duration:
        images = self._noise(self._pictures, self._plan.crop)
        kept = _Kept(self._network)
        with torch.autograd.graph.saved_tensors_hooks(kept.note, lambda tensor: tensor):
            first = self._timed(lambda: self._pass(images))
        passing = self._repeated(lambda: self._pass(images), first)
        updating = self._repeated(self._update, self._timed(self._update))
        self._network.eval()
        shrink = min(1.0, (_MOST_SCORED / (scored_size[0] * scored_size[1])) ** 0.5)
        height, width = (max(1, round(side * shrink)) for side in scored_size)
        image = self._noise(1, (height, width))
        scoring = self._repeated(
            lambda: self._score(image), self._timed(lambda: self._score(image))
        )
        return Duration(
            pass_seconds=passing / self._pictures,
            update_seconds=updating,
            # Time goes with the area, which is shrunk where it would not fit.
            score_seconds=scoring * scored_size[0] * scored_size[1] / (height * width),
            # The weights, their averages, gradients, and two moments of AdamW.
            fixed_bytes=5 * kept.weights,
            picture_bytes=kept.total // self._pictures,
            # The backward pass holds gradients of some maps at a time: of the largest, say twice.
            spare_bytes=2 * kept.largest // self._pictures,
        )

    def _noise(self, pictures: int, size: tuple[int, int]) -> torch.Tensor:
        shape = (pictures, len(self._plan.mean), *size)
        return torch.randn(shape, device=self._device).contiguous(memory_format=self._layout)

    def _autocast(self) -> AbstractContextManager[object]:
        kind = _PRECISIONS[self._plan.precision]
        return nullcontext() if kind is None else torch.autocast(self._device.type, kind)

    def _pass(self, images: torch.Tensor) -> None:
        with self._autocast():
            every = self._network.all_logits(images)
        total = torch.zeros((), device=self._device)
        for logits in every:
            total = total + self._loss(
                logits.float(), self._target, alignment=self._network.alignment
            )
        torch.autograd.backward(total)

    def _update(self) -> None:
        self._optimizer.step()
        follow_average(self._averaged, self._network, self._plan.average_decay, 1)

    @torch.inference_mode()
    def _score(self, image: torch.Tensor) -> None:
        with self._autocast():
            self._network(image)

    def _repeated(self, work: Callable[[], None], first: float) -> float:
        """The shortest time: what else the machine does only adds."""
        times = [self._timed(work) for _ in range(min(_MOST_PASSES, int(_SECONDS / first)))]
        return min(times, default=first)

    def _timed(self, work: Callable[[], None]) -> float:
        begun = time.perf_counter()
        work()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return max(time.perf_counter() - begun, math.ulp(1.0))


class _Kept:
    """Counts what the backward pass keeps: each storage once, however many operations keep it.

    Attributes:
        weights: bytes of the network's own tensors, which are not counted again.
        total: bytes kept beside them.
        largest: of one storage.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        own = [*network.parameters(), *network.buffers()]
        self._seen = {tensor.untyped_storage().data_ptr() for tensor in own}
        self.weights = sum(tensor.numel() * tensor.element_size() for tensor in own)
        self.total = 0
        self.largest = 0

    def note(self, tensor: torch.Tensor) -> torch.Tensor:
        """Called with each tensor that is kept."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.total += storage.nbytes()
            self.largest = max(self.largest, storage.nbytes())
        return tensor
