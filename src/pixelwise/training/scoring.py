"""Scores of a network during training: by the protocol, through the same steps as prediction.

Every picture is brought to the network as the model's card will say, and scored at its original
size; one confusion matrix is filled over all pictures, or of classes that lie over each other the
counts of each at a probability of 0.5 are added up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pixelwise import kernels
from pixelwise.data import Dataset
from pixelwise.data.dataset import Entry
from pixelwise.data.faults import Fault
from pixelwise.data.parallel import in_order
from pixelwise.data.targets import MaskTarget, MultiLabelTarget
from pixelwise.errors import DatasetError, OutOfMemoryError, PixelwiseError
from pixelwise.geometry import Geometry
from pixelwise.inference.card import Postprocessing, Preprocessing
from pixelwise.inference.preprocess import InputPlan, plan_input, prepare, score_geometry
from pixelwise.metrics.confusion import ConfusionMatrix, SemanticScores
from pixelwise.training.distributed import World, gather_values, sum_over
from pixelwise.training.merging import OwnTerms
from pixelwise.training.multi_label import (
    decoded_layers,
    layer_counts,
    layer_scores,
    layer_values,
)
from pixelwise.training.score_groups import ScoreGroups
from pixelwise.training.step_faults import lack_of_memory_told

__all__ = ["IGNORED", "Protocol", "Scored", "Seen", "check_faults", "counted", "score", "values_of"]

IGNORED = 65_535
_QUARANTINED_SHARE = 0.001
_AHEAD = 2


@dataclass(frozen=True)
class Protocol:
    """What is scored, and how pictures reach the network.

    Attributes:
        dataset: the pictures; an id of their masks is a channel, or not counted.
        own_terms: how each data set scores in its own classes.
        lengths: pictures of each data set; they stand one set after the other.
        sides: what the part of each data set is called: "val", or "kept back".
        classes: how many channels there are.
        preprocessing, postprocessing: of the card that the model will have.
        workers: threads that read.
        groups: which pictures belong together; None where each stands alone.
    """

    dataset: Dataset
    own_terms: tuple[OwnTerms, ...]
    lengths: tuple[int, ...]
    sides: tuple[str, ...]
    classes: int
    preprocessing: Preprocessing
    postprocessing: Postprocessing
    workers: int
    groups: ScoreGroups | None = None

    @property
    def is_multi_label(self) -> bool:
        """Whether pixels have any number of classes."""
        return self.postprocessing.activation == "sigmoid"


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture that was scored.

    Attributes:
        place: in the data set.
        name: of the picture.
        image: uint8 `[H, W, 3]`.
        truth: channels `[H, W]`, or 65535 where nothing counts; of several classes per pixel
            uint8 `[C, H, W]`: 1 with the class, 0 without it, 255 where nothing counts.
        labels: channels `[H, W]`; of several classes per pixel bool `[C, H, W]`.
    """

    place: int
    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.unsignedinteger]
    labels: NDArray[np.integer] | NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scored:
    """What came of it.

    Attributes:
        matrix: of all pictures; None where pixels have several classes.
        pictures: int64 `[N, 3, C]`: pixels of each picture that are of the class and found, of the
            class, and found.
        faults: pictures that could not be read.
    """

    matrix: ConfusionMatrix | None
    pictures: NDArray[np.int64]
    faults: tuple[Fault, ...]

    @property
    def scores(self) -> SemanticScores:
        """Of the whole data set."""
        if self.matrix is None:
            return layer_scores(self.pictures.sum(axis=0))
        return self.matrix.compute()


@dataclass(frozen=True, eq=False)
class _Prepared:
    place: int
    image: NDArray[np.uint8]
    truth: NDArray[np.unsignedinteger]
    plan: InputPlan
    values: NDArray[np.float32]


