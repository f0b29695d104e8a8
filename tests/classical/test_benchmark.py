from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelwise.classical.benchmark import Compared, benchmark, compared, settings_for
from pixelwise.classical.methods import METHODS
from pixelwise.data import open as open_dataset
from pixelwise.errors import DatasetError, UsageError
from pixelwise.evaluation.evaluate import evaluate
from pixelwise.evaluation.matching import match_classes
from pixelwise.evaluation.opening import set_truth
from pixelwise.evaluation.predictions import Subject
from pixelwise.evaluation.sources import LabelMaps


def make_set(folder, *, dark=()):
    """Pictures of a square, brighter than its ground or darker, and their masks."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(6):
        mask = np.zeros((40, 50), np.uint8)
        mask[5 : 15 + number, 10:30] = 1
        noise = np.random.default_rng(number).integers(0, 20, (40, 50), np.uint8)
        grey = np.where(mask == (number not in dark), 200, 60).astype(np.uint8) + noise
        Image.fromarray(grey).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    return set_truth(open_dataset(folder), None)


def scored(truth, *names, **options):
    match = match_classes(truth.classes, truth.classes)
    return benchmark(truth, match, [METHODS[name] for name in names], **options)


def test_a_method_that_is_right_scores_one(tmp_path):
    truth = make_set(tmp_path / "set")
    found = scored(truth, "otsu", "kmeans", workers=2)
    assert len(found.names) == 6
    for score in found.scores:
        assert score.by_set.mean_iou.value == 1
        assert score.by_picture.mean_iou.value == 1
        assert score.failed == 0
    assert found.scores[0].regions == ("background", "foreground")
    assert found.scores[1].regions == ("region 1", "region 2")
    assert found.scores[1].settings == {"clusters": 2, "seed": 0}


def test_one_assignment_for_all_pictures_is_no_better_than_the_picture_allows(tmp_path):
    found = scored(make_set(tmp_path / "set", dark=(0, 1)), "otsu")
    (score,) = found.scores
    assert score.by_picture.mean_iou.value == 1
    assert score.by_set.mean_iou.value < 0.7
    # One confusion matrix over all pictures, worked out by hand from the squares.
    areas = np.array([20 * (10 + number) for number in range(6)])
    right, wrong = areas[2:].sum(), areas[:2].sum()
    ground_wrong = 2 * 2000 - wrong
    expected = right / (right + wrong + ground_wrong)
    assert score.by_set.iou[1].value == pytest.approx(expected)
    assert score.by_set.mean_iou.low < score.by_set.mean_iou.value < score.by_set.mean_iou.high


def test_the_scores_are_those_of_evaluate(tmp_path):
    truth = make_set(tmp_path / "set", dark=(3,))
    (score,) = scored(truth, "otsu").scores
    from pixelwise import classical

    for name in truth.names:
        image = next((tmp_path / "set" / "images").glob(f"{name.rsplit('/', 1)[-1]}.png"))
        (tmp_path / "labels").mkdir(exist_ok=True)
        classical.otsu(image).save(tmp_path / "labels" / image.name)
    files = tuple(sorted((tmp_path / "labels").iterdir()))
    maps = LabelMaps(tmp_path / "labels", files, truth.classes)
    subject = Subject(truth, maps, match_classes(truth.classes, truth.classes))
    evaluation = evaluate(subject)
    assert vars(score.by_set.mean_iou) == vars(evaluation.overall["mean_iou"])
    found = scored(truth, "otsu")
    same = compared(found, found.scores[0], evaluation)
    assert (same.difference, same.low, same.high, same.verdict) == (0, 0, 0, "open")


def test_a_picture_that_a_method_cannot_do_counts_as_missed(tmp_path):
    truth = make_set(tmp_path / "set")
    flat = np.full((40, 50), 90, np.uint8)
    Image.fromarray(flat).save(tmp_path / "set" / "images" / "2.png")
    (score,) = scored(truth, "kmeans").scores
    assert score.failed == 1
    np.testing.assert_array_equal(score.by_set.counts[2, 0], [0, 0])
    assert score.by_set.counts[2, 1].sum() == 2000
    assert 0.7 < score.by_set.mean_iou.value < 1


def test_unreadable_pictures_are_left_out_and_told(tmp_path):
    truth = make_set(tmp_path / "set")
    (tmp_path / "set" / "images" / "4.png").write_bytes(b"no picture")
    found = scored(truth, "otsu")
    assert len(found.names) == 5
    assert [fault.file for fault in found.faults] == [truth.names[4]]
    for number in range(6):
        (tmp_path / "set" / "images" / f"{number}.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="no picture can be judged"):
        scored(truth, "otsu")


def test_a_method_that_needs_a_sequence_is_refused(tmp_path):
    with pytest.raises(UsageError, match="sequence") as caught:
        scored(make_set(tmp_path / "set"), "otsu", "snake", "motion")
    assert caught.value.got == "motion"


def test_methods_that_must_be_shown_something_are_shown_it_from_the_truth(tmp_path):
    found = scored(make_set(tmp_path / "set"), "otsu", "grabcut", "random-walker", "snake")
    assert [score.from_truth for score in found.scores] == [False, True, True, True]
    assert [score.failed for score in found.scores] == [0, 0, 0, 0]
    for score in found.scores[:3]:
        assert score.by_set.mean_iou.value > 0.95
    assert found.scores[2].regions == ("background", "foreground")
    again = scored(make_set(tmp_path / "again"), "snake")
    assert again.scores[0].by_set.mean_iou == found.scores[3].by_set.mean_iou


def test_clusters_are_as_many_as_classes():
    assert settings_for(METHODS["otsu"], 7, 3) == {}
    assert settings_for(METHODS["multi-otsu"], 7, 3) == {"clusters": 5}
    assert settings_for(METHODS["gmm"], 7, 3) == {"clusters": 7, "seed": 3}
    assert settings_for(METHODS["slic"], 1, 0) == {"clusters": 2, "seed": 0}


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.1, 0.3, "model"), (-0.3, -0.1, "method"), (-0.1, 0.1, "open"), (None, None, "open")],
)
def test_a_verdict_needs_an_interval_without_nothing(low, high, verdict):
    assert Compared(0.0, low, high).verdict == verdict
