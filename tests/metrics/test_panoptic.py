from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import pixelwise.metrics.panoptic
from pixelwise.errors import ArrayError, UsageError
from pixelwise.metrics.panoptic import PanopticMap, PanopticQuality, panoptic_scores

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("PIXELWISE_DATA") or ROOT.parent / "shared/data")
SAMPLE = DATA / "panopticapi_sample" / "sample_data"
THINGS, IGNORED = (True, False, True, False), 255


def by_definition(truth, prediction, classes):
    """`[4, C]` from maps of segment ids (0: void or nothing) and what is known of each segment.

    The steps of panopticapi's evaluation: pairs of ids from one int64, then dictionaries.
    """
    counts = np.zeros((4, classes))
    (true_ids, true_info), (ids, info) = truth, prediction
    pairs = true_ids.astype(np.int64) * 2**32 + ids
    values, pixels = np.unique(pairs, return_counts=True)
    common = {divmod(int(value), 2**32): int(n) for value, n in zip(values, pixels, strict=True)}
    true_area = {n: int((true_ids == n).sum()) for n in true_info}
    area = {n: int((ids == n).sum()) for n in info}
    true_matched, matched = set(), set()
    for (a, b), n in common.items():
        if a not in true_info or b not in info:
            continue
        (category, crowd), (predicted, _) = true_info[a], info[b]
        if crowd or category != predicted:
            continue
        union = true_area[a] + area[b] - n - common.get((0, b), 0)
        if n / union > 0.5:
            counts[0, category] += n / union
            counts[1, category] += 1
            true_matched.add(a)
            matched.add(b)
    for a in true_info.keys() - true_matched:
        if not true_info[a][1]:
            counts[3, true_info[a][0]] += 1
    for b in info.keys() - matched:
        excused = [0, *(a for a in true_info if true_info[a] == (info[b][0], True))]
        if sum(common.get((a, b), 0) for a in excused) / area[b] <= 0.5:
            counts[2, info[b][0]] += 1
    return counts


def as_segments(maps, *, is_truth):
    """Segment ids of a map whose crowds follow the rule of data sets, and their classes."""
    ids, info = np.zeros(maps.classes.shape, np.int64), {}
    for class_, thing in enumerate(THINGS):
        of_class = maps.classes == class_
        numbers = maps.instances if thing else np.zeros_like(maps.instances)
        for number in np.unique(numbers[of_class]).tolist():
            ids[of_class & (numbers == number)] = len(info) + 1
            info[len(info) + 1] = (class_, is_truth and thing and number == 0)
    return ids, info


def scene(random, size=(24, 30)):
    """Rectangles of classes and objects over stuff, some void; and a prediction made from it."""
    classes, instances = np.full(size, 1, np.uint8), np.zeros(size, np.int32)
    for number in range(1, 9):
        y, x = random.integers(0, size[0]), random.integers(0, size[1])
        box = np.s_[y : y + random.integers(2, 16), x : x + random.integers(2, 16)]
        classes[box] = random.choice([0, 0, 2, 3, IGNORED])
        instances[box] = random.choice([0, number, number])
    truth = PanopticMap(classes, instances)
    moved = [
        np.roll(a, random.integers(0, 3), axis=random.integers(0, 2)) for a in (classes, instances)
    ]
    for _ in range(random.integers(0, 4)):
        y, x = random.integers(0, size[0]), random.integers(0, size[1])
        box = np.s_[y : y + 9, x : x + 9]
        moved[0][box], moved[1][box] = random.choice([0, 1, 2, IGNORED]), 40 + random.integers(0, 2)
    return truth, PanopticMap(*moved)


def quality(pairs):
    metric = PanopticQuality(THINGS, ignore_index=IGNORED)
    for pair in pairs:
        metric.update(*pair)
    return metric


