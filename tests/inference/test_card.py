from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.errors import CardError
from pixelwise.inference.card import Drop, Resize, Score, Verdict, read_card
from pixelwise.temperature import LocalTemperature


@pytest.fixture(scope="module")
def card(make_card, make_table):
    return make_card(
        make_table(0, 7, 300),
        resize=Resize(rule="area", pixels=1000),
        multiple=32,
        remainder=1,
        scores=(Score(metric="mIoU", value=0.5, protocol="none"),),
    )


def read(document):
    return read_card(json.dumps(document), where="file.onnx")


def refused(document):
    with pytest.raises(CardError) as caught:
        read(document)
    assert caught.value.where == "file.onnx"
    assert caught.value.fix
    return caught.value.got


def test_a_card_reads_back_as_it_was(card):
    again = read_card(card.to_json(), where="file.onnx")
    assert again == card
    assert again.classes == card.classes
    assert again.classes.ids == (0, 7, 300)


def test_text_of_any_script_stays(make_card):
    card = make_card(description="Straßen, 道路 ☂")
    assert "道路" in card.to_json()
    assert read_card(card.to_json(), where="") == card


def test_all_faults_are_listed_at_once(card):
    document = json.loads(card.to_json())
    del document["data_licence"]
    document["surprise"] = 1
    document["non_commercial"] = "no"
    document["preprocessing"]["std"][1] = 0
    document["preprocessing"]["scale"] = "large"
    document["postprocessing"]["alignment"] = "middle"
    got = refused(document)
    for name in (
        "data_licence",
        "surprise",
        "non_commercial",
        "preprocessing.std.1",
        "preprocessing.scale",
        "postprocessing.alignment",
    ):
        assert name in got


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.5", None, True])
@pytest.mark.parametrize("place", ["scale", "mean", "std", "value"])
def test_numbers_are_finite_numbers(card, place, value):
    document = json.loads(card.to_json())
    if place == "value":
        document["scores"][0]["value"] = value
    elif place == "scale":
        document["preprocessing"]["scale"] = value
    else:
        document["preprocessing"][place][2] = value
    assert place in refused(document)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("scale", 0),
        ("scale", -1),
        ("std", [1, 1, -1]),
        ("mean", []),
        ("dtype", "int64"),
        ("bands", [""]),
        ("multiple", 0),
        ("multiple", 2.5),
        ("remainder", -1),
        ("colour_order", "rgb"),
        ("resize", {"rule": "area"}),
        ("resize", {"rule": "exact"}),
        ("resize", {"rule": "exact", "size": [0, 5]}),
        ("resize", {"rule": "none", "longest": 0}),
        ("resize", {"rule": "letterbox"}),
    ],
)
def test_a_rule_that_cannot_be_is_refused(card, place, value):
    document = json.loads(card.to_json())
    document["preprocessing"][place] = value
    assert f"preprocessing.{place}" in refused(document)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"std": [1, 1]}, "mean of 3 channels, std of 2"),
        ({"mean": [1, 1, 1, 1]}, "mean of 4 channels, std of 3"),
        ({"bands": ["B4", "B3"]}, "3 channels, band names B4, B3"),
        ({"bands": ["B4", "B3", "B3"]}, "band names B4, B3, B3"),
        ({"mean": [1], "std": [1], "colour_order": "BGR"}, "1 channels in the order BGR"),
    ],
)
def test_channels_must_agree(card, changes, said):
    document = json.loads(card.to_json())
    document["preprocessing"] |= changes
    assert said in refused(document)


def test_a_card_of_an_older_version_is_of_photos(card):
    document = json.loads(card.to_json())
    del document["preprocessing"]["bands"], document["preprocessing"]["dtype"]
    assert read(document) == card
    assert read(document).preprocessing.takes_photos


def test_a_card_of_many_bands(card):
    document = json.loads(card.to_json())
    document["preprocessing"] |= {
        "mean": [0.1] * 4,
        "std": [0.2] * 4,
        "bands": ["B4", "B3", "B2", "B8"],
        "dtype": "uint16",
    }
    rule = read(document).preprocessing
    assert (rule.channels, rule.takes_photos) == (4, False)
    assert "4 bands of uint16: B4, B3, B2, B8" in rule.describe()


def test_a_card_of_an_older_version_has_no_temperature(card):
    document = json.loads(card.to_json())
    del document["postprocessing"]["temperature"], document["postprocessing"]["conformal"]
    assert read(document) == card
    assert read(document).postprocessing.temperature == 1


LOCAL = {"base": 0.5, "margin": -1, "curve": 0.25, "disagreement": 0}


def test_a_local_temperature_is_read_back(card):
    document = json.loads(card.to_json())
    document["postprocessing"]["temperature"] = LOCAL
    found = read(document)
    assert found.postprocessing.temperature == LocalTemperature(0.5, -1, 0.25, 0)
    assert read(json.loads(found.to_json())) == found
    assert "temperature exp(0.5 -1 l +0.25 l² +0 d) by place" in found.postprocessing.describe()


