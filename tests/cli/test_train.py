"""What the flags of `pixelwise train` say, and what is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from pixelwise.cli.train import _fixed, _value

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