def test_public_names_are_sorted():
    assert pixelwise.metrics.panoptic.__all__ == [
        "PanopticMap",
        "PanopticQuality",
        "PanopticScores",
        "panoptic_scores",
    ]


@settings(max_examples=50)
@given(st.integers(0, 2**32))
def test_counts_equal_their_definition(seed):
    truth, prediction = scene(np.random.default_rng(seed))
    counts = quality([]).update(truth, prediction)
    expected = by_definition(
        as_segments(truth, is_truth=True), as_segments(prediction, is_truth=False), len(THINGS)
    )
    np.testing.assert_array_equal(counts[1:], expected[1:])
    np.testing.assert_allclose(counts[0], expected[0], rtol=1e-12)


def row(*labels):
    """Maps of one row from pairs of class and instance, with their lengths."""
    parts = [(np.full(n, class_), np.full(n, instance)) for class_, instance, n in labels]
    return PanopticMap(*(np.concatenate(side)[None] for side in zip(*parts, strict=True)))


def counts_of(truth, prediction):
    return quality([]).update(truth, prediction).tolist()


def test_an_iou_of_a_half_is_no_match():
    # 10 of 20: one missed, one invented; 11 of 20: a match.
    assert counts_of(row((0, 1, 20)), row((0, 1, 10), (1, 0, 10)))[1:] == [
        [0, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 0, 0, 0],
    ]
    iou, found, wrong, missed = counts_of(row((0, 1, 20)), row((0, 1, 11), (1, 0, 9)))
    assert (iou[0], found[0], wrong[0], missed[0]) == (11 / 20, 1, 0, 0)


def test_void_pixels_leave_the_union():
    iou, found, *_ = counts_of(row((0, 1, 10), (IGNORED, 0, 10)), row((0, 1, 20)))
    assert (iou[0], found[0]) == (1, 1)


@pytest.mark.parametrize(("void", "invented"), [(10, 1), (11, 0)])
@pytest.mark.parametrize("excuse", [(IGNORED, 0), (0, 0)], ids=["void", "crowd"])
def test_what_lies_mostly_on_void_or_crowd_is_not_invented(excuse, void, invented):
    truth = row((*excuse, void), (1, 0, 20 - void))
    assert counts_of(truth, row((0, 3, 20)))[2][0] == invented


def test_the_crowd_of_another_class_excuses_nothing():
    assert counts_of(row((2, 0, 20)), row((0, 3, 20)))[2][0] == 1


def test_a_crowd_is_neither_matched_nor_missed():
    assert np.array(counts_of(row((0, 0, 20)), row((0, 3, 20)))).sum() == 0
    assert np.array(counts_of(row((0, 0, 20)), row((IGNORED, 0, 20)))).sum() == 0


def test_a_crowd_may_be_given():
    truth = row((0, 0, 20), (0, 7, 10))
    given_one = PanopticMap(truth.classes, truth.instances, truth.instances == 7)
    iou, found, wrong, missed = counts_of(given_one, truth)
    # The objects are numbered from 0 here, and object 7 is the crowd.
    assert (iou[0], found[0], wrong[0], missed[0]) == (1, 1, 0, 0)
    nothing = PanopticMap(truth.classes, truth.instances, np.zeros((1, 30), np.bool_))
    assert counts_of(nothing, truth)[1][0] == 2


def test_numbers_of_stuff_play_no_part():
    assert counts_of(row((1, 4, 5), (1, 0, 5)), row((1, 8, 9), (3, 0, 1)))[1] == [0, 1, 0, 0]