def score(
    network: nn.Module,
    protocol: Protocol,
    world: World,
    *,
    autocast: torch.dtype | None = None,
    look: Callable[[Seen], object] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Scored:
    """Scores a network on every picture once, over all processes together.

    Args:
        network: in evaluation mode; gives logits `[B, C, h, w]`.
        protocol: the pictures, and how they are treated.
        world: the processes that share the work.
        autocast: precision of the network's sums; None for float32.
        look: called with every picture that this process has scored.
        progress: called with 1 for every picture.

    Raises:
        DatasetError: more than 0.1 % of the pictures, and more than one, cannot be read.
        OutOfMemoryError: a picture needs more memory than there is.
    """
    count = len(protocol.dataset)
    several = protocol.is_multi_label
    matrix = None if several else ConfusionMatrix(protocol.classes, ignore_index=IGNORED)
    pictures = np.zeros((count, 3, protocol.classes), np.int64)
    faults: list[Fault] = []
    places = range(world.rank, count, world.size)
    reading = in_order(
        lambda place: _prepared(protocol, place),
        places,
        workers=protocol.workers,
        ahead=_AHEAD * max(1, protocol.workers),
    )
    with closing(reading), torch.inference_mode():
        for place, answer in zip(places, reading, strict=True):
            if isinstance(answer, Fault):
                faults.append(answer)
                continue
            labels: NDArray[np.integer] | NDArray[np.bool_]
            with lack_of_memory_told(protocol.dataset.entries[place].image):
                scores, geometry = _logits(network, protocol, answer, world, autocast)
                if matrix is None:
                    labels = decoded_layers(scores, geometry)
                    pictures[place] = layer_counts(answer.truth, labels)
                else:
                    labels = kernels.decode_labels(scores, geometry.rows, geometry.columns)
                    own = ConfusionMatrix(protocol.classes, ignore_index=IGNORED)
                    own.update(answer.truth, labels)
                    matrix.merge(own)
                    pictures[place] = own.class_counts
            if look is not None:
                name = protocol.dataset.entries[place].name
                look(Seen(place, name, answer.image, answer.truth, labels))
            if progress is not None:
                progress(1)
    if matrix is not None:
        matrix.counts[:] = sum_over(world, torch.from_numpy(matrix.counts)).numpy()
    pictures = sum_over(world, torch.from_numpy(pictures)).numpy()
    told = gather_values(world, [asdict(fault) for fault in faults])
    faults = [Fault(**fault) for part in told for fault in part]
    check_faults(faults, protocol.dataset)
    return Scored(matrix, pictures, tuple(faults))


def counted(mask: NDArray[np.integer], classes: int) -> NDArray[np.uint16]:
    """The mask with every value that is no channel as `IGNORED`, uint16."""
    return np.where(mask < classes, mask.astype(np.uint16), np.uint16(IGNORED))


def values_of(target: MaskTarget, protocol: Protocol, name: str) -> NDArray[np.unsignedinteger]:
    """The truth as it is scored: see `Seen.truth`.

    Raises:
        DatasetError: it is of another kind than the training.
    """
    if isinstance(target, MultiLabelTarget) != protocol.is_multi_label:
        raise DatasetError(
            "a truth of several classes per pixel and one of one class cannot be scored together",
            where=str(protocol.dataset.root),
            got=f"{name}: {type(target).__name__}",
            fix="begin a new run, which finds out what the data holds",
        )
    if isinstance(target, MultiLabelTarget):
        return layer_values(target)
    return counted(target.mask, protocol.classes)


def _prepared(protocol: Protocol, place: int) -> _Prepared | Fault:
    dataset = protocol.dataset
    entry: Entry = dataset.entries[place]
    try:
        with lack_of_memory_told(entry.image):
            image = dataset.read_image(entry)
            target = dataset.read_target(entry, (image.shape[0], image.shape[1]))
    except OutOfMemoryError:
        raise
    except PixelwiseError as error:
        return Fault.from_error(error, entry.image)
    truth = values_of(target, protocol, entry.name)
    plan = plan_input((image.shape[0], image.shape[1]), protocol.preprocessing)
    with lack_of_memory_told(entry.image):
        values = prepare(image, plan, protocol.preprocessing, threads=1)
    return _Prepared(place, image, truth, plan, values)


def _logits(
    network: nn.Module,
    protocol: Protocol,
    picture: _Prepared,
    world: World,
    autocast: torch.dtype | None,
) -> tuple[NDArray[np.float32], Geometry]:
    device = torch.device(world.device)
    values = torch.from_numpy(picture.values)[None].to(device)  # [1, 3, H, W]
    values = values.contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, autocast, enabled=autocast is not None):
        logits = network(values)[0]  # [C, h, w]
    scores = np.ascontiguousarray(logits.float().cpu().numpy())
    return scores, score_geometry(
        picture.plan, (scores.shape[1], scores.shape[2]), protocol.postprocessing
    )


def check_faults(faults: Sequence[Fault], dataset: Dataset) -> None:
    """Lets 0.1 % of the pictures, or one, be left out of a score.

    Raises:
        DatasetError: there are more.
    """
    if len(faults) > max(1, int(_QUARANTINED_SHARE * len(dataset))):
        raise DatasetError(
            "too many pictures cannot be scored",
            where=str(dataset.root),
            got="; ".join(f"{fault.file}: {fault.what}" for fault in faults),
            fix="`pixelwise data check` lists what is wrong with each",
        )
