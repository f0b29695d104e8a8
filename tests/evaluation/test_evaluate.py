from __future__ import annotations

import numpy as np
import pytest

from pixelwise.errors import DatasetError
from pixelwise.evaluation.evaluate import evaluate
from pixelwise.evaluation.measures import Overlap
from pixelwise.metrics.bootstrap import interval


@pytest.fixture
def made(subject_from):
    """Pictures of which each is predicted a little worse than the one before."""

    def make(pictures=6, name="p{}"):
        random = np.random.default_rng(3)
        true, found = {}, {}
        for number in range(pictures):
            ids = random.integers(0, 3, (8, 9)).astype(np.uint8)
            wrong = random.random(ids.shape) < number / 10
            true[name.format(number)] = np.where(random.random(ids.shape) < 0.1, 255, ids)
            found[name.format(number)] = np.where(wrong, (ids + 1) % 3, ids)
        return (
            subject_from(
                {key: ids.astype(np.uint8) for key, ids in true.items()},
                {key: ids.astype(np.uint8) for key, ids in found.items()},
            ),
            true,
            found,
        )

    return make


def test_scores_come_from_the_sums_over_all_pictures(made):
    subject, true, found = made()
    evaluation = evaluate(subject, workers=2)
    truth, labels = (np.concatenate([maps[name] for name in true]) for maps in (true, found))
    counted = truth != 255
    expected = []
    for channel in range(3):
        one, other = (truth == channel) & counted, (labels == channel) & counted
        expected.append((one & other).sum() / (one | other).sum())
    for estimate, value in zip(evaluation.by_class["iou"], expected, strict=True):
        assert estimate.value == pytest.approx(value)
        assert estimate.low < estimate.value < estimate.high
    assert evaluation.overall["mean_iou"].value == pytest.approx(np.mean(expected))
    assert evaluation.ignored == (~counted).sum()
    assert evaluation.confusion.sum() == counted.sum()
    assert set(evaluation.sizes) == {(8, 9)}


def test_threads_change_nothing(made):
    subject, _, _ = made()
    one, other = evaluate(subject), evaluate(subject, workers=3)
    assert one.overall == other.overall
    assert one.names == other.names


def test_the_worst_pictures_come_first(made):
    subject, _, _ = made()
    evaluation = evaluate(subject)
    assert evaluation.by_picture[0] == 1
    order = evaluation.worst(6)
    assert order[0] == 5
    assert order[-1] == 0
    assert list(order) == np.argsort(evaluation.by_picture).tolist()
    assert evaluation.worst(2) == order[:2]


def test_one_picture_has_no_interval(made):
    subject, _, _ = made(1)
    assert evaluate(subject).overall["mean_iou"].low is None


@pytest.fixture
def scenes(subject_from):
    """Pictures that are tiles of so many scenes, three of each; a scene is bad as a whole."""

    def make(count, *, more_classes=()):
        random = np.random.default_rng(1)
        true, found = {}, {}
        for scene in range(count):
            for part in range(3):
                ids = random.integers(0, 3 if scene in more_classes else 2, (6, 6)).astype(np.uint8)
                name = f"scene{'abcdefghijkl'[scene]}_part_{part}"
                true[name] = ids
                wrong = random.random(ids.shape) < scene / 2 / count
                found[name] = np.where(wrong, (ids + 1) % 2, ids).astype(np.uint8)
        return subject_from(true, found)

    return make


def test_tiles_of_a_scene_are_drawn_together(scenes):
    evaluation = evaluate(scenes(12))
    assert evaluation.units.count == 12
    assert evaluation.units.of.tolist() == np.repeat(np.arange(12), 3).tolist()
    assert "tiles" in evaluation.units.kind
    mean = evaluation.overall["mean_iou"]
    alone = interval(evaluation.counts["overlap"], lambda sums: Overlap().values(sums)["mean_iou"])
    # Tiles of a scene are equally bad: to take them for independent would be too sure.
    assert mean.high - mean.low > 1.2 * (alone.high - alone.low)


def test_groups_that_do_not_suffice_are_told(scenes):
    few = evaluate(scenes(4)).units
    assert (few.of, few.count, few.kind) == (None, 12, "pictures")
    assert "of 4 groups only (tiles" in few.note
    lone = evaluate(scenes(12, more_classes=[5])).units
    assert (lone.of, lone.count) == (None, 36)
    assert "a class is in a single one of the 12 groups" in lone.note


def test_faults_are_kept_and_have_no_part(made):
    subject, true, _ = made(3)
    subject.predictions.files[1].write_bytes(b"")
    evaluation = evaluate(subject)
    assert evaluation.names == ("p0", "p2")
    assert evaluation.places == (0, 2)
    assert [fault.file for fault in evaluation.faults] == ["p1"]
    for path in subject.predictions.files:
        path.write_bytes(b"")
    with pytest.raises(DatasetError) as caught:
        evaluate(subject)
    assert all(name in caught.value.got for name in true)


def test_a_measure_of_ones_own_stands_beside(made):
    class Pixels(Overlap):
        pass

    subject, _, _ = made(2)
    evaluation = evaluate(subject, (Overlap(), Pixels(name="again")))
    assert np.array_equal(evaluation.counts["again"], evaluation.counts["overlap"])