def test_a_class_that_is_nowhere_is_left_out_and_one_without_matches_is_zero():
    pairs = [(row((0, 1, 10), (1, 0, 10)), row((0, 5, 8), (1, 0, 12)))]
    pairs.append((row((2, 1, 5), (0, 1, 5)), row((3, 0, 5), (0, 1, 5))))
    scores = quality(pairs).compute()
    np.testing.assert_allclose(scores.sq, [0.9, 10 / 12, 0, 0])
    np.testing.assert_allclose(scores.rq, [1, 1, 0, 0])
    np.testing.assert_allclose(scores.pq, scores.sq * scores.rq)
    assert scores.things_pq == pytest.approx(0.45)
    assert scores.stuff_sq == pytest.approx(5 / 12)
    scores = quality(pairs[:1]).compute()
    assert np.isnan(scores.pq[2:]).all()
    assert np.isnan(scores.sq[2:]).all()
    assert scores.mean_pq == pytest.approx((0.8 + 10 / 12) / 2)
    assert scores.things_rq == 1


def test_nothing_counted_scores_nan():
    scores = quality([]).compute()
    assert all(np.isnan(getattr(scores, field.name)).all() for field in fields(scores))


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(0, 4))
def test_parts_merge_to_the_whole(seed, cut):
    random = np.random.default_rng(seed)
    pairs = [scene(random) for _ in range(4)]
    whole, first = quality(pairs), quality(pairs[:cut])
    first.merge(quality(pairs[cut:]))
    np.testing.assert_allclose(first.counts, whole.counts, rtol=1e-12)
    backwards = quality(pairs[::-1])
    np.testing.assert_array_equal(backwards.counts[1:], whole.counts[1:])


def test_many_sums_are_scored_at_once():
    random = np.random.default_rng(2)
    parts = np.stack([quality([]).update(*scene(random)) for _ in range(6)])
    times = random.multinomial(6, np.full(6, 1 / 6), size=5)
    scores = panoptic_scores(np.tensordot(times, parts, 1), np.array(THINGS))
    assert scores.pq.shape == (5, 4)
    assert scores.mean_pq.shape == (5,)
    for draw, repeats in enumerate(times):
        one = panoptic_scores(
            sum(n * part for n, part in zip(repeats, parts, strict=True)), np.array(THINGS)
        )
        np.testing.assert_allclose(scores.pq[draw], one.pq)
        np.testing.assert_allclose(scores.stuff_rq[draw], one.stuff_rq)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64, np.uint64])
def test_every_integer_type_counts_the_same(dtype):
    truth, prediction = scene(np.random.default_rng(3))
    expected = counts_of(truth, prediction)
    pair = [
        PanopticMap(maps.classes.astype(dtype), maps.instances.astype(dtype))
        for maps in (truth, prediction)
    ]
    metric = PanopticQuality(THINGS, ignore_index=IGNORED)
    assert metric.update(*pair).tolist() == expected


def test_faults_are_told():
    ids, numbers = np.zeros((3, 4), np.uint8), np.zeros((3, 4), np.int32)
    with pytest.raises(ArrayError, match="panoptic map") as raised:
        PanopticMap(ids.astype(float), numbers.T, ids)
    assert all(word in raised.value.got for word in ("float64", "[4, 3]", "bool"))
    with pytest.raises(ArrayError, match="panoptic map"):
        PanopticMap(ids[0], numbers[0])
    good = PanopticMap(ids, numbers)
    with pytest.raises(ArrayError, match="differ in size"):
        quality([(good, PanopticMap(ids.T, numbers.T))])
    with pytest.raises(ArrayError, match="outside the class table") as raised:
        quality([(PanopticMap(ids + 9, numbers), PanopticMap(ids + 4, numbers))])
    assert "truth holds ids [9]" in raised.value.got
    assert "prediction holds ids [4]" in raised.value.got
    with pytest.raises(ArrayError, match="too large"):
        quality([(good, PanopticMap(ids, np.full((3, 4), 2**63, np.uint64)))])
    with pytest.raises(ArrayError, match="things"):
        PanopticQuality([0, 1])
    with pytest.raises(UsageError, match="ignored id"):
        PanopticQuality(THINGS, ignore_index=3)
    with pytest.raises(ArrayError, match="one protocol"):
        PanopticQuality(THINGS).merge(quality([]))
    with pytest.raises(ArrayError, match="counts are"):
        panoptic_scores(np.zeros((4, 3)), np.array(THINGS))


