from __future__ import annotations

import hashlib
import json
import random

import numpy as np
import pytest
from onnx import TensorProto, helper

from pixelwise.errors import CardError, EngineError, ModelFileError, UnknownModelError
from pixelwise.inference.card import CARD_KEY, Resize
from pixelwise.inference.engines import make_engine
from pixelwise.inference.model_file import (
    check_model,
    find_model,
    read_model,
    shipped_models,
    with_other_card,
)
from pixelwise.inference.onnx_file import with_metadata


def test_a_model_file_is_read_whole(make_model):
    path = make_model()
    model = read_model(path)
    assert model.content == path.read_bytes()
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (model.input_name, model.output_name) == ("image", "logits")
    assert model.card.name == "toy"
    assert not model.one_by_one


def test_the_street_model_ships():
    assert "street" in shipped_models()
    model = read_model("street")
    card = model.card
    assert len(model.content) <= 12_000_000
    assert card.classes.names[:3] == ("sky", "building", "pole")
    assert len(card.classes) == 13
    assert card.non_commercial
    assert "CamVid" in card.data
    score = next(each for each in card.scores if each.protocol.startswith("camvid val, 101"))
    assert score.metric == "mIoU"
    assert score.value >= 0.72
    assert "its own 11 classes" in score.protocol
    assert "recipes/street.yaml" in card.command


@pytest.mark.parametrize("name", sorted(shipped_models()))
def test_every_model_that_ships_is_small_and_says_what_it_is(name):
    model = read_model(name)
    card = model.card
    assert len(model.content) <= 12_000_000
    assert card.name == name
    assert card.scores[0].metric == "mIoU"
    assert "pictures" in card.scores[0].protocol or "photos" in card.scores[0].protocol
    assert "pixelwise" in card.command
    assert "/" not in card.data
    for licence in (card.weights_licence, card.data_licence):
        assert licence
        assert licence != "not stated"


@pytest.mark.parametrize("name", ["streat", "Street", "street.onnx", "missing/street.onnx", ""])
def test_an_unknown_name_offers_the_known_ones(name):
    with pytest.raises(UnknownModelError) as caught:
        find_model(name)
    assert caught.value.where == name
    assert f"known: {', '.join(sorted(shipped_models()))}" in caught.value.fix


def test_a_near_name_is_offered():
    with pytest.raises(UnknownModelError) as caught:
        find_model("streat")
    assert "did you mean street?" in caught.value.fix


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(UnknownModelError) as caught:
        read_model(tmp_path)
    assert caught.value.got == "a folder"


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(90)])
def test_a_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="not a whole ONNX model") as caught:
        read_model(path)
    assert caught.value.where == str(path)


def test_a_foreign_onnx_file_is_told_apart(tmp_path, pointwise):
    path = tmp_path / "a.onnx"
    path.write_bytes(with_metadata(pointwise(), {"author": "somebody"}))
    with pytest.raises(CardError, match="carries no pixelwise card") as caught:
        read_model(path)
    assert caught.value.got == "metadata: author"


def test_faults_of_card_and_network_are_listed_together(pointwise, make_card, make_table, tmp_path):
    """Four score maps for three classes, a batch of two and sides that no rule gives."""
    network = pointwise(shape=(2, 3, 8, 8), classes=4)
    card = make_card(make_table(0, 1, 2), resize=Resize(rule="exact", size=(8, 9)))
    with pytest.raises(CardError, match="does not fit") as caught:
        check_model(with_metadata(network, {CARD_KEY: card.to_json()}), tmp_path)
    assert "4 score maps for a table of 3 classes" in caught.value.got
    assert "batches of 2, expected 1 or free" in caught.value.got
    assert "input [2, 3, 8, 8], the card's rule gives [2, 3, 8, 9]" in caught.value.got


def test_fixed_sides_need_a_rule_that_gives_them(make_model, pointwise):
    network = pointwise(shape=(1, 3, 33, 65), classes=4)
    padded = {"multiple": 32, "remainder": 1}
    assert read_model(
        make_model(network=network, resize=Resize(rule="exact", size=(32, 64)), **padded)
    ).one_by_one
    for resize in (Resize(rule="none"), Resize(rule="exact", size=(34, 64))):
        with pytest.raises(CardError, match="does not fit"):
            make_model("b.onnx", network=network, resize=resize, **padded)


