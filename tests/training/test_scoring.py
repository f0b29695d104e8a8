"""Scores during training: those of the definition, at the original size, in any order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from pixelwise.data import open as open_dataset
from pixelwise.errors import DatasetError, OutOfMemoryError
from pixelwise.inference.card import Postprocessing, Preprocessing, Resize
from pixelwise.training.distributed import World
from pixelwise.training.scoring import IGNORED, Protocol, counted, score

ALONE = World(0, 1, 0, torch.device("cpu"), "none")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
SIZES = [(40, 56), (33, 41), (64, 64), (17, 90), (50, 31)]
CLASSES = 3


class Net(nn.Module):
    """Scores at a quarter of the size."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.scores = nn.Conv2d(3, CLASSES, 3, 1, 1)

    def forward(self, image):
        return self.scores(F.avg_pool2d(image, 4))


@pytest.fixture
def data(tmp_path):
    generator = np.random.default_rng(1)
    root = tmp_path / "data"
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for number, size in enumerate(SIZES):
        coarse = generator.integers(0, CLASSES, (6, 6)).astype(np.uint8)
        mask = np.array(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.NEAREST))
        mask[:3] = 255
        image = generator.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    table = "id,name,use\n0,a,class\n1,b,class\n2,c,class\n255,void,ignore\n"
    (root / "classes.csv").write_text(table)
    return root


@pytest.fixture
def protocol(data):
    dataset = open_dataset(str(data))
    return Protocol(
        dataset=dataset,
        own_terms=(),
        lengths=(len(dataset),),
        sides=("val",),
        classes=CLASSES,
        preprocessing=Preprocessing(
            scale=1 / 255, mean=MEAN, std=STD, resize=Resize(rule="none"), multiple=4, remainder=0
        ),
        postprocessing=Postprocessing(alignment="half_pixel"),
        workers=0,
    )


def expected(network, dataset):
    """By PyTorch: padded to the grid, enlarged to the input, cut to the picture, one matrix."""
    matrix = np.zeros((CLASSES, CLASSES), np.int64)
    for sample in dataset:
        height, width = sample.image.shape[:2]
        values = (sample.image / 255 - np.array(MEAN)) / np.array(STD)
        image = torch.from_numpy(values).float().permute(2, 0, 1)[None]
        image = F.pad(image, (0, -width % 4, 0, -height % 4))
        with torch.no_grad():
            logits = network(image)
        logits = F.interpolate(logits, size=image.shape[2:], mode="bilinear", align_corners=False)
        labels = logits[0, :, :height, :width].argmax(0).numpy()
        truth = sample.mask
        for t, p in zip(truth[truth < CLASSES], labels[truth < CLASSES], strict=True):
            matrix[t, p] += 1
    return matrix


def test_scores_are_those_of_the_definition_at_the_original_size(protocol):
    network = Net().eval()
    scored = score(network, protocol, ALONE)
    matrix = expected(network, protocol.dataset)
    # Rounding may turn a tie at the very border of two classes.
    assert np.abs(scored.matrix.counts - matrix).sum() <= 4
    assert scored.matrix.counts.sum() == matrix.sum()
    right, union = np.diag(matrix), matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    assert scored.scores.mean_iou == pytest.approx((right / union).mean(), abs=2e-3)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_neither_order_nor_workers_change_a_count(protocol, workers):
    network = Net().eval()
    first = score(network, protocol, ALONE)
    order = [3, 0, 4, 2, 1]
    turned = replace(protocol, dataset=protocol.dataset.subset(order), workers=workers)
    second = score(network, turned, ALONE)
    assert np.array_equal(first.matrix.counts, second.matrix.counts)
    assert np.array_equal(first.pictures[order], second.pictures)


def test_the_counts_of_the_pictures_add_up_to_the_matrix(protocol):
    scored = score(Net().eval(), protocol, ALONE)
    right, truth, found = scored.pictures.sum(0)
    assert np.array_equal(right, np.diag(scored.matrix.counts))
    assert np.array_equal(truth, scored.matrix.counts.sum(1))
    assert np.array_equal(found, scored.matrix.counts.sum(0))


def test_what_is_ignored_counts_for_nothing(protocol, data):
    before = score(Net().eval(), protocol, ALONE).matrix.counts
    seen = []
    score(Net().eval(), protocol, ALONE, look=seen.append)
    assert [picture.place for picture in seen] == [0, 1, 2, 3, 4]
    for picture, size in zip(seen, SIZES, strict=True):
        assert picture.truth.shape == picture.labels.shape == size
        assert (picture.truth[:3] == IGNORED).all()
    assert before.sum() == sum((height - 3) * width for height, width in SIZES)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32])
def test_only_channels_are_counted(kind):
    mask = np.array([[0, 1, 2, 3, 254, 255]], kind)
    assert counted(mask, 3).tolist() == [[0, 1, 2, IGNORED, IGNORED, IGNORED]]
    assert counted(mask, 3).dtype == np.uint16


def test_one_file_that_cannot_be_read_is_left_out_and_named(protocol, data):
    (data / "images" / "2.png").write_bytes(b"no picture")
    scored = score(Net().eval(), protocol, ALONE)
    assert [fault.file for fault in scored.faults] == ["images/2.png"]
    assert not scored.pictures[2].any()


def test_two_are_an_error_that_names_both(protocol, data):
    for number in (1, 3):
        (data / "masks" / f"{number}.png").write_bytes(b"no mask")
    with pytest.raises(DatasetError, match="too many pictures") as caught:
        score(Net().eval(), protocol, ALONE)
    assert "images/1.png" in caught.value.got
    assert "images/3.png" in caught.value.got


def test_scores_that_are_no_numbers_still_end(protocol):
    network = Net().eval()
    with torch.no_grad():
        network.scores.weight.fill_(float("nan"))
    scored = score(network, protocol, ALONE)
    assert scored.matrix.counts.sum() > 0


def test_a_picture_that_does_not_fit_is_named(protocol):
    class Hungry(Net):
        def forward(self, image):
            if image.shape[2] == 64:
                raise MemoryError
            return super().forward(image)

    with pytest.raises(OutOfMemoryError, match="memory does not suffice") as caught:
        score(Hungry().eval(), protocol, ALONE)
    assert caught.value.where == "images/2.png"
