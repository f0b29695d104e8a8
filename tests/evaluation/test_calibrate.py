from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pixelwise.errors import DatasetError, UsageError
from pixelwise.evaluation.calibrate import calibrate, calibrated_card, needs_corners
from pixelwise.evaluation.conformal import fit_threshold
from pixelwise.evaluation.pixels import Corners
from pixelwise.evaluation.temperatures import fit_temperature, probabilities_of
from pixelwise.inference.card import Score, read_card
from pixelwise.temperature import LocalTemperature

LOCAL = LocalTemperature(1.2, -0.6, 0.1, 0.8)
KINDS = {"global": 2.5, "per-class": (2.5, 2.0, 3.0), "local": LOCAL}


def nll(sample):
    scores = sample.logits - sample.logits.max(2, keepdims=True)
    right = np.take_along_axis(scores, sample.truth[..., None].astype(int), 2)[..., 0]
    return float((np.log(np.exp(scores).sum(2)) - right).mean())


@pytest.mark.parametrize("kind", list(KINDS))
def test_figures_before_and_after(kind, sample_of):
    sample = sample_of(KINDS[kind])
    result = calibrate(sample, data="toys", kind=kind, coverage=0.8)
    assert result.helps
    assert result.better > 0.99
    assert result.after["ECE"].value < result.before["ECE"].value / 2
    assert (result.kind, list(result.tried)) == (kind, [kind])
    assert result.after["NLL"].value < result.before["NLL"].value
    assert result.before["NLL"].value == pytest.approx(nll(sample), rel=1e-4)
    for figure in (*result.before.values(), *result.after.values()):
        assert 0 <= figure.low < figure.value < figure.high
    coverage = result.coverage
    assert coverage.measured.low < coverage.measured.value < coverage.measured.high
    assert coverage.measured.value > 0.77
    assert 1 <= coverage.size.value <= 3
    assert (result.pictures, result.groups, result.pixels) == (24, 24, 400)
    assert "24 pictures in 24 groups, 400 pixels" in result.protocol


def test_what_is_right_already_stays(sample_of):
    sample = sample_of(1.7, pictures=6, pixels=40, seed=4)
    current = fit_temperature(sample)
    result = calibrate(sample, data="toys", current=current)
    # The best for these very pictures cannot be beaten by that of others.
    assert not result.helps
    assert result.temperature == current
    assert result.before["ECE"].value >= 0


def test_pictures_of_a_group_are_never_on_both_sides(monkeypatch, sample_of):
    import pixelwise.evaluation.calibrate as module

    sample = sample_of(2.0, pictures=12, groups=[0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3])
    seen = []
    fit = module.fit_temperature

    def watched(part, kind):
        seen.append(part.logits[:, 0, 0])
        return fit(part, kind)

    monkeypatch.setattr(module, "fit_temperature", watched)
    calibrate(sample, data="toys")
    firsts = sample.logits[:, 0, 0]
    assert len(seen) == 5  # four parts, and all
    for part in seen[:-1]:
        inside = np.isin(firsts, part)
        assert len(np.unique(sample.groups[inside])) == 3
        assert not set(sample.groups[inside]) & set(sample.groups[~inside])


def test_too_few_pictures_are_told(sample_of):
    with pytest.raises(DatasetError, match="two pictures, or groups"):
        calibrate(sample_of(1, pictures=4, groups=[5] * 4), data="toys")
    with pytest.raises(UsageError, match="needs 9 pictures"):
        calibrate(sample_of(1, pictures=8), data="toys", coverage=0.9)


def test_coverage_of_others_is_open_where_they_are_too_few(sample_of):
    result = calibrate(sample_of(1.5, pictures=9), data="toys", coverage=0.9)
    assert 0 < result.coverage.threshold < 1
    assert result.coverage.measured is None
    assert result.coverage.size is None