@pytest.mark.parametrize(
    "change",
    [{"margin": "1"}, {"margin": None}, {"curve": float("nan")}, {"more": 1}, {"base": 5000}],
)
def test_a_local_temperature_that_cannot_be_is_refused(card, change):
    document = json.loads(card.to_json())
    document["postprocessing"]["temperature"] = LOCAL | change
    assert refused(document)
    del document["postprocessing"]["temperature"]["base"]
    assert refused(document)


@pytest.mark.parametrize("temperature", [2, 0.5, [0.5, 1, 100]])
def test_temperatures_and_sets_are_read_back(card, temperature):
    document = json.loads(card.to_json())
    conformal = {"coverage": 0.9, "threshold": 0.05, "protocol": "none"}
    document["postprocessing"] |= {"temperature": temperature, "conformal": conformal}
    found = read(document)
    expected = tuple(temperature) if isinstance(temperature, list) else temperature
    assert found.postprocessing.temperature == expected
    assert found.postprocessing.conformal.threshold == 0.05
    assert read(json.loads(found.to_json())) == found
    said = found.postprocessing.describe()
    assert "calibrated: temperature" in said
    assert said.endswith("prediction sets of 0.9 coverage")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0),
        ("temperature", -1),
        ("temperature", 101),
        ("temperature", "1"),
        ("temperature", True),
        ("temperature", [1, 1, None]),
        ("conformal", {"coverage": 1, "threshold": 0.5, "protocol": ""}),
        ("conformal", {"coverage": 0.9, "threshold": 1.5, "protocol": ""}),
        ("conformal", {"coverage": 0.9}),
    ],
)
def test_a_calibration_that_cannot_be_is_refused(card, name, value):
    document = json.loads(card.to_json())
    document["postprocessing"][name] = value
    assert f"postprocessing.{name}" in refused(document)


@pytest.mark.parametrize("temperature", [[1], [1, 2], [1, 2, 3, 4], []])
def test_there_is_a_temperature_for_each_class(card, temperature):
    document = json.loads(card.to_json())
    document["postprocessing"]["temperature"] = temperature
    assert "for 3 classes" in refused(document)


def test_a_table_that_contradicts_itself_is_refused(card):
    document = json.loads(card.to_json())
    document["class_table"]["classes"][1]["id"] = 0
    with pytest.raises(CardError, match="class table"):
        read(document)


@pytest.mark.parametrize("table", [{}, {"classes": []}, {"classes": [{"id": "a"}]}, {"a": [1]}])
def test_a_broken_table_is_refused(card, table):
    refused(json.loads(card.to_json()) | {"class_table": table})


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", "{}", "[" * 5000, '"\ud800"'])
def test_what_is_no_card_is_refused(text):
    with pytest.raises(CardError):
        read_card(text, where="file.onnx")


def test_another_format_is_refused(card):
    assert "format" in refused(json.loads(card.to_json()) | {"format": 2})


@settings(max_examples=60)
@given(st.data())
def test_damaged_cards_give_a_card_or_the_one_error(card, data):
    text = list(card.to_json())
    for _ in range(3):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place] = data.draw(st.sampled_from('"{}[],:-0129ae\\ \0'))
    with contextlib.suppress(CardError):
        read_card("".join(text), where="file.onnx")


def test_the_input_rule_in_one_line(make_card):
    def describe(**options):
        return make_card(**options).preprocessing.describe()

    assert describe() == "any size; not resized; RGB"
    exact = describe(resize=Resize(rule="exact", size=(512, 1024)), colour_order="BGR")
    assert exact == "any size; stretched to 512×1024 (H×W); BGR"
    area = describe(resize=Resize(rule="area", pixels=300_000), multiple=32, remainder=1)
    assert "300,000 pixels, aspect ratio kept; sides padded to 32k + 1" in area


@pytest.fixture(scope="module")
def verdict():
    return Verdict(
        target="onnx-int8",
        original="a" * 64,
        agreement=0.99,
        worst=0.98,
        score_error=0.5,
        score_spread=20.0,
        pictures=6,
        sizes=2,
        protocol="toys",
        drop=Drop(before=0.744, after=0.7433, low=-0.0015, high=0.0, protocol="a data set"),
        float_layers=("stem",),
    )


def test_a_verdict_reads_back_as_it_was(make_card, verdict):
    card = make_card(precision="int8", engine="openvino", verdict=verdict)
    assert read_card(card.to_json(), where="") == card


def test_cards_of_plain_models_stay_as_older_versions_read_them(card):
    document = json.loads(card.to_json())
    assert not {"precision", "engine", "verdict"} & set(document)
    again = read(document)
    assert (again.precision, again.engine, again.verdict) == ("float32", "auto", None)


def test_a_verdict_is_told_in_words(verdict):
    assert verdict.describe() == (
        "onnx-int8: 99.00 % of the labels agree with the original's, 98.00 % in the worst of 6 "
        "pictures; scores differ by 0.5 at most, of a spread of 20; in float32: stem; toys"
    )
    assert verdict.drop.describe() == (
        "mIoU 74.4 -> 74.3 %, difference -0.07 (95 % interval -0.15 to +0.00): a data set"
    )
    assert verdict.drop.points == pytest.approx(0.07)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_shares_of_a_verdict_are_shares(make_card, verdict, value):
    document = json.loads(make_card(verdict=verdict).to_json())
    document["verdict"]["agreement"] = value
    assert "verdict.agreement" in refused(document)
