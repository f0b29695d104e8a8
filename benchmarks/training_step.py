"""Steps of training on a CPU, beside the same network trained as its own library shows it.

    python -m benchmarks.training_step [--data FOLDER] [--only NAME] [--repeats N] [--threads N]
        [--json FILE]

Same network, batch and crop, batch 4, the same first weights:

- SegFormer-B0, 150 classes, 512×512, against transformers' `SegformerForSemanticSegmentation`,
  which is given the labels and makes its own loss;
- U-Net on MobileNetV2, 11 classes, 384×480, against segmentation_models_pytorch's `Unet` and
  PyTorch's cross-entropy, which is quicker than that library's.

The peer runs in a plain loop of forward, backward and AdamW, in float32 and under autocast to
bfloat16. pixelwise takes the step of its trainer: bfloat16, channels_last, the loss fused with the
enlargement, gradient clipping, AdamW and averaged weights. A step is measured on a batch that lies
ready; then on CamVid from its files, where every turn reads and augments its batch too, by
pixelwise's loader or by PyTorch's with albumentations, by the chain of `benchmarks.augment_peers`.

Each side is a process of its own that waits while the others work, so that each has its allocator
as it would be: the peers glibc's own settings, pixelwise those of `pixelwise train`. One row has
pixelwise without, so that their share can be seen. The sides take turns; ratios are medians over
neighbouring turns. With one thread the time is that of the processor, user and system together,
which others on the machine disturb little; with more it is the clock's.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import pixelwise.data
from benchmarks.augment_peers import IGNORED, albumentations
from benchmarks.loading import CHAIN
from benchmarks.machine import describe_machine
from pixelwise.data.augment import Augmentation
from pixelwise.data.dataset import Dataset
from pixelwise.data.loader import Batches
from pixelwise.losses import parse_loss
from pixelwise.models.build import ARCHITECTURES, build
from pixelwise.models.checkpoint import load_tensors
from pixelwise.models.network import SegmentationNetwork
from pixelwise.training.allocator import keep_freed_memory
from pixelwise.training.depthwise import quicken_depthwise
from pixelwise.training.optimiser import follow_average, make_optimizer
from pixelwise.training.parallel import clip_gradients
from pixelwise.training.plan import make_plan

BATCH = 4
PLAN = make_plan({"data": [{"path": "."}]}, where="the benchmark")

Loss = Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]
Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Case:
    """A network in both forms.

    Attributes:
        name: of the network and its crop.
        library: the peer.
        architecture, encoder: pixelwise's names.
        classes: channels of the scores.
        crop: `(H, W)`.
        peer: makes the peer's module.
        loss: the peer's.
    """

    name: str
    library: str
    architecture: str
    encoder: str
    classes: int
    crop: tuple[int, int]
    peer: Callable[[int], nn.Module]
    loss: Loss


def _segformer(classes: int) -> nn.Module:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    peer: nn.Module = SegformerForSemanticSegmentation(SegformerConfig(num_labels=classes))
    return peer


def _unet(classes: int) -> nn.Module:
    import segmentation_models_pytorch

    peer: nn.Module = segmentation_models_pytorch.Unet(
        "tu-mobilenetv2_100", encoder_weights=None, classes=classes
    )
    return peer


def _labelled(peer: nn.Module, images: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    loss: torch.Tensor = peer(pixel_values=images, labels=target).loss
    return loss


def _cross_entropy(peer: nn.Module, images: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(peer(images), target, ignore_index=IGNORED)


CASES = {
    "segformer": Case(
        "SegFormer-B0, 150 classes, 512×512",
        "transformers",
        "segformer",
        "mit_b0",
        150,
        (512, 512),
        _segformer,
        _labelled,
    ),
    "unet": Case(
        "U-Net MobileNetV2, 11 classes, 384×480",
        "segmentation_models_pytorch",
        "unet",
        "mobilenetv2_100",
        11,
        (384, 480),
        _unet,
        _cross_entropy,
    ),
}

OURS, OURS_PLAIN = "pixelwise", "pixelwise, glibc's own allocator settings"
PEER, PEER_BFLOAT16 = "{}, float32", "{}, bfloat16"
SIDES = (OURS, OURS_PLAIN, PEER, PEER_BFLOAT16)


@dataclass(frozen=True)
class Row:
    """One side of one case.

    Attributes:
        case, what, side: what was measured.
        median_ms, least_ms: of a turn, a batch of four.
        images_per_second: by the median.
        page_faults: of the median turn.
        peak_mib: the largest resident size of its process.
        times_slower: than pixelwise; the median over neighbouring turns.
    """

    case: str
    what: str
    side: str
    median_ms: float
    least_ms: float
    images_per_second: float
    page_faults: int
    peak_mib: float
    times_slower: float


def make_pair(case: Case) -> tuple[SegmentationNetwork, nn.Module]:
    """Both forms with the same weights."""
    torch.manual_seed(0)
    peer = case.peer(case.classes)
    network = build(
        case.architecture, classes=case.classes, encoder=case.encoder, source=case.library
    )
    convert = ARCHITECTURES[case.architecture].sources[case.library].convert
    load_tensors(network, convert(peer.state_dict()), where=case.name)
    return network, peer


def our_step(case: Case, network: SegmentationNetwork) -> Callable[[Pair], float]:
    """What `pixelwise.training.trainer` does with a batch."""
    network = network.to(memory_format=torch.channels_last).train()
    quicken_depthwise(network)
    averaged = copy.deepcopy(network).eval()
    optimizer = make_optimizer(network, PLAN)
    loss_of = parse_loss("cross-entropy", classes=case.classes, ignore_index=IGNORED)
    steps = itertools.count()

    def step(batch: Pair) -> float:
        images, target = batch
        images = images.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            (logits,) = network.all_logits(images)
        loss = loss_of(logits, target, alignment=network.alignment, counts=loss_of.counts(target))
        torch.autograd.backward(loss)
        clip_gradients(network, 5.0)
        optimizer.step()
        follow_average(averaged, network, PLAN.average_decay, next(steps))
        return float(loss.detach())

    return step


def peer_step(case: Case, peer: nn.Module, *, bfloat16: bool) -> Callable[[Pair], float]:
    """A plain loop's step."""
    peer = peer.train()
    optimizer = torch.optim.AdamW(peer.parameters(), lr=PLAN.learning_rate)

    def step(batch: Pair) -> float:
        images, target = batch
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = case.loss(peer, images, target)
        torch.autograd.backward(loss)
        optimizer.step()
        return float(loss.detach())

    return step


