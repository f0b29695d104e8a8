from __future__ import annotations

import json

import pixelwise


def test_the_table_says_what_a_user_must_know(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    code, out, error = command("models")
    card = pixelwise.model_cards()["street"]
    assert (code, error) == (0, "")
    for text in (
        "street",
        "11: sky, building, pole, road",
        card.preprocessing.describe(),
        f"mIoU {card.scores[0].value:g}, CamVid val",
        card.weights_licence,
        "(non-commercial)",
        card.data_licence,
        " MB, stored float16, computed in float32",
    ):
        assert text in out


def test_a_narrow_terminal_loses_nothing(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = [
        line.split("│")[-2].strip() for line in command("models")[1].splitlines() if "│" in line
    ]
    assert ",".join(pixelwise.model_cards()["street"].classes.names) in "".join(lines).replace(
        " ", ""
    )


def test_json_holds_the_whole_card(command):
    code, out, error = command("models", "--json")
    (street,) = json.loads(out)["models"]
    card = pixelwise.model_cards()["street"]
    assert (code, error) == (0, "")
    assert street["name"] == "street"
    assert [info["name"] for info in street["class_table"]["classes"]] == list(card.classes.names)
    assert 1_000_000 < street["bytes"] <= 12_000_000
    assert len(street["sha256"]) == 64
    assert street["path"].endswith("street.onnx")
    assert street["non_commercial"] is True
    assert street["scores"][0]["value"] == card.scores[0].value
    for key in ("weights_licence", "data_licence", "preprocessing", "command", "storage"):
        assert street[key]


def test_help_names_both_commands(command):
    code, out, _ = command("--help")
    assert code == 0
    assert "predict" in out
    assert "models" in out


def test_no_command_shows_the_help(command):
    code, out, error = command()
    assert code in (0, 2)
    assert "predict" in out + error
