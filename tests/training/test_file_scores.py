"""Scores of a finished file: by its own protocol, and one broken picture does not undo a run."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

import pixelwise as pw
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.errors import DatasetError
from pixelwise.inference.card import Postprocessing, Preprocessing, Resize
from pixelwise.training.file_scores import score_file
from pixelwise.training.merging import training_data
from pixelwise.training.scoring import Protocol

TABLE = ClassTable(
    "pair", (ClassInfo(0, "a", (0, 0, 0)), ClassInfo(1, "b", (255, 0, 0))), 255, "a test"
)


class Bright:
    """Says 1 where a picture is bright."""

    classes = TABLE

    def predict(self, image):
        return SimpleNamespace(labels=(image[..., 0] > 127).astype(np.uint8))


@pytest.fixture
def protocol(tmp_path):
    """Four pictures whose bright half is `b`; in each of them one row more is said to be `a`."""
    for kind in ("images", "masks"):
        (tmp_path / "set" / kind).mkdir(parents=True)
    truth = np.zeros((8, 6), np.uint8)
    truth[4:] = 1
    shown = np.repeat(255 * truth[..., None], 3, axis=2)
    truth[4] = 0
    for number in range(4):
        Image.fromarray(shown).save(tmp_path / "set" / "images" / f"{number}.png")
        Image.fromarray(truth).save(tmp_path / "set" / "masks" / f"{number}.png")
    data = training_data([pw.data.open(tmp_path / "set", classes=TABLE)])
    return Protocol(
        dataset=data.dataset,
        own_terms=data.own_terms,
        lengths=data.lengths,
        sides=("kept back",),
        classes=2,
        preprocessing=Preprocessing(
            scale=1 / 255, mean=(0, 0, 0), std=(1, 1, 1), resize=Resize(rule="none")
        ),
        postprocessing=Postprocessing(alignment="half_pixel"),
        workers=0,
    )


def break_picture(protocol, number):
    path = protocol.dataset.root / protocol.dataset.entries[number].image
    path.write_bytes(path.read_bytes()[:50])


def test_one_matrix_over_all_pictures(protocol):
    (found,) = score_file(Bright(), protocol)
    # Of each picture: 24 of 30 pixels of a are found, and 18 of 24 that are called b are b.
    assert found.scores.mean_iou == pytest.approx((24 / 30 + 18 / 24) / 2)
    assert found.protocol.startswith("set kept back, 4 pictures, 2 classes")


def test_a_picture_that_broke_in_the_run_is_left_out(protocol):
    break_picture(protocol, 2)
    (found,) = score_file(Bright(), protocol)
    assert found.scores.mean_iou == pytest.approx((24 / 30 + 18 / 24) / 2)
    assert found.protocol.startswith("set kept back, 3 pictures")


def test_more_broken_pictures_are_an_error(protocol):
    break_picture(protocol, 1)
    break_picture(protocol, 2)
    with pytest.raises(DatasetError, match="cannot be scored"):
        score_file(Bright(), protocol)
