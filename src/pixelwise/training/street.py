"""Trains the `street` model that ships with the package: U-Net on MobileNetV2, CamVid.

    python -m pixelwise.training.street --data CAMVID --encoder-weights FILE --output RUN

The run folder holds `log.jsonl`, `checkpoint.safetensors` (a second start goes on from there) and
`best.safetensors`, the averaged weights of the epoch that scored best on val. Order and
augmentation follow from the seed, the epoch and the picture alone, so they do not depend on the
number of workers or on where a run was cut.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler

from pixelwise.classes import ClassTable
from pixelwise.data import Sample
from pixelwise.data import open as open_dataset
from pixelwise.errors import DatasetError, UsageError
from pixelwise.formats.files import make_folder, write_atomic
from pixelwise.losses.dice import dice_loss
from pixelwise.metrics.confusion import ConfusionMatrix, SemanticScores
from pixelwise.models.unet import UNet, UNetConfig
from pixelwise.training.street_augment import Augmentation, augment

__all__ = [
    "CAMVID_IGNORE_INDEX",
    "CLASSES",
    "INPUT_SIZE",
    "NETWORK",
    "Recipe",
    "evaluate",
    "read_camvid",
    "train",
]

CAMVID_IGNORE_INDEX = 11
CLASSES = 11
# Thin things need more pixels than 480×360 gives them: every photo is enlarged by 4/3.
INPUT_SIZE = (480, 640)
NETWORK = UNetConfig(
    classes=CLASSES,
    encoder="mobilenetv2_100",
    # No step to the full size: at stride 2 the scores are a quarter of the work.
    decoder_channels=(128, 96, 64, 48),
    upsampling="bilinear",
    # A 3x3 convolution of stride 2 samples pixels 0, 2, 4, …: at sizes 32k + 1 the corners of all
    # levels lie on each other, and so do those of the scores and the picture.
    alignment="corners",
    dropout=0.1,
)


@dataclass(frozen=True)
class Recipe:
    """Every choice of the training.

    Attributes:
        epochs: passes over the 367 training photos.
        batch: photos per step.
        learning_rate: of the decoder, after the warm-up; falls by a cosine to 0.
        encoder_rate: the encoder's learning rate as a fraction of the decoder's.
        weight_decay: AdamW's, on weights of more than one dimension.
        warmup_steps: steps over which the learning rate rises.
        dice_weight: the loss is cross-entropy + dice_weight · Dice.
        ema_decay: of the averaged weights that are scored and shipped.
        seed: of the initial weights, the order and the augmentation.
        score_every: epochs between two scorings on val; the last tenth is scored every epoch.
    """

    epochs: int = 52
    batch: int = 8
    learning_rate: float = 1e-3
    encoder_rate: float = 0.3
    weight_decay: float = 1e-2
    warmup_steps: int = 100
    dice_weight: float = 1.0
    ema_decay: float = 0.998
    seed: int = 20
    score_every: int = 5


def read_camvid(data: Path, split: str) -> list[Sample]:
    """A split of CamVid in the 480x360 form of the SegNet tutorial, in memory.

    Brostow, Fauqueur, Cipolla, "Semantic object classes in video", PRL 2009.

    Raises:
        DatasetError: the names of the files, or the lists, have faults.
        PixelwiseError: the data set, the split or a file cannot be read.
    """
    dataset = open_dataset(data, classes=ClassTable.builtin("camvid"))
    if dataset.faults:
        raise DatasetError(
            "the data set has faults",
            where=str(data),
            got="\n  ".join(f"{fault.file}: {fault.what}" for fault in dataset.faults[:10]),
            fix="`pixelwise data check` lists them all",
        )
    return list(dataset.split(split))


class _Photos(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    def __init__(self, samples: list[Sample], augmentation: Augmentation, seed: int) -> None:
        self.samples = samples
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, index = key
        sample = self.samples[index]
        image, mask = augment(
            sample.image,
            sample.mask,
            self.augmentation,
            ignore_index=CAMVID_IGNORE_INDEX,
            generator=np.random.default_rng((self.seed, epoch, index)),
        )
        return torch.from_numpy(image.copy()), torch.from_numpy(mask.copy())


class _EpochOrder(Sampler[tuple[int, int]]):
    """(epoch, index) of every photo, in an order that the seed and the epoch give."""

    def __init__(self, count: int, epoch: int, seed: int) -> None:
        self.count = count
        self.epoch = epoch
        self.seed = seed

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count)
        return iter([(self.epoch, int(index)) for index in order])


def normalise(image: torch.Tensor) -> torch.Tensor:
    """uint8 `[B, H, W, 3]` -> float32 `[B, 3, H, W]` in -1..1, the range of the encoder weights."""
    return (image.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(
        memory_format=torch.channels_last
    )


def class_weights(samples: list[Sample]) -> torch.Tensor:
    """Square root of median-frequency weights, float32 `[CLASSES]`.

    Median-frequency balancing is Eigen, Fergus, ICCV 2015, section 4.3.2; its square root raises
    thin and rare classes without giving large ones away.
    """
    counts = np.zeros(256, np.int64)
    for sample in samples:
        counts += np.bincount(sample.mask.ravel(), minlength=256)
    frequency = counts[:CLASSES] / counts[:CLASSES].sum()
    return torch.tensor(np.sqrt(np.median(frequency) / frequency), dtype=torch.float32)


@torch.inference_mode()
def evaluate(network: nn.Module, samples: list[Sample]) -> SemanticScores:
    """CamVid's protocol: original size, one confusion matrix over all photos, void left out.

    The network sees each photo at `INPUT_SIZE`, padded to sides of 32k + 1, as in the model file.
    """
    network.eval()
    matrix = ConfusionMatrix(CLASSES, ignore_index=CAMVID_IGNORE_INDEX)
    height, width = INPUT_SIZE
    bottom, right = ((1 - side) % 32 for side in INPUT_SIZE)
    for sample in samples:
        enlarged = Image.fromarray(sample.image).resize((width, height), Image.Resampling.BILINEAR)
        image = normalise(torch.from_numpy(np.array(enlarged))[None])  # [1, 3, H, W]
        padded = functional.pad(image, (0, right, 0, bottom))  # [1, 3, 32m + 1, 32n + 1]
        logits = functional.interpolate(
            network(padded), size=padded.shape[-2:], mode="bilinear", align_corners=True
        )  # [1, CLASSES, 32m + 1, 32n + 1]
        logits = functional.interpolate(
            logits[..., :height, :width], size=sample.mask.shape, mode="bilinear"
        )  # [1, CLASSES, h, w], the size of the mask
        matrix.update(sample.mask, logits[0].argmax(0).numpy())
    return matrix.scores()


def train(data: Path, encoder_weights: Path, output: Path, recipe: Recipe) -> float:
    """Trains, or goes on where `output` stopped; returns the best val mIoU.

    Raises:
        UsageError: the data is not there, or has fewer photos than one step takes.
        WeightsError: the encoder weights cannot be read or do not fit.
    """
    make_folder(output)
    torch.manual_seed(recipe.seed)
    samples, held_out = read_camvid(data, "train"), read_camvid(data, "val")
    if len(samples) < recipe.batch:
        raise UsageError(
            "there are fewer training photos than one step takes",
            where=str(data),
            got=f"{len(samples)} photos, batch={recipe.batch}",
            fix="give more photos, or a smaller batch",
        )
    network = UNet(NETWORK)
    network.encoder.load_pretrained(encoder_weights)
    network = network.to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(network).eval()
    optimizer = _optimizer(network, recipe)
    weights = class_weights(samples)
    photos = _Photos(samples, Augmentation(), recipe.seed)
    steps = len(samples) // recipe.batch
    state = _State(output)
    first_epoch, best = state.load(network, averaged, optimizer)
    for epoch in range(first_epoch, recipe.epochs):
        started = time.monotonic()
        # Statistics of the encoder's normalisation come from many domains; CamVid alone would
        # narrow them.
        network.train()
        network.encoder.eval()
        losses = []
        loader = DataLoader(
            photos,
            batch_size=recipe.batch,
            sampler=_EpochOrder(len(samples), epoch, recipe.seed),
            num_workers=1,
            drop_last=True,
            generator=torch.Generator().manual_seed(recipe.seed),
        )
        torch.manual_seed(recipe.seed * 100_003 + epoch)
        for step, (image, target) in enumerate(loader, start=epoch * steps):
            _set_learning_rate(optimizer, recipe, step, recipe.epochs * steps)
            loss = _loss(network, image, target.long(), weights, recipe)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            _average(averaged, network, min(recipe.ema_decay, (step + 1) / (step + 10)))
            losses.append(float(loss.detach()))
        entry: dict[str, object] = {"epoch": epoch, "loss": float(np.mean(losses))}
        last_tenth = epoch >= recipe.epochs - max(1, recipe.epochs // 10)
        if last_tenth or (epoch + 1) % recipe.score_every == 0:
            scores = evaluate(averaged, held_out)
            entry |= {"mean_iou": scores.mean_iou, "iou": scores.iou.round(4).tolist()}
            if scores.mean_iou > best:
                best = scores.mean_iou
                _save(averaged.state_dict(), output / "best.safetensors")
        entry["seconds"] = round(time.monotonic() - started, 1)
        state.append(entry)
        state.save(network, averaged, optimizer, epoch + 1, best)
        print(json.dumps(entry), flush=True)
    return best


def _loss(
    network: nn.Module,
    image: torch.Tensor,
    target: torch.Tensor,
    weights: torch.Tensor,
    recipe: Recipe,
) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(normalise(image))  # [B, CLASSES, H/2, W/2]
    logits = functional.interpolate(
        logits.float(), size=target.shape[-2:], mode="bilinear", align_corners=True
    )  # [B, CLASSES, H, W]
    if not (target != CAMVID_IGNORE_INDEX).any():
        # Cross-entropy would be a mean over nothing, which is NaN.
        return logits.sum() * 0
    entropy = functional.cross_entropy(logits, target, weights, ignore_index=CAMVID_IGNORE_INDEX)
    dice = dice_loss(logits, target, ignore_index=CAMVID_IGNORE_INDEX)
    return entropy + recipe.dice_weight * dice


def _optimizer(network: UNet, recipe: Recipe) -> torch.optim.AdamW:
    groups = [
        {
            "params": [
                parameter
                for name, parameter in network.named_parameters()
                if name.startswith("encoder.") == inside_encoder and (parameter.ndim > 1) == decayed
            ],
            "weight_decay": recipe.weight_decay if decayed else 0.0,
            "share": recipe.encoder_rate if inside_encoder else 1.0,
        }
        for inside_encoder in (True, False)
        for decayed in (True, False)
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def _set_learning_rate(
    optimizer: torch.optim.Optimizer, recipe: Recipe, step: int, total: int
) -> None:
    warmup = min(1.0, (step + 1) / recipe.warmup_steps)
    rate = recipe.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * step / total))
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    for kept, new in zip(
        averaged.state_dict().values(), network.state_dict().values(), strict=True
    ):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


class _State:
    """The checkpoint of a run: one file of tensors, swapped in whole, and the log up to it."""

    def __init__(self, folder: Path) -> None:
        self.tensors = folder / "checkpoint.safetensors"
        self.log = folder / "log.jsonl"

    def save(
        self,
        network: nn.Module,
        averaged: nn.Module,
        optimizer: torch.optim.Optimizer,
        next_epoch: int,
        best: float,
    ) -> None:
        tensors = {f"network.{key}": value for key, value in network.state_dict().items()}
        tensors |= {f"averaged.{key}": value for key, value in averaged.state_dict().items()}
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in moments.items()}
        tensors["next_epoch"] = torch.tensor(next_epoch)
        tensors["best"] = torch.tensor(best, dtype=torch.float64)
        _save(tensors, self.tensors)

    def load(
        self, network: nn.Module, averaged: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[int, float]:
        if not self.tensors.is_file():
            self._cut_log(0)
            return 0, 0.0
        tensors = load_file(self.tensors)
        parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "averaged": {}, "optimizer": {}}
        for key, value in tensors.items():
            part, _, rest = key.partition(".")
            if part in parts:
                parts[part][rest] = value
        network.load_state_dict(parts["network"])
        averaged.load_state_dict(parts["averaged"])
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in parts["optimizer"].items():
            index, _, name = key.partition(".")
            moments.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict(
            {"state": moments, "param_groups": optimizer.state_dict()["param_groups"]}
        )
        next_epoch = int(tensors["next_epoch"])
        self._cut_log(next_epoch)
        return next_epoch, float(tensors["best"])

    def append(self, entry: dict[str, object]) -> None:
        """Adds an epoch to the log, before its checkpoint: a kill between the two shows there."""
        with self.log.open("a") as log:
            log.write(json.dumps(entry) + "\n")

    def _cut_log(self, next_epoch: int) -> None:
        """Drops the line of an epoch whose checkpoint was never finished."""
        if self.log.is_file():
            lines = self.log.read_text().splitlines(keepends=True)
            write_atomic(self.log, "".join(lines[:next_epoch]).encode())


def _save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    write_atomic(path, save({key: value.contiguous() for key, value in tensors.items()}))


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description="train the street model that ships")
    parser.add_argument("--data", type=Path, required=True, help="CamVid, 480x360 form")
    parser.add_argument(
        "--encoder-weights", type=Path, required=True, help="safetensors, timm keys"
    )
    parser.add_argument("--output", type=Path, required=True, help="run folder")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    arguments = parser.parse_args()
    recipe = Recipe(epochs=arguments.epochs)
    print(json.dumps(asdict(recipe)), flush=True)
    best = train(arguments.data, arguments.encoder_weights, arguments.output, recipe)
    print(f"best val mIoU {best:.4f}")


if __name__ == "__main__":
    main()
