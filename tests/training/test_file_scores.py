"""Scores of a finished file: by its own protocol, and one broken picture does not undo a run."""

from __future__ import annotations

from dataclasses import replace
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
from pixelwise.training.score_groups import ScoreGroups
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
    return made(tmp_path, 4)


def made(tmp_path, pictures, **choices):
    for kind in ("images", "masks"):
        (tmp_path / "set" / kind).mkdir(parents=True)
    truth = np.zeros((8, 6), np.uint8)
    truth[4:] = 1
    shown = np.repeat(255 * truth[..., None], 3, axis=2)
    truth[4] = 0
    for number in range(pictures):
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
        **{"workers": 0, **choices},
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


def test_threads_and_progress_change_no_number(protocol):
    told = []
    (ahead,) = score_file(Bright(), replace(protocol, workers=3), progress=told.append)
    (alone,) = score_file(Bright(), protocol)
    assert (ahead.scores.mean_iou, ahead.interval) == (alone.scores.mean_iou, alone.interval)
    assert told == [1] * 4


def test_an_interval_goes_by_pictures_where_each_stands_alone(protocol):
    (found,) = score_file(Bright(), protocol)
    assert found.units == "the 4 pictures"


def test_an_interval_goes_by_many_groups_and_few_are_told(tmp_path):
    twice = ScoreGroups("video", tuple(number // 2 for number in range(20)))
    protocol = made(tmp_path, 20, groups=twice)
    break_picture(protocol, 3)
    (many,) = score_file(Bright(), protocol)
    assert many.interval is not None
    assert many.interval.units == 10
    assert many.units == "the 10 films"
    halves = ScoreGroups("video", tuple(number // 10 for number in range(20)))
    (few,) = score_file(Bright(), replace(protocol, groups=halves))
    assert few.interval is not None
    assert few.interval.units == 19
    assert few.units.endswith("they are frames of 2 films: the interval is too narrow")
