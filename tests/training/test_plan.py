"""The plan of a training: out to a file and back, and every fault at once."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.errors import OutputError, UsageError
from pixelwise.training.plan import (
    TrainingPlan,
    explanations,
    make_plan,
    read_choices,
    read_plan,
    write_plan,
)

DATA = {"data": [{"path": "data/x"}]}

OTHER = {
    "data": [{"path": "data/größe: #1", "layout": "pairs", "splits": "s.json"}, {"path": "b"}],
    "classes": "classes.yaml",
    "train": "train+extra",
    "validation": None,
    "validation_share": 0.1,
    "kind": "multi_label",
    "instances": "borders",
    "architecture": "segformer",
    "encoder": "mit_b0",
    "encoder_weights": None,
    "network": {"decoder_channels": [64, 32], "upsampling": "bilinear", "dropout": 0.1},
    "start_from": "runs/a/best.safetensors",
    "freeze_encoder_norm": False,
    "resize": "area",
    "pixels": 250_000,
    "longest": 2048,
    "crop": (257, 513),
    "mean": (0.1, 0.2, 1 / 3),
    "std": (1e-3, 0.2, 0.3),
    "augmentation": "strong",
    "any_way_up": True,
    "sampling": "weighted",
    "aim": 0.5,
    "mix": "classmix",
    "epochs": 7,
    "batch": 3,
    "accumulate": 3,
    "learning_rate": 1e-5,
    "encoder_rate": 0.1,
    "schedule": "poly",
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "clip": None,
    "average_decay": 0.0,
    "loss": "focal(gamma=1.5) + 0.5 lovasz",
    "class_weights": "effective-number",
    "label_smoothing": 0.1,
    "auxiliary_weight": 0.2,
    "precision": "float16",
    "channels_last": False,
    "compile": True,
    "strategy": "fsdp",
    "score_every": 2,
    "early_stop": 9,
    "log_every": 3,
    "checkpoint_seconds": 0.5,
    "workers": 2,
    "seed": 2**63 - 1,
    "card": {"name": "n", "description": 'says "yes"', "non_commercial": True},
}


def test_every_choice_comes_back_from_the_file(tmp_path):
    plan = make_plan(OTHER, where="a test")
    usual = make_plan(DATA, where="a test")
    left = [
        name for name in TrainingPlan.model_fields if getattr(plan, name) == getattr(usual, name)
    ]
    assert left == [], "a choice that this test leaves as it is"
    for each in (plan, usual):
        write_plan(each, tmp_path / "plan.yaml", {"epochs": "many: as #\n needed"})
        assert read_plan(tmp_path / "plan.yaml") == each


@given(st.floats(0, 10, exclude_min=True), st.floats(-1e6, 1e6), st.text(max_size=30))
def test_numbers_and_texts_come_back_bit_by_bit(tmp_path_factory, rate, mean, text):
    path = tmp_path_factory.mktemp("p") / "plan.yaml"
    card = {"description": text}
    plan = make_plan(
        {**DATA, "learning_rate": rate, "mean": [mean] * 3, "card": card}, where="a test"
    )
    write_plan(plan, path)
    assert read_plan(path) == plan


def test_reasons_stand_beside_the_choices_and_change_nothing(tmp_path):
    plan = make_plan(DATA, where="a test")
    write_plan(plan, tmp_path / "plan.yaml", {"epochs": "as many as fit"})
    text = (tmp_path / "plan.yaml").read_text()
    assert "epochs: 50  # as many as fit\n" in text
    assert set(yaml.safe_load(text)) == set(TrainingPlan.model_fields)


def test_all_faults_are_told_at_once():
    choices = {"crop": [3, "x"], "epochs": 0, "epoch": 3, "loss": 5, "precision": "float8"}
    with pytest.raises(UsageError) as caught:
        make_plan({**DATA, **choices}, where="here")
    for part in ("crop.0=3", "crop.1='x'", "epochs=0", "epoch: no such", "loss=5", "'float8'"):
        assert part in caught.value.got
    assert caught.value.where == "here"


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("learnin_rate", "learning_rate"), ("Epochs", "epochs"), ("batch_size", "batch")],
)
def test_a_name_that_is_nearly_right_is_offered(wrong, meant):
    with pytest.raises(UsageError) as caught:
        make_plan({**DATA, wrong: 1}, where="a test")
    assert wrong in caught.value.got
    assert meant in caught.value.got.replace(wrong, "")


@pytest.mark.parametrize(
    "choices",
    [
        {"resize": "area"},
        {"mean": [0.5]},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"average_decay": 1.0},
        {"clip": 0.0},
        {"seed": -1},
        {"workers": -1},
        {"mean": [0.5, 0.5, float("nan")]},
        {"data": []},
        {"data": [{"path": "x", "pth": "y"}]},
        {"card": {"name": ""}},
        {"network": {"classes": 3}},
        {"network": {"weights": "x.pth", "pytorch_file": True}},
    ],
    ids=str,
)
def test_choices_that_cannot_be_are_refused(choices):
    with pytest.raises(UsageError, match="cannot be used"):
        make_plan({**DATA, **choices}, where="a test")


def test_a_changed_plan_is_checked_like_a_new_one():
    plan = make_plan(DATA, where="a test")
    assert plan.changed(epochs=3).epochs == 3
    with pytest.raises(UsageError):
        plan.changed(epochs=0)


@pytest.mark.parametrize(
    "content", [b"", b"[1, 2]", b"a: [", b"\xff\xfe", b"3", b"seed: 2020-13-45", b"[" * 5000]
)
def test_a_file_that_is_no_plan_is_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "plan.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_choices(path)
    assert caught.value.where == str(path)


def test_a_missing_plan_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_plan(tmp_path / "none.yaml")


def test_a_plan_cannot_run_code(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text("loss: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(UsageError, match="cannot be read"):
        read_choices(path)


def test_a_plan_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "plan.yaml").mkdir()
    with pytest.raises(OutputError):
        write_plan(make_plan(DATA, where="a test"), tmp_path / "plan.yaml")


def test_every_choice_is_explained():
    told = explanations()
    assert set(told) == set(TrainingPlan.model_fields)
    assert all(len(text) > 5 for text in told.values())


def test_what_is_missing_is_named():
    with pytest.raises(UsageError) as caught:
        make_plan({"epochs": 3}, where="a test")
    assert caught.value.got == "data: missing"