def network_of(inputs, outputs):
    """A network that does nothing but has such inputs and outputs (type, shape)."""
    given = [helper.make_tensor_value_info(f"i{n}", *facts) for n, facts in enumerate(inputs)]
    answers = [helper.make_tensor_value_info(f"o{n}", *facts) for n, facts in enumerate(outputs)]
    nodes = [helper.make_node("Identity", ["i0"], [answer.name]) for answer in answers]
    return helper.make_model(helper.make_graph(nodes, "g", given, answers)).SerializeToString()


def test_the_input_has_the_cards_channels(make_card, tmp_path):
    network = network_of([(TensorProto.FLOAT, ["B", 5, "H", "W"])], [SCORES])
    numbers = {"mean": (0.0,) * 5, "std": (1.0,) * 5, "dtype": "uint16"}
    content = with_metadata(network, {CARD_KEY: make_card(**numbers).to_json()})
    assert check_model(content, tmp_path / "x.onnx").card.preprocessing.channels == 5
    numbers["mean"] = numbers["std"] = (1.0,) * 4
    content = with_metadata(network, {CARD_KEY: make_card(**numbers).to_json()})
    with pytest.raises(CardError, match="does not fit") as caught:
        check_model(content, tmp_path / "x.onnx")
    assert "expected float32 [B, 4, H, W]" in caught.value.got


IMAGE = (TensorProto.FLOAT, ["B", 3, "H", "W"])
SCORES = (TensorProto.FLOAT, ["B", 4, "H", "W"])


@pytest.mark.parametrize(
    ("inputs", "outputs", "fault"),
    [
        ([IMAGE, IMAGE], [SCORES], "2 inputs and 1 outputs"),
        ([IMAGE], [SCORES, SCORES], "1 inputs and 2 outputs"),
        ([(TensorProto.FLOAT, ["B", 4, "H", "W"])], [SCORES], "expected float32 [B, 3, H, W]"),
        ([(TensorProto.FLOAT, [3, "H", "W"])], [SCORES], "expected float32 [B, 3, H, W]"),
        ([(TensorProto.UINT8, ["B", 3, "H", "W"])], [SCORES], "expected float32 [B, 3, H, W]"),
        ([IMAGE], [(TensorProto.FLOAT, ["B", 4])], "expected float32 [B, C, h, w]"),
        ([IMAGE], [(TensorProto.INT64, ["B", 4, "H", "W"])], "expected float32 [B, C, h, w]"),
        ([IMAGE], [(TensorProto.FLOAT, ["B", 5, "H", "W"])], "5 score maps for a table of 4"),
    ],
)
def test_networks_that_are_none_of_ours_are_refused(make_card, tmp_path, inputs, outputs, fault):
    content = with_metadata(network_of(inputs, outputs), {CARD_KEY: make_card().to_json()})
    with pytest.raises(CardError) as caught:
        check_model(content, tmp_path)
    assert fault in caught.value.got


def test_a_broken_card_names_the_file(pointwise, make_card, tmp_path):
    document = json.loads(make_card().to_json()) | {"format": 9}
    content = with_metadata(pointwise(), {CARD_KEY: json.dumps(document)})
    with pytest.raises(CardError) as caught:
        check_model(content, tmp_path / "a.onnx")
    assert caught.value.where == str(tmp_path / "a.onnx")


def test_damaged_models_give_an_answer_or_a_declared_error(make_model, tmp_path):
    """Up to the engine and a run: what the reader lets through must not break out there."""
    content = make_model().read_bytes()
    generator = random.Random(4)
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(generator.choice((1, 1, 3))):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        try:
            model = check_model(bytes(damaged), tmp_path)
            scores = make_engine(model, engine="onnxruntime", threads=1).run(
                np.zeros((1, 3, 8, 8), np.float32)
            )
        except (ModelFileError, EngineError):
            continue
        assert isinstance(scores, np.ndarray)


def test_another_card_goes_into_the_same_network(
    make_model, make_card, make_table, pointwise, tmp_path
):
    file = read_model(make_model(network=pointwise(classes=4)))
    other = make_card(description="another")
    new = with_other_card(file, other, tmp_path / "new.onnx")
    assert new.card == other
    assert new.sha256 != file.sha256
    assert with_other_card(new, file.card, tmp_path).sha256 == file.sha256
    with pytest.raises(CardError, match="does not fit its network"):
        with_other_card(file, make_card(make_table(0, 1)), tmp_path)
