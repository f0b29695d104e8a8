from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.errors import ArrayError, UsageError
from pixelwise.metrics.confusion import ConfusionMatrix
from pixelwise.training.picture_counts import (
    Interval,
    PictureCounts,
    read_picture_counts,
    write_picture_counts,
)

COLOURS = ((0, 0, 0), (1, 1, 1), (2, 2, 2))


def made(counts, groups=None):
    names = tuple(f"p{number}" for number in range(len(counts)))
    classes = ("a", "b", "c")[: counts.shape[2]]
    return PictureCounts(0, names, groups, classes, COLOURS[: counts.shape[2]], counts)


def of_pictures(seed, pictures=6, classes=3):
    """Counts by the confusion matrices of random pictures, and the matrix of all together."""
    random = np.random.default_rng(seed)
    counts, whole = [], ConfusionMatrix(classes)
    for _ in range(pictures):
        truth, labels = random.integers(0, classes, (2, 30))
        own = ConfusionMatrix(classes)
        own.update(truth, labels)
        whole.merge(own)
        counts.append([np.diag(own.counts), own.counts.sum(1), own.counts.sum(0)])
    return np.array(counts), whole


@given(seed=st.integers(0, 1000), grouped=st.booleans())
def test_a_file_gives_the_same_counts_back(tmp_path_factory, make_table, seed, grouped):
    path = tmp_path_factory.mktemp("counts") / "counts.json"
    counts, _ = of_pictures(seed)
    counts[:, :, seed % 3] = 0
    groups = (0, 0, 1, 1, 2, 5) if grouped else None
    names = ["a", "b\n", 'c"', "d/e", "\udcff", "é"]
    table = make_table(3, 5, 9)
    write_picture_counts(path, epoch=4, classes=table, names=names, counts=counts, groups=groups)
    back = read_picture_counts(path)
    assert (back.epoch, back.names, back.groups, back.classes) == (
        4,
        tuple(names),
        groups,
        table.names,
    )
    assert back.colours == tuple(info.colour for info in table)
    assert (back.counts == counts).all()
    first = path.read_bytes()
    write_picture_counts(path, epoch=4, classes=table, names=names, counts=counts, groups=groups)
    assert path.read_bytes() == first


def test_scores_of_pictures_are_those_of_their_confusion_matrices():
    random = np.random.default_rng(1)
    truth, labels = random.integers(0, 3, (2, 50))
    matrix = ConfusionMatrix(3)
    matrix.update(truth, labels)
    counts = np.array([[np.diag(matrix.counts), matrix.counts.sum(1), matrix.counts.sum(0)]])
    assert made(counts).by_picture[0] == pytest.approx(matrix.compute().mean_iou)


def test_the_worst_come_first_and_what_is_not_counted_not_at_all():
    counts = np.zeros((4, 3, 1), np.int64)
    counts[0] = [[9], [10], [10]]
    counts[2] = [[1], [10], [10]]
    counts[3] = [[1], [10], [10]]
    assert made(counts).worst(9) == (2, 3, 0)
    assert made(counts).worst(1) == (2,)
    assert np.isnan(made(counts).by_picture[1])


def test_the_interval_holds_the_score_and_is_always_the_same():
    counts, whole = of_pictures(3, pictures=60)
    interval = made(counts).interval()
    assert interval.low < whole.compute().mean_iou < interval.high
    assert interval.units == 60
    assert made(counts).interval() == interval


def test_the_interval_is_the_spread_of_a_binary_share():
    # One class, pictures all right or all wrong: the mean is a binomial share.
    counts = np.zeros((400, 3, 1), np.int64)
    counts[:, 1:] = 1
    counts[:200, 0] = 1
    counts[200:, 2] = 0
    interval = made(counts).interval()
    half = 1.96 * np.sqrt(0.25 / 400)
    assert interval.low == pytest.approx(0.5 - half, abs=0.005)
    assert interval.high == pytest.approx(0.5 + half, abs=0.005)


def test_groups_are_drawn_whole():
    counts, _ = of_pictures(3, pictures=40)
    twice = np.concatenate([counts, counts])
    alone = made(counts).interval()
    grouped = made(twice, groups=tuple(range(40)) * 2).interval()
    assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high))
    assert grouped.units == 40
    blind = made(twice).interval()
    assert blind.high - blind.low < alone.high - alone.low


@pytest.mark.parametrize("pictures", [0, 1])
def test_no_interval_from_fewer_than_two(pictures):
    counts, _ = of_pictures(3, pictures=1)
    assert made(counts[:pictures].reshape(pictures, 3, 3)).interval() is None
    same_group = np.concatenate([counts, counts])
    assert made(same_group, groups=(7, 7)).interval() is None


def test_pictures_without_a_counted_pixel_are_no_units():
    counts, _ = of_pictures(3)
    more = np.concatenate([counts, np.zeros_like(counts)])
    assert made(more).interval() == made(counts).interval()
    assert isinstance(made(more).interval(), Interval)


def test_parts_that_do_not_fit_are_refused(tmp_path, make_table):
    path = tmp_path / "counts.json"
    counts, _ = of_pictures(1, pictures=2)
    for names, groups in ((["a"], None), (["a", "b"], [1])):
        with pytest.raises(ArrayError, match="a name and a group"):
            write_picture_counts(
                path,
                epoch=0,
                classes=make_table(0, 1, 2),
                names=names,
                counts=counts,
                groups=groups,
            )
    assert not path.exists()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '{"epoch":0,"classes":["a"],"colours":[[0,0,0]],"groups":null,"names":["p"],"counts":[]}',
        '{"epoch":0,"classes":["a"],"colours":[],"groups":null,"names":["p"],"counts":[[]]}',
        '{"epoch":0,"classes":["a"],"colours":[[0,0,0]],"groups":[1,2],"names":["p"],'
        '"counts":[[]]}',
        '{"epoch":0,"classes":["a"],"colours":[[0,0,0]],"groups":null,"names":["p"],'
        '"counts":[[[1,0,0,0]]]}',
    ],
)
def test_what_are_no_counts_is_refused(tmp_path, text):
    path = tmp_path / "counts.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="counts of the validation pictures"):
        read_picture_counts(path)


def test_no_file_no_counts(tmp_path):
    assert read_picture_counts(tmp_path / "counts.json") is None