def read_sample(name):
    """The picture's true segments as panopticapi stores them, and as maps of pixelwise."""
    document = json.loads((SAMPLE / "panoptic_examples.json").read_text())
    channels = {info["id"]: place for place, info in enumerate(document["categories"])}
    things = np.array([info["isthing"] == 1 for info in document["categories"]])
    (entry,) = [a for a in document["annotations"] if a["file_name"] == name]
    pixels = np.asarray(Image.open(SAMPLE / "panoptic_examples" / name)).astype(np.int64)
    ids = pixels @ [1, 256, 65536]
    info = {
        segment["id"]: (channels[segment["category_id"]], segment["iscrowd"] == 1)
        for segment in entry["segments_info"]
    }
    return ids, info, things


def maps_of(ids, info):
    """The maps of stored segments, which have numbers that no other segment has."""
    classes, crowd = np.full(ids.shape, IGNORED, np.uint8), np.zeros(ids.shape, np.bool_)
    for number, (channel, is_crowd) in info.items():
        classes[ids == number] = channel
        crowd |= (ids == number) & is_crowd
    return PanopticMap(classes, ids, crowd)


@pytest.mark.parametrize("name", ["000000142238.png", "000000439180.png"])
def test_the_published_sample_scores_as_by_definition(name):
    if not SAMPLE.is_dir():
        pytest.skip("panopticapi_sample is not there: set PIXELWISE_DATA to its folder")
    ids, info, things = read_sample(name)
    metric = PanopticQuality(things, ignore_index=IGNORED)
    metric.update(maps_of(ids, info), maps_of(ids, info))
    # Against itself, as panopticapi's page runs it: everything is found, crowds are excused.
    assert metric.compute().mean_pq == 1
    assert metric.compute().mean_rq == 1
    assert metric.counts[2:].sum() == 0

    # Moved, with two segments as one, one given another class, and one away.
    moved = np.roll(ids, (3, 2), axis=(0, 1))
    first, second, third, fourth = [n for n in info if not info[n][1]][:4]
    moved[moved == second] = first
    moved[moved == third] = 0
    changed = {n: info[n] for n in info if n not in (second, third)}
    changed[fourth] = ((info[fourth][0] + 1) % 80, False)
    expected = by_definition((ids, info), (moved, changed), len(things))
    counts = PanopticQuality(things, ignore_index=IGNORED).update(
        maps_of(ids, info), maps_of(moved, changed)
    )
    assert expected[1:].sum(1).min() > 0
    np.testing.assert_array_equal(counts[1:], expected[1:])
    np.testing.assert_allclose(counts[0], expected[0], rtol=1e-12)


def test_the_two_channel_form_of_the_sample_gives_the_same_segments():
    if not SAMPLE.is_dir():
        pytest.skip("panopticapi_sample is not there: set PIXELWISE_DATA to its folder")
    name = "000000439180.png"
    ids, info, things = read_sample(name)
    document = json.loads((SAMPLE / "panoptic_examples.json").read_text())
    channel_of = np.full(256, IGNORED, np.uint8)
    for place, category in enumerate(document["categories"]):
        channel_of[category["id"]] = place
    category, number, _ = np.moveaxis(
        np.asarray(Image.open(SAMPLE / "panoptic_examples_2ch_format" / name)), -1, 0
    )
    classes = channel_of[category]
    is_thing = np.append(things, np.zeros(256 - len(things), np.bool_))[classes]
    two_channels = PanopticMap(classes, number, is_thing & (number == 255))
    metric = PanopticQuality(things, ignore_index=IGNORED)
    metric.update(two_channels, maps_of(ids, info))
    assert metric.compute().mean_pq == 1
    assert metric.counts[1].sum() == sum(not crowd for _, crowd in info.values())
