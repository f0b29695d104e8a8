from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.errors import DatasetError, UsageError
from pixelwise.evaluation.calibrate import calibrate, calibrated_card
from pixelwise.evaluation.pixels import PixelSample
from pixelwise.evaluation.temperatures import fit_temperature
from pixelwise.inference.card import Score, read_card

CLASSES = 3


def sample_of(true_temperature, *, pictures=24, pixels=400, groups=None, seed=0, classes=CLASSES):
    """Pixels whose truth is drawn by the softmax of logits over a known temperature."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 4, (pictures, pixels, classes)).astype(np.float32)
    divided = logits / np.asarray(true_temperature)
    truth = np.argmax(divided + random.gumbel(size=logits.shape), axis=2).astype(np.uint16)
    labels = logits.argmax(2)
    counts = np.array(
        [
            [
                [np.count_nonzero(each) for each in (own & is_true, is_true, own)]
                for own, is_true in ((ids == index, true == index) for index in range(classes))
            ]
            for ids, true in zip(labels, truth, strict=True)
        ]
    ).transpose(0, 2, 1)
    return PixelSample(
        names=tuple(f"p{number}" for number in range(pictures)),
        groups=np.arange(pictures) if groups is None else np.array(groups),
        grouping="made for a test",
        logits=logits,
        truth=truth,
        judged_as=np.arange(classes),
        counts=counts,
        faults=(),
    )


def nll(sample, temperature):
    scores = sample.logits / np.asarray(temperature)
    scores = scores - scores.max(2, keepdims=True)
    right = np.take_along_axis(scores, sample.truth[..., None].astype(int), 2)[..., 0]
    return float((np.log(np.exp(scores).sum(2)) - right).mean())


@settings(max_examples=5)
@given(st.floats(0.3, 5), st.integers(0, 50))
def test_the_temperature_of_the_truth_is_found(temperature, seed):
    sample = sample_of(temperature, seed=seed)
    found = fit_temperature(sample)
    assert found == pytest.approx(temperature, rel=0.1)
    # No other is better: the golden section of the whole range gives no less.
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 40))
    assert nll(sample, found) <= min(nll(sample, other) for other in grid) + 1e-9
    assert fit_temperature(sample) == found


def test_the_temperature_of_each_class_is_found():
    sample = sample_of((0.7, 1.5, 3.0), pictures=40)
    found = fit_temperature(sample, "per-class")
    assert found == pytest.approx((0.7, 1.5, 3.0), rel=0.1)
    assert nll(sample, found) < nll(sample, fit_temperature(sample))


def test_a_class_that_is_nowhere_takes_the_temperature_of_all():
    sample = sample_of(2.0)
    logits = np.concatenate([sample.logits, sample.logits[..., :1] - 9], axis=2)
    sample = replace(sample, logits=logits, judged_as=np.arange(4))
    every = fit_temperature(sample)
    assert fit_temperature(sample, "per-class")[3] == pytest.approx(every)


def test_perfect_predictions_end_at_the_limit():
    logits = np.eye(3, dtype=np.float32)[None, [0, 1, 2, 2]]
    sample = replace(sample_of(1, pictures=1), logits=logits, truth=np.array([[0, 1, 2, 2]]))
    assert fit_temperature(sample) == pytest.approx(0.05)


@pytest.mark.parametrize("kind", ["global", "per-class"])
def test_figures_before_and_after(kind):
    sample = sample_of(2.5)
    result = calibrate(sample, data="toys", kind=kind, coverage=0.8)
    assert result.helps
    assert result.better > 0.99
    assert result.after["ECE"].value < result.before["ECE"].value / 3
    assert result.after["NLL"].value < result.before["NLL"].value
    assert result.before["NLL"].value == pytest.approx(nll(sample, 1), rel=1e-4)
    for figure in (*result.before.values(), *result.after.values()):
        assert 0 <= figure.low < figure.value < figure.high
    coverage = result.coverage
    assert coverage.measured.low < coverage.measured.value < coverage.measured.high
    assert coverage.measured.value > 0.77
    assert 1 <= coverage.size.value <= 3
    assert (result.pictures, result.groups, result.pixels) == (24, 24, 400)
    assert "24 pictures in 24 groups, 400 pixels" in result.protocol


def test_what_is_right_already_stays():
    sample = sample_of(1.7, pictures=6, pixels=40, seed=4)
    current = fit_temperature(sample)
    result = calibrate(sample, data="toys", current=current)
    # The best for these very pictures cannot be beaten by that of others.
    assert not result.helps
    assert result.temperature == current
    assert result.before["ECE"].value >= 0


def test_pictures_of_a_group_are_never_on_both_sides(monkeypatch):
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


def test_too_few_pictures_are_told():
    with pytest.raises(DatasetError, match="two pictures, or groups"):
        calibrate(sample_of(1, pictures=4, groups=[5] * 4), data="toys")
    with pytest.raises(UsageError, match="needs 9 pictures"):
        calibrate(sample_of(1, pictures=8), data="toys", coverage=0.9)


def test_coverage_of_others_is_open_where_they_are_too_few():
    result = calibrate(sample_of(1.5, pictures=9), data="toys", coverage=0.9)
    assert 0 < result.coverage.threshold < 1
    assert result.coverage.measured is None
    assert result.coverage.size is None


def test_the_card_says_what_was_done(make_card, make_table):
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
