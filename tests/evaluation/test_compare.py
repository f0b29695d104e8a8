from __future__ import annotations

import numpy as np
import pytest

from pixelwise.errors import ClassTableError, DatasetError, UsageError
from pixelwise.evaluation.border_measures import Borders, Distances
from pixelwise.evaluation.compare import compare
from pixelwise.evaluation.comparison_tables import comparison_data, comparison_rows, picture_rows
from pixelwise.evaluation.evaluate import evaluate
from pixelwise.evaluation.measures import Overlap
from pixelwise.evaluation.spacing import Spacings


@pytest.fixture
def truth():
    random = np.random.default_rng(4)
    return {f"p{number}": random.integers(0, 3, (9, 10)).astype(np.uint8) for number in range(12)}


def spoilt(maps, share, seed):
    random = np.random.default_rng(seed)
    return {
        name: np.where(random.random(ids.shape) < share, (ids + 1) % 3, ids).astype(np.uint8)
        for name, ids in maps.items()
    }


@pytest.fixture
def judged(subject_from, truth, tmp_path):
    """Evaluates predictions; each call writes its own maps, so what is read is read at once."""

    def make(found, *more):
        return evaluate(subject_from(truth, found), (Overlap(), *more))

    return make


def test_the_better_one_is_found(judged, truth):
    a, b = judged(spoilt(truth, 0.4, 1)), judged(spoilt(truth, 0.1, 2))
    found = compare(a, b).overall["mean_iou"]
    assert found.a == a.overall["mean_iou"].value
    assert found.b == b.overall["mean_iou"].value
    assert found.difference == pytest.approx(found.b - found.a)
    assert 0 < found.low < found.difference < found.high
    assert found.better > 0.99
    back = compare(b, a).overall["mean_iou"]
    assert back.difference == pytest.approx(-found.difference)
    assert back.better == pytest.approx(1 - found.better)


def test_equal_ones_are_equal(judged, truth):
    a, b = judged(spoilt(truth, 0.3, 1)), judged(spoilt(truth, 0.3, 1))
    comparison = compare(a, b)
    assert comparison.overall["mean_iou"].difference == 0
    assert comparison.overall["mean_iou"].better == 0.5
    assert comparison.most_different(5) == ()


def test_a_shorter_distance_is_better(judged, truth):
    a, b = (judged(spoilt(truth, share, 1), Distances()) for share in (0.4, 0.05))
    found = compare(a, b).overall["mean_average_distance"]
    assert found.difference < 0
    assert found.low <= found.difference <= found.high < 0
    assert found.better > 0.9


def test_the_pictures_that_differ_most_come_first(judged, truth):
    found = dict(truth)
    found["p7"] = (truth["p7"] + 1) % 3
    found["p2"] = np.where(np.arange(10) < 3, (truth["p2"] + 1) % 3, truth["p2"]).astype(np.uint8)
    comparison = compare(judged(truth), judged({n: i.astype(np.uint8) for n, i in found.items()}))
    assert [comparison.names[place] for place in comparison.most_different(9)] == ["p7", "p2"]
    rows = picture_rows(comparison, 1)
    assert rows[1] == ("p7", "100.0 %", "0.0 %", "-100.0")


def test_only_pictures_that_both_have_and_measures_that_both_have_count(subject_from, truth):
    first = subject_from(truth, spoilt(truth, 0.2, 1))
    first.predictions.files[3].write_bytes(b"")
    a = evaluate(first, (Overlap(), Borders()))
    second = subject_from(truth, spoilt(truth, 0.1, 2))
    second.predictions.files[5].write_bytes(b"")
    b = evaluate(second)
    comparison = compare(a, b)
    assert comparison.names == tuple(name for name in truth if name not in ("p3", "p5"))
    assert [measure.name for measure in comparison.measures] == ["overlap"]
    counts = a.counts["overlap"][[place for place, name in enumerate(a.names) if name != "p5"]]
    iou = Overlap().values(counts.sum(0, keepdims=True))["mean_iou"][0]
    assert comparison.overall["mean_iou"].a == pytest.approx(iou)


def test_what_cannot_be_compared(subject_from, table_of, truth):
    a = evaluate(subject_from(truth, truth, table_of("x", "y", "z")))
    b = evaluate(subject_from(truth, truth, table_of("x", "y", "w")))
    with pytest.raises(ClassTableError, match="different classes"):
        compare(a, b)
    fewer = {name: ids for name, ids in truth.items() if name != "p0"}
    with pytest.raises(DatasetError, match="no picture in common"):
        compare(a, evaluate(subject_from(fewer, fewer, table_of("x", "y", "z"))))


def test_distances_of_other_pixels_are_not_compared(judged, truth):
    sizes = [Spacings("mm", ((side, 1.0),), "as given") for side in (1.0, 2.0)]
    a, b, c = (judged(truth, Distances(each)) for each in (sizes[0], sizes[1], sizes[0]))
    with pytest.raises(UsageError, match="different units") as caught:
        compare(a, b)
    assert "A: HD95" in caught.value.got
    assert "a pixel is 2 × 1 mm" in caught.value.got
    comparison = compare(a, c)
    assert comparison_data(comparison)["units"]["hausdorff_95"] == "mm"
    assert comparison_rows(comparison)[0][-1][:2] == ("mean ASSD", "0.00 mm")
    assert len(compare(a, judged(truth)).measures) == 1


def test_tables_and_data_tell_all(judged, truth):
    comparison = compare(judged(spoilt(truth, 0.4, 1)), judged(spoilt(truth, 0.1, 2)))
    overall, *classes = comparison_rows(comparison)
    assert overall[0] == ("figure", "A", "B", "B - A", "95 % interval", "B better")
    assert [table[0][0] for table in classes] == ["IoU of", "Dice of", "precision of", "recall of"]
    facts = comparison_data(comparison)
    assert facts["pictures"] == 12
    assert facts["classes"][1]["iou"]["b"] == comparison.by_class["iou"][1].b
    assert len(facts["by_picture"]) == 12
