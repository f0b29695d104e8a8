from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict

import pixelwise
from pixelwise.inference.card import Drop, Verdict
from pixelwise.models.catalogue import CATALOGUE


def test_the_table_says_what_a_user_must_know(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "600")
    code, out, error = command("models")
    card = pixelwise.model_cards()["street"]
    assert (code, error) == (0, "")
    for text in (
        "street",
        "13: sky, building, pole, road",
        card.preprocessing.describe(),
        f"mIoU {card.scores[0].value:g}, camvid val",
        card.weights_licence,
        "(non-commercial)",
        card.data_licence,
        " MB, stored float16, computed in float32",
    ):
        assert text in out


def test_the_verdict_of_an_export_is_shown(command, monkeypatch, make_model):
    monkeypatch.setenv("COLUMNS", "600")
    drop = Drop(before=0.75, after=0.745, low=-0.01, high=0.0, protocol="a data set")
    verdict = Verdict(
        target="onnx-int8",
        original="a" * 64,
        agreement=0.99,
        worst=0.98,
        score_error=0.5,
        score_spread=20.0,
        pictures=6,
        sizes=2,
        protocol="toys",
        drop=drop,
    )
    path = make_model(precision="int8", storage="int8", engine="openvino", verdict=verdict)
    code, out, error = command("models", path)
    assert (code, error) == (0, "")
    assert verdict.describe() in out
    assert drop.describe() in out
    assert "stored int8, computed in int8" in out
    assert "street" not in out
    (told,) = json.loads(command("models", path, "--json")[1])["models"]
    assert told["verdict"]["agreement"] == 0.99


def test_a_model_that_is_not_there_ends_with_2(command):
    code, out, error = command("models", "strete")
    assert (code, out) == (2, "")
    assert "did you mean street" in error


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
    (street,) = [each for each in json.loads(out)["models"] if each["name"] == "street"]
    card = pixelwise.model_cards()["street"]
    assert (code, error) == (0, "")
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


def test_architectures_are_listed_with_what_decides_between_them(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    code, out, error = command("models", "--architectures")
    assert (code, error) == (0, "")
    rows = re.split("[├┡]", out)
    for name, facts in CATALOGUE.items():
        (row,) = [row for row in rows if f"│ {name} " in row]
        for text in (
            facts.title,
            facts.paper,
            str(facts.year),
            f"{facts.parameters:.1f}",
            f"{facts.multiply_adds:.1f}",
            f"encoder: {facts.encoder}",
            f"upsampling: {facts.upsampling}",
            f"skips: {facts.skips}",
            f"score: {facts.score}",
        ):
            assert text in row


def test_architectures_as_json(command):
    code, out, error = command("models", "--architectures", "--json")
    assert (code, error) == (0, "")
    listed = json.loads(out)["architectures"]
    assert [facts["name"] for facts in listed] == sorted(CATALOGUE)
    assert listed[0] == {"name": "deeplabv3", **asdict(CATALOGUE["deeplabv3"])}


def test_listing_architectures_does_not_load_torch(command_environment):
    code = "import sys; sys.argv[1:] = ['models', '--architectures', '--json']\n"
    code += "from pixelwise.cli import main\ntry:\n main()\nexcept SystemExit:\n pass\n"
    code += "sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=command_environment, capture_output=True, check=False
    )
    assert done.returncode == 0


def test_encoders_are_searched_by_a_part_of_the_name(command):
    code, out, error = command("models", "--encoders", "TEST_RES")
    assert (code, error) == (0, "")
    assert out.splitlines()[1].split() == [
        *("test_resnet", "0.4"),
        *("2", "4", "8", "16", "32"),
        *("32", "32", "48", "192", "96"),
        "yes",
    ]


def test_encoders_as_json_with_those_that_do_not_fit(command):
    code, out, error = command("models", "--encoders", "test_ma", "--json")
    document = json.loads(out)
    assert (code, error) == (0, "")
    assert document["found"] == ["test_mambaout", "test_maxvit"]
    (facts,) = document["encoders"]
    assert (facts["name"], facts["strides"], facts["atrous"]) == (
        "test_mambaout",
        [4, 8, 16, 32],
        False,
    )
    assert list(document["unfit"]) == ["test_maxvit"]


def test_own_encoders_are_found_too(command):
    assert [line.split()[0] for line in command("models", "--encoders", "mit_b")[1].splitlines()][
        1:7
    ] == [f"mit_b{number}" for number in range(6)]


def test_many_encoders_are_cut_and_said_so(command, monkeypatch):
    monkeypatch.setattr(sys.modules["pixelwise.cli.models"], "_MOST_DESCRIBED", 2)
    out = command("models", "--encoders", "test_conv")[1]
    assert out.splitlines()[-1] == "2 of 3; give more of the name to see others"


def test_no_encoder_of_that_name_ends_with_1(command):
    code, out, error = command("models", "--encoders", "resnettt")
    assert (code, error) == (1, "")
    assert "no encoder has 'resnettt' in its name" in out


def test_two_lists_at_once_are_refused(command):
    code, out, error = command("models", "--encoders", "resnet", "--architectures")
    assert (code, out) == (2, "")
    assert "two lists" in error


def test_a_missing_extra_is_named(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.delitem(sys.modules, "pixelwise.models.encoders.search", raising=False)
    code, _, error = command("models", "--encoders", "resnet")
    assert code == 2
    assert 'pip install "pixelwise[train]"' in error
