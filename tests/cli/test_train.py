"""What the flags of `pixelwise train` say, and what is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from pixelwise.cli.train import _fixed, _value
from pixelwise.training.run_folder import RunFolder

NUCLEI = Path(__file__).parents[2] / "examples" / "nuclei"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("385x513", [385, 513]),
        ("0.5,0.25,1", [0.5, 0.25, 1]),
        ("1e-3", 0.001),
        ("null", None),
        ("true", True),
        ("{dropout: 0.1}", {"dropout": 0.1}),
        ("2020-13-45", "2020-13-45"),
        ("[" * 5000, "[" * 5000),
    ],
    ids=lambda value: str(value)[:20],
)
def test_numbers_and_pairs_are_read(text, value):
    assert _value(text, words=False) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("loss", "tversky(alpha=0.3, beta=0.7)"),
        ("classes", "road, and more.yaml"),
        ("train", "2017"),
        ("validation", "no"),
    ],
)
def test_words_stay_as_they_are(name, text):
    arguments = {"plan": None, "data": ["x"], "finetune": None, name: text}
    arguments |= dict.fromkeys(("layout", "images", "masks", "valid", "rest", "splits"))
    assert _fixed(arguments)[name] == text


def test_no_validation_split_can_be_asked_for():
    assert _value("null", words=True) is None


def test_choices_that_do_not_go_together_leave_no_folder(command, tmp_path):
    run = tmp_path / "run"
    code, _, error = command("train", NUCLEI, "-o", run, "--epochs", 1, "--crop", "130x130")
    assert code == 2
    assert "wants sides of 32k + 1" in error
    assert not run.exists()


def test_all_unknown_names_are_told_before_the_data_is_read(command, tmp_path):
    picture = tmp_path / "images" / "0.png"
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / picture.name).write_bytes(b"no picture")
    names = ("--architecture", "unett", "--encoder", "resnet55", "--loss", "dise")
    code, _, error = command("train", tmp_path, "-o", tmp_path / "run", *names)
    assert code == 2
    for told in ("did you mean segnet or unet", "resnet50", "did you mean dice"):
        assert told in error
    assert not (tmp_path / "run").exists()


def test_a_model_that_is_not_there_is_told_before_the_data_is_read(command, tmp_path):
    code, _, error = command("train", NUCLEI, "-o", tmp_path / "run", "--finetune", "streat")
    assert code == 2
    assert "did you mean street" in error


def test_a_crop_is_two_sides(command, tmp_path):
    for crop in ("129", "129,129,3"):
        code, _, error = command("train", NUCLEI, "-o", tmp_path / "run", "--crop", crop)
        assert code == 2
        assert "two sides, such as 385x513" in error


def test_after_an_error_before_the_training_the_same_folder_can_be_taken(command, tmp_path):
    run = tmp_path / "run"
    small = ("--encoder", "test_efficientnet", "--crop", "64x64")
    weights = ("--encoder-weights", tmp_path / "missing.safetensors")
    code, _, error = command("train", NUCLEI, "-o", run, *small, *weights)
    assert code == 2
    assert "missing.safetensors" in error
    RunFolder(run).check_free()


def test_a_wrong_plan_is_told_by_its_file(command, tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text("epoch: 3\nbatch: 0\n")
    code, _, error = command("train", NUCLEI, "-o", tmp_path / "run", "--plan", plan)
    assert code == 2
    for told in (f"{plan}, and the flags", "epoch: no such choice (did you mean epochs", "batch=0"):
        assert told in error
    code, _, error = command("train", NUCLEI, "-o", tmp_path / "run", "--plan", tmp_path / "none")
    assert code == 2
    assert "  No such file or directory\n" in error