def test_the_card_says_what_was_done(make_card, make_table, sample_of):
    card = make_card(
        make_table(0, 1, 2), scores=(Score(metric="mIoU", value=0.5, protocol="none"),)
    )
    result = calibrate(sample_of(2.5), data="toys", kind="per-class", coverage=0.8)
    new = calibrated_card(card, result)
    assert read_card(new.to_json(), where="") == new
    assert new.postprocessing.temperature == result.temperature
    assert new.postprocessing.conformal.threshold == result.coverage.threshold
    assert "toys, 24 pictures" in new.postprocessing.conformal.protocol
    assert [score.metric for score in new.scores][:3] == ["mIoU", "ECE", "class-wise ECE"]
    assert f"{result.before['ECE'].value:.4f} before" in new.scores[1].protocol
    again = calibrated_card(new, calibrate(sample_of(2.5), data="toys"))
    assert [score.metric for score in again.scores] == [score.metric for score in new.scores]
    assert again.postprocessing.conformal is None
    assert again.preprocessing == card.preprocessing
    # What the model was asked for before stays as it was.
    assert card.postprocessing.temperature == 1


@pytest.mark.parametrize("kind", list(KINDS))
def test_auto_finds_the_kind_that_the_truth_has(kind, sample_of):
    sample = sample_of(KINDS[kind], pictures=16, pixels=200)
    if sample.corners is None:
        sample = replace(sample, corners=corners_at(sample))
    result = calibrate(sample, data="toys", kind="auto")
    assert result.kind == kind
    assert list(result.tried) == ["global", "per-class", "local"]
    assert result.tried[kind] == result.after
    assert "the kind of temperature chosen on all" in result.protocol
    assert result.temperature == fit_temperature(sample, kind)


def corners_at(sample):
    """Corners of pixels that lie on a score, whose neighbours agree as chance has it."""
    scores = np.zeros((len(sample.names), 4, *sample.logits.shape[:0:-1]), np.float32)
    scores[:, 0] = sample.logits.transpose(0, 2, 1)
    ordered = np.sort(scores, axis=2)
    lead = np.log1p(ordered[:, :, -1] - ordered[:, :, -2])
    differing = np.random.default_rng(1).integers(0, 9, lead.shape) / 8
    weights = np.zeros_like(lead)
    weights[:, 0] = 1
    features = np.stack([np.ones_like(lead), lead, lead**2, differing], axis=2)
    return Corners(scores, weights, features.astype(np.float32))


def test_a_local_temperature_needs_corners(sample_of):
    with pytest.raises(UsageError, match="sample without corners"):
        calibrate(sample_of(2.0), data="toys", kind="local")
    with pytest.raises(UsageError, match="sample without corners"):
        calibrate(sample_of(2.0), data="toys", current=LOCAL)
    assert [needs_corners(kind, 1.0) for kind in (*KINDS, "auto")] == [False, False, True, True]
    assert needs_corners("global", LOCAL)


def test_what_is_locally_right_already_stays(sample_of):
    sample = sample_of(LOCAL, pictures=6, pixels=60)
    result = calibrate(sample, data="toys", current=fit_temperature(sample, "local"), kind="local")
    assert not result.helps
    assert isinstance(result.temperature, LocalTemperature)


def test_classes_that_are_one_class_of_the_truth_are_judged_together(sample_of):
    sample = sample_of(2.5, judged_as=(0, 1, 1, 2), pictures=20)
    result = calibrate(sample, data="toys", coverage=0.8)
    assert result.temperature == pytest.approx(2.5, rel=0.1)
    assert result.coverage.measured.value > 0.77
    found = probabilities_of(sample, result.temperature)
    likeliest = np.stack([found[..., 0], found[..., 1:3].max(2), found[..., 3]])
    right = sample.judged_as[sample.logits.argmax(2)] == sample.truth
    of_truth = np.choose(sample.truth, likeliest)
    threshold = fit_threshold(of_truth, right, sample.groups, coverage=0.8)
    assert result.coverage.threshold == threshold
    # A class of the model that is of none of the truth has the last place.
    beside = replace(sample, truth=np.minimum(sample.truth, 1), counts=sample.counts[..., :2])
    assert calibrate(beside, data="toys").before["NLL"].value > result.before["NLL"].value
    with pytest.raises(DatasetError, match="single class"):
        calibrate(replace(sample, judged_as=np.zeros(4, int)), data="toys")


def test_what_goes_together_under_other_names_is_in_the_protocol(sample_of):
    sample = replace(sample_of(2.0, pictures=4), notes=("person counts as Pedestrian",))
    assert "person counts as Pedestrian" in calibrate(sample, data="toys").protocol
