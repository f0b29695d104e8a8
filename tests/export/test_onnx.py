from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import nn

import pixelwise
from pixelwise.errors import CardError, EngineError, ModelFileError, OutputError
from pixelwise.export import onnx as export
from pixelwise.inference.engines import make_engine
from pixelwise.inference.model_file import read_model

REPOSITORY = Path(__file__).parents[2]


class Small(nn.Module):
    """Half the size, and scores at the corners of the input; enough weights to be halved."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 40, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(40)
        self.last = nn.Conv2d(40, 4, 3, padding=1)

    def forward(self, image):
        return self.last(torch.relu(self.norm(self.first(image))))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture(scope="module", params=["float32", "float16"])
def exported(request, network, make_card, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "small.onnx"
    card = make_card(storage=request.param, multiple=2, remainder=1, alignment="corners")
    content = export.export_model(network, card, path, example_size=(33, 41))
    return path, content, request.param


def test_the_file_gives_the_networks_answers_at_odd_sizes(exported, network):
    path, _, storage = exported
    engine = make_engine(read_model(path), engine="onnxruntime", threads=1)
    for shape in ((1, 3, 7, 5), (2, 3, 33, 41), (1, 3, 65, 1), (3, 3, 20, 98)):
        batch = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
        with torch.inference_mode():
            expected = network(torch.from_numpy(batch)).numpy()
        tolerance = 1e-5 if storage == "float32" else 3e-3
        np.testing.assert_allclose(engine.run(batch), expected, atol=tolerance)


def test_large_weights_are_stored_as_the_card_says(exported):
    path, _, storage = exported
    graph = onnx.load(path).graph
    types = {tensor.data_type for tensor in graph.initializer if np.prod(tensor.dims) >= 1024}
    assert types == {TensorProto.FLOAT if storage == "float32" else TensorProto.FLOAT16}
    small = [tensor for tensor in graph.initializer if np.prod(tensor.dims) < 1024]
    assert not any(tensor.data_type == TensorProto.FLOAT16 for tensor in small)


def test_the_file_is_valid_and_holds_nothing_of_this_machine(exported):
    path, content, _ = exported
    onnx.checker.check_model(onnx.load(path), full_check=True)
    for trace in (str(REPOSITORY), str(Path.home()), str(path.parent), Path(__file__).name, ".py"):
        assert trace.encode() not in content
        assert trace.encode() not in path.read_bytes()


def test_the_street_model_holds_nothing_of_a_machine():
    content = read_model("street").content
    for trace in (str(Path(__file__).parents[2]).encode(), b"/home/", b"site-packages", b'File "'):
        assert trace not in content


def test_inputs_are_free_but_for_their_bands(exported):
    model = onnx.load(exported[0])
    given = model.graph.input[0].type.tensor_type.shape.dim
    assert model.graph.input[0].name == "image"
    assert [side.dim_value for side in given] == [0, 3, 0, 0]
    assert model.graph.output[0].name == "logits"


def test_the_loaded_model_predicts(exported):
    picture = np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8)
    seg = pixelwise.load(exported[0], engine="onnxruntime", threads=1).predict(picture)
    assert seg.labels.shape == (20, 31)


def test_halving_rounds_the_weights_and_nothing_else():
    generator = np.random.default_rng(0)
    large = generator.normal(0, 1, (64, 3, 3, 3)).astype(np.float32)
    small = generator.normal(0, 1, 64).astype(np.float32)
    values = [
        onnx.helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 3, "H", "W"]),
        onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 64, "h", "w"]),
    ]
    weights = [numpy_helper.from_array(large, "w"), numpy_helper.from_array(small, "b")]
    node = onnx.helper.make_node("Conv", ["x", "w", "b"], ["y"])
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:], weights)
    content = onnx.helper.make_model(graph).SerializeToString()
    halved = onnx.load_model_from_string(export.store_as_float16(content)).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in halved.initializer}
    np.testing.assert_array_equal(stored["w.float16"], large.astype(np.float16))
    np.testing.assert_array_equal(stored["b"], small)
    assert [node.op_type for node in halved.node] == ["Cast", "Conv"]


def test_a_file_that_disagrees_is_not_written(network, make_card, tmp_path, monkeypatch):
    path = tmp_path / "a.onnx"
    path.write_bytes(b"the old one")
    straight = export.to_onnx

    def negated(network, size):
        model = onnx.load_model_from_string(straight(network, size))
        model.graph.node[-1].output[0] = "positive"
        model.graph.node.append(onnx.helper.make_node("Neg", ["positive"], ["logits"]))
        return model.SerializeToString()

    monkeypatch.setattr(export, "to_onnx", negated)
    with pytest.raises(EngineError, match="does not give the same answers") as caught:
        export.export_model(network, make_card(), path, example_size=(33, 41))
    assert "of the labels agree at" in caught.value.got
    assert path.read_bytes() == b"the old one"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_card_that_does_not_fit_is_not_written(pointwise, make_card, make_table, tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(b"the old one")
    with pytest.raises(CardError, match="does not fit"):
        export.write_card(pointwise(classes=4), make_card(make_table(0, 1)), path)
    with pytest.raises(ModelFileError):
        export.write_card(b"no model", make_card(), path)
    assert path.read_bytes() == b"the old one"


def test_a_place_that_cannot_be_written(pointwise, make_card, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError):
        export.write_card(pointwise(), make_card(), tmp_path / "file" / "a.onnx")


def test_a_new_card_takes_the_place_of_the_old_one(pointwise, make_card, tmp_path):
    path = tmp_path / "a.onnx"
    export.write_card(pointwise(), make_card(description="first"), path)
    export.write_card(path.read_bytes(), make_card(description="second"), path)
    assert read_model(path).card.description == "second"
