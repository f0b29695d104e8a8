from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.errors import DatasetError
from pixelwise.evaluation.layer_thresholds import (
    LayerSample,
    best_thresholds,
    tune_thresholds,
    tuned_card,
)
from pixelwise.metrics.thresholds import Thresholds

HALF = 736


def histogram(probabilities, truth):
    counts = Thresholds()
    counts.update(probabilities, truth.astype(np.uint8))
    return counts.counts


def iou_at(probabilities, truth, threshold):
    found = probabilities >= np.float32(threshold)
    return (truth & found).sum() / max(1, (truth | found).sum())


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 7, 300]))
def test_the_threshold_is_the_best_of_all_ends_of_bins(seed, count):
    random = np.random.default_rng(seed)
    # Some as near to 0 and 1 as float32 goes, some exactly at the end of a bin.
    logits = random.normal(0, 6, count)
    probabilities = (1 / (1 + np.exp(-logits))).astype(np.float32)
    some = random.random(count) < 0.3
    edges = Thresholds.edges[1:].astype(np.float32)
    probabilities[some] = random.choice(edges, np.count_nonzero(some))
    truth = random.logistic(0, 3, count) < logits
    truth[0] = True
    place = best_thresholds(histogram(probabilities, truth))
    scores = [iou_at(probabilities, truth, edge) for edge in edges]
    own = iou_at(probabilities, truth, Thresholds.edges[place])
    assert own == pytest.approx(max(scores), abs=1e-12)
    equal = 1 + np.flatnonzero(np.array(scores) >= own - 1e-12)
    assert abs(place - HALF) == np.abs(equal - HALF).min()
    # Finer thresholds than ends of bins can be better by the pixels of one bin alone.
    between = [iou_at(probabilities, truth, value) for value in probabilities]
    in_bin = histogram(probabilities, truth).sum(0).max()
    assert max(between) - own <= in_bin / max(1, truth.sum())


def test_dice_has_its_best_threshold_where_iou_has():
    random = np.random.default_rng(1)
    probabilities = random.random(2000).astype(np.float32)
    truth = random.random(2000) < probabilities**3
    counts = Thresholds()
    counts.update(probabilities, truth.astype(np.uint8))
    place = best_thresholds(counts.counts)
    assert counts.compute().best_threshold == pytest.approx(Thresholds.edges[place])


def test_without_a_pixel_of_the_class_it_is_the_middle():
    none = histogram(np.array([0.1, 0.9], np.float32), np.zeros(2, bool))
    assert best_thresholds(np.stack([none, none])).tolist() == [HALF, HALF]


def sample_of(shifts, *, pictures=16, pixels=500, seed=0, table=None, groups=None):
    """Classes whose logits are told too low by the shifts."""
    random = np.random.default_rng(seed)
    classes = len(shifts)
    logits = random.normal(0, 2, (pictures, classes, pixels))
    truth = random.logistic(0, 1, logits.shape) < logits
    shifted = logits - np.array(shifts)[:, None]
    probabilities = (1 / (1 + np.exp(-shifted))).astype(np.float32)
    found = probabilities >= np.float32(0.5)
    counts = [
        [histogram(*pair) for pair in zip(*picture, strict=True)]
        for picture in zip(probabilities, truth, strict=True)
    ]
    overlap = [np.sum(part, axis=2) for part in (truth & found, truth, found)]
    return LayerSample(
        names=tuple(f"p{number}" for number in range(pictures)),
        groups=np.arange(pictures) if groups is None else np.array(groups),
        grouping="made for a test",
        classes=table,
        counts=np.array(counts, np.uint32),
        edges=Thresholds.edges,
        overlap=np.stack(overlap, axis=1),
        channels=np.arange(classes),
    )


def test_thresholds_help_where_the_model_says_too_little(make_table):
    sample = sample_of((2.0, 0.0), table=make_table(0, 1))
    result = tune_thresholds(sample, data="toy", current=(0.5, 0.5))
    assert result.helps
    assert result.thresholds[0] < 0.2
    assert result.after.value > result.before.value
    assert result.after.low < result.after.value < result.after.high
    assert result.difference.low > 0
    assert result.better > 0.99
    assert result.difference.value == pytest.approx(result.after.value - result.before.value)
    assert result.few == ()
    # Cross-fitted, so not better than the best of all pictures.
    total = sample.counts.sum(0, dtype=np.int64)
    found = np.cumsum(total[..., ::-1], axis=-1)[..., ::-1]
    best = (found[:, 1] / (found[:, 1, :1] + found[:, 0])).max(-1)
    for own, most in zip(result.class_after, best, strict=True):
        assert own.value <= most + 1e-12