def ready_batches(case: Case, kind: torch.dtype) -> Iterator[Pair]:
    """One batch for ever: noise, and labels in squares of 16."""
    generator = np.random.default_rng(0)
    height, width = case.crop
    images = generator.standard_normal((BATCH, 3, height, width), np.float32)
    ids = generator.integers(0, case.classes, (BATCH, height // 16, width // 16))
    target = torch.from_numpy(ids.repeat(16, axis=1).repeat(16, axis=2)).to(kind)
    return itertools.repeat((torch.from_numpy(images), target))


def our_batches(case: Case, dataset: Dataset) -> Iterator[Pair]:
    """CamVid by pixelwise's loader, in the thread that trains."""
    chain = Augmentation(CHAIN.pieces, size=case.crop)
    batches = Batches(dataset, chain, BATCH, workers=0)
    for epoch in itertools.count():
        for batch in batches.epoch(epoch):
            target = torch.from_numpy(batch.masks)
            void = target == dataset.classes.ignore_index
            yield torch.from_numpy(batch.images), target.masked_fill_(void, IGNORED)


class _Files(torch.utils.data.Dataset[Pair]):
    """CamVid as a PyTorch data set is usually written: OpenCV and albumentations."""

    def __init__(self, case: Case, dataset: Dataset) -> None:
        self._files = [
            (dataset.root / one.image, dataset.root / one.truth) for one in dataset.entries
        ]
        self._chain = albumentations(case.crop)
        self._void = dataset.classes.ignore_index

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, place: int) -> Pair:
        import cv2

        image, mask = self._files[place]
        photo = cv2.cvtColor(cv2.imread(str(image)), cv2.COLOR_BGR2RGB)
        sample = self._chain(photo, cv2.imread(str(mask), cv2.IMREAD_UNCHANGED))
        target = sample["mask"].long()
        return sample["image"], target.masked_fill_(target == self._void, IGNORED)


def peer_batches(case: Case, dataset: Dataset) -> Iterator[Pair]:
    """CamVid by PyTorch's loader, in the process that trains."""
    loader = torch.utils.data.DataLoader(
        _Files(case, dataset), batch_size=BATCH, shuffle=True, drop_last=True
    )
    return itertools.chain.from_iterable(loader for _ in itertools.count())


def turns_of(case: Case, side: str, data: Path | None) -> Callable[[], float]:
    """A function that takes the next batch through a step."""
    network, peer = make_pair(case)
    own = side in (OURS, OURS_PLAIN)
    step = our_step(case, network) if own else peer_step(case, peer, bfloat16=side == PEER_BFLOAT16)
    if data is None:
        batches = ready_batches(case, torch.uint8 if own else torch.int64)
    else:
        dataset = pixelwise.data.open(data / "camvid").split("train")
        batches = (our_batches if own else peer_batches)(case, dataset)
    return lambda: step(next(batches))


def work(name: str, side: str, data: Path | None, threads: int, pipe: Connection) -> None:
    """In a child: takes a turn whenever it is asked to, and tells seconds and page faults."""
    import cv2

    cv2.setNumThreads(0)
    torch.set_num_threads(threads)
    if side == OURS and not keep_freed_memory():
        raise SystemExit("the allocator cannot be set here")
    clock = time.process_time if threads == 1 else time.perf_counter
    turn = turns_of(CASES[name], side, data)
    while pipe.recv():
        before, start = resource.getrusage(resource.RUSAGE_SELF), clock()
        turn()
        seconds, after = clock() - start, resource.getrusage(resource.RUSAGE_SELF)
        pipe.send((seconds, after.ru_minflt - before.ru_minflt, after.ru_maxrss / 1024))


def in_turns(
    name: str, data: Path | None, threads: int, repeats: int
) -> dict[str, list[tuple[float, int, float]]]:
    """Seconds, page faults and MiB of every turn of every side; the first two warm up."""
    context = get_context("spawn")
    pipes, workers = {}, []
    for side in SIDES:
        pipes[side], other = context.Pipe()
        workers.append(context.Process(target=work, args=(name, side, data, threads, other)))
        workers[-1].start()
        other.close()
    measured: dict[str, list[tuple[float, int, float]]] = {side: [] for side in SIDES}
    for number in range(repeats + 2):
        for side in SIDES if number % 2 else reversed(SIDES):
            pipes[side].send(True)
            answer = pipes[side].recv()
            if number > 1:
                measured[side].append(answer)
    for side, worker in zip(SIDES, workers, strict=True):
        pipes[side].send(False)
        worker.join()
    return measured


def rows_of(
    case: Case, what: str, measured: dict[str, list[tuple[float, int, float]]]
) -> list[Row]:
    """Medians and ratios."""
    rows = []
    for side, turns in measured.items():
        seconds = [each for each, _, _ in turns]
        pairs = zip(seconds, measured[OURS], strict=True)
        median = statistics.median(seconds)
        rows.append(
            Row(
                case=case.name,
                what=what,
                side=side.format(case.library),
                median_ms=1e3 * median,
                least_ms=1e3 * min(seconds),
                images_per_second=BATCH / median,
                page_faults=int(statistics.median(faults for _, faults, _ in turns)),
                peak_mib=max(peak for _, _, peak in turns),
                times_slower=statistics.median(each / ours for each, (ours, _, _) in pairs),
            )
        )
    return rows


def check(case: Case) -> float:
    """How far apart the losses of both forms are, in float32 and without dropout.

    Raises:
        RuntimeError: further than rounding explains.
    """
    network, peer = make_pair(case)
    images, target = next(ready_batches(case, torch.int64))
    images, target = images[:1], target[:1]
    loss_of = parse_loss("cross-entropy", classes=case.classes, ignore_index=IGNORED)
    with torch.inference_mode():
        theirs = float(case.loss(peer.eval(), images, target))
        (logits,) = network.eval().all_logits(images)
        own = float(loss_of(logits, target, alignment=network.alignment))
    difference = abs(own - theirs) / theirs
    if difference > 1e-4:
        raise RuntimeError(f"{case.name}: the losses differ: {own} and {theirs}")
    return difference


def show(rows: Sequence[Row]) -> None:
    """Prints a table."""
    print(f"\n{rows[0].case}: {rows[0].what}")
    for row in rows:
        print(
            f"  {row.side:46}{row.median_ms:8.0f} ms{row.least_ms:8.0f} ms least"
            f"{row.images_per_second:7.2f} images/s{row.page_faults:9} faults"
            f"{row.peak_mib:7.0f} MiB{row.times_slower:7.2f}×",
            flush=True,
        )


def main() -> None:
    """Prints the tables, and writes them as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(os.environ.get("PIXELWISE_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=default, help="folder of camvid, …")
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not (options.data / "camvid").is_dir():
        sys.exit(f"no camvid in {options.data}: pass --data")
    torch.set_num_threads(options.threads)
    clock = "processor" if options.threads == 1 else "wall-clock"
    results: dict[str, Any] = {
        "machine": f"{describe_machine()}; torch {torch.__version__}",
        "protocol": f"batch {BATCH}, {options.threads} thread(s), {clock} time, processes in "
        f"turns, median of {options.repeats}",
        "rows": [],
    }
    print(f"{results['machine']}\n{results['protocol']}")
    for name, case in CASES.items():
        if options.only not in (None, name):
            continue
        print(f"\n{case.name}: losses agree to {check(case):.0e}")
        # The labels of CamVid are 11 of the 150; that changes no shape.
        for what, data in (("step", None), ("step with loading, CamVid", options.data)):
            rows = rows_of(case, what, in_turns(name, data, options.threads, options.repeats))
            show(rows)
            results["rows"] += map(asdict, rows)
            if options.json:
                text = json.dumps(results, indent=2, ensure_ascii=False)
                options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