def test_thresholds_stay_where_they_do_not_help(make_table, make_card):
    # The model's are the best there are already, so that those of other pictures are worse.
    sample = sample_of((2.0,), table=make_table(0), pictures=6, pixels=60)
    place = best_thresholds(sample.counts.sum(0, dtype=np.int64))[0]
    wrong, right = sample.counts[:, 0, :, place:].sum(-1).astype(np.int64).T
    own = np.stack([right, sample.overlap[:, 1, 0], right + wrong], axis=1)[..., None]
    current = (float(Thresholds.edges[place]),)
    result = tune_thresholds(replace(sample, overlap=own), data="toy", current=current)
    assert not result.helps
    assert result.thresholds == current
    card = tuned_card(make_card(make_table(0)), result)
    assert card.postprocessing.thresholds == ()
    assert "as they were" in card.scores[0].protocol


def test_classes_with_too_few_pixels_keep_what_they_have_and_are_named(make_table):
    table = make_table(0, 1, 2)
    sample = sample_of((2.0, 2.0, 2.0), table=table)
    counts, overlap = sample.counts.copy(), sample.overlap.copy()
    # One class is in a single picture, another in a few pixels.
    counts[1:, 1, 1], overlap[1:, :2, 1] = 0, 0
    counts[:, 2, 1], overlap[:, :2, 2] = 0, 0
    counts[:, 2, 1, 900] = 6
    overlap[:, :2, 2] = 6
    sample = replace(sample, counts=counts, overlap=overlap)
    result = tune_thresholds(sample, data="toy", current=(0.5, 0.6, 0.7))
    assert result.few == ("class 1", "class 2")
    assert result.tuned[1:] == (None, None)
    assert result.thresholds[1:] == (0.6, 0.7)
    assert result.thresholds[0] < 0.2
    assert "too few pixels of class 1, class 2" in result.protocol
    assert result.class_after[2].value == result.class_before[2].value


def test_several_classes_of_the_model_that_are_one_have_one_threshold(make_table):
    sample = replace(sample_of((2.0,), table=make_table(0)), channels=np.array([0, 1, 0]))
    result = tune_thresholds(sample, data="toy", current=(0.5, 0.3, 0.5))
    assert result.thresholds[0] == result.thresholds[2] == result.tuned[0]
    assert result.thresholds[1] == 0.3


def test_the_card_holds_thresholds_and_what_they_bring(make_card, make_table):
    table = make_table(0, 1)
    result = tune_thresholds(sample_of((2.0, 1.0), table=table), data="toy", current=(0.5, 0.5))
    plain = make_card(table)
    sigmoid = plain.postprocessing.model_copy(update={"activation": "sigmoid"})
    card = tuned_card(plain.model_copy(update={"postprocessing": sigmoid}), result)
    assert card.postprocessing.thresholds == result.thresholds
    (score,) = card.scores
    assert score.value == pytest.approx(result.after.value, abs=1e-5)
    assert "thresholds of others" in score.protocol
    assert "95 % interval" in score.protocol
    assert tuned_card(card, result).scores == card.scores


def test_nothing_is_found_without_groups_or_pixels(make_table):
    sample = sample_of((1.0,), table=make_table(0), pictures=4, groups=[0, 0, 0, 0])
    with pytest.raises(DatasetError, match="two pictures"):
        tune_thresholds(sample, data="toy", current=(0.5,))
    few = sample_of((1.0,), table=make_table(0), pictures=4, pixels=5)
    with pytest.raises(DatasetError, match="no class has pixels enough"):
        tune_thresholds(few, data="toy", current=(0.5,))


def test_each_part_is_judged_with_the_threshold_of_the_others(make_table):
    pixels = np.linspace(0.01, 0.99, 400).astype(np.float32)
    sample = sample_of((0.0,), table=make_table(0), pictures=2, pixels=400)
    limits = (0.25, 0.75)
    truths = [pixels >= limit for limit in limits]
    counts = np.stack([histogram(pixels, truth)[None] for truth in truths])
    found = pixels >= np.float32(0.5)
    overlap = [[(truth & found).sum(), truth.sum(), found.sum()] for truth in truths]
    sample = replace(sample, counts=counts.astype(np.uint32), overlap=np.array(overlap)[:, :, None])
    result = tune_thresholds(sample, data="toy", current=(0.5,))
    parts = [
        [np.count_nonzero(part) for part in (truth & found, truth | found)]
        for truth, found in zip(truths, truths[::-1], strict=True)
    ]
    right, either = np.sum(parts, axis=0)
    assert result.class_after[0].value == pytest.approx(right / either)


def test_a_threshold_of_0_is_none():
    counts = histogram(np.zeros(9, np.float32), np.ones(9, bool))
    assert best_thresholds(counts) > 0
