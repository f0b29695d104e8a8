from __future__ import annotations

import numpy as np
import onnx
import pytest

from pixelwise.errors import EngineError, ModelFileError
from pixelwise.export.calibration import calibrate
from pixelwise.export.network import read_network, runner, stored_model
from pixelwise.export.onnx import store_as_float16
from pixelwise.export.quantise import Range, quantised, scheme_of


@pytest.fixture(scope="module")
def network(convolutions):
    return read_network(convolutions(), where="toy")


def pictures(count=3, size=(33, 41)):
    """Smooth ones, as photos are: noise tells nothing of how inputs go together."""
    random = np.random.default_rng(3)
    for _ in range(count):
        coarse = random.integers(0, 256, (3, 5, 6)).astype(np.float32)
        smooth = np.kron(coarse, np.ones((7, 7), np.float32))[:, : size[0], : size[1]]
        yield np.rint(smooth)[None] / 127.5 - 1


@pytest.fixture(scope="module")
def measured(network):
    return calibrate(scheme_of(network), pictures, threads=1)


def answers(model, picture, **options):
    return runner(model, threads=1, **options).run(None, {"image": picture})[0]


def difference(model, network, **options):
    picture = next(iter(pictures()))
    expected = answers(network.model, picture)
    error = answers(model, picture, **options) - expected
    return float(np.sqrt((error**2).mean()) / expected.std())


def test_layers_and_what_joins_them_are_whole_numbers_and_scores_are_not(network):
    scheme = scheme_of(network)
    assert [layer.name for layer in scheme.layers] == ["stem", "depthwise", "point", "head"]
    assert scheme.tensors == ("image", "stem_cut", "depthwise_cut", "point_out", "sum", "both")
    # Both rectifiers only cut off what a range from 0 on cannot hold anyway.
    assert sorted(scheme.rectified.values()) == ["depthwise_out", "stem_out"]


def test_what_follows_a_float_layer_stays_float(network):
    scheme = scheme_of(network, ["point"])
    assert [layer.name for layer in scheme.layers] == ["stem", "depthwise", "head"]
    assert "sum" not in scheme.tensors
    assert "both" in scheme.tensors  # the head reads it


def test_quantised_scores_are_near_the_float_ones(network, measured):
    model = quantised(scheme_of(network), measured)
    onnx.checker.check_model(model)
    assert difference(model, network) < 0.02
    kinds = {each.name: each.data_type for each in model.graph.initializer}
    assert kinds["head.weight.int8"] == onnx.TensorProto.INT8
    assert kinds["head.bias.int32"] == onnx.TensorProto.INT32
    assert "head.weight" not in kinds
    assert not any(node.op_type in ("Relu", "Clip") for node in model.graph.node)


@pytest.mark.parametrize("floats", [["depthwise"], ["stem"], ["stem", "depthwise", "point"]])
def test_float_layers_are_computed_in_float_by_the_engine(network, measured, floats):
    """onnxruntime would quantise them by itself, with one scale for all channels."""
    model = quantised(scheme_of(network, floats), measured)
    assert difference(model, network) < 0.02
    picture = next(iter(pictures()))
    np.testing.assert_allclose(
        answers(model, picture), answers(model, picture, plain=True), atol=0.3
    )
    assert difference(model, network) < 1.5 * difference(model, network, plain=True) + 1e-3


def test_nodes_of_several_results_keep_them(convolutions):
    content = onnx.load_model_from_string(convolutions())
    nodes = list(content.graph.node)
    split = onnx.helper.make_node("Split", ["both"], ["left", "right"], axis=1, num_outputs=2)
    joined = onnx.helper.make_node("Concat", ["right", "left"], ["turned"], axis=1)
    nodes[-1].input[0] = "turned"
    del content.graph.node[:]
    content.graph.node.extend([*nodes[:-1], split, joined, nodes[-1]])
    network = read_network(content.SerializeToString(), where="toy")
    measured = calibrate(scheme_of(network), pictures, threads=1)
    model = quantised(scheme_of(network), measured)
    onnx.checker.check_model(model)
    assert difference(model, network) < 0.02


def test_matrix_products_are_layers():
    """Of rows of pixels, as transformers have them."""
    random = np.random.default_rng(0)
    float32 = onnx.TensorProto.FLOAT
    make = onnx.helper.make_node
    constants = {
        "to_rows": np.array([0, 3, -1], np.int64),
        "product.weight": random.normal(0, 1, (3, 6)).astype(np.float32),
        "added": random.normal(0, 1, 6).astype(np.float32),
        "to_image": np.array([0, 4, 33, 41], np.int64),
        "last": random.normal(0, 1, (6, 4)).astype(np.float32),
    }
    nodes = [
        make("Reshape", ["image", "to_rows"], ["flat"]),
        make("Transpose", ["flat"], ["rows"], perm=[0, 2, 1]),
        make("MatMul", ["rows", "product.weight"], ["product"]),
        make("Add", ["product", "added"], ["sum"]),
        make("Sigmoid", ["sum"], ["gate"]),
        make("MatMul", ["gate", "last"], ["scores"]),
        make("Transpose", ["scores"], ["back"], perm=[0, 2, 1]),
        make("Reshape", ["back", "to_image"], ["logits"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "rows",
        [onnx.helper.make_tensor_value_info("image", float32, ["B", 3, 33, 41])],
        [onnx.helper.make_tensor_value_info("logits", float32, ["B", 4, 33, 41])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    network = read_network(model.SerializeToString(), where="toy")
    assert [(layer.name, layer.axis) for layer in network.layers] == [("product", 1), ("last", 1)]
    measured = calibrate(scheme_of(network), pictures, threads=1)
    quantised_model = quantised(scheme_of(network), measured)
    onnx.checker.check_model(quantised_model)
    assert difference(quantised_model, network) < 0.02


def test_all_layers_in_float_is_the_network(network, measured):
    floats = [layer.name for layer in network.layers]
    assert difference(quantised(scheme_of(network, floats), measured), network) < 1e-5


def test_a_channel_without_weights_keeps_its_bias(convolutions):
    content = onnx.load_model_from_string(convolutions())
    for tensor in content.graph.initializer:
        if tensor.name == "stem.weight":
            values = onnx.numpy_helper.to_array(tensor).copy()
            values[2] = 0
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        if tensor.name == "stem.bias":
            values = onnx.numpy_helper.to_array(tensor).copy()
            values[2] = 4.0
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    network = read_network(content.SerializeToString(), where="toy")
    measured = calibrate(scheme_of(network), pictures, threads=1)
    assert difference(quantised(scheme_of(network), measured), network) < 0.03


def test_weights_stored_as_float16_are_read_and_stored_so(convolutions):
    content = onnx.load_model_from_string(convolutions())
    big = np.random.default_rng(0).normal(0, 0.2, (4, 16, 9, 9)).astype(np.float32)
    for tensor in content.graph.initializer:
        if tensor.name == "head.weight":
            tensor.CopyFrom(onnx.numpy_helper.from_array(big, tensor.name))
    network = read_network(store_as_float16(content.SerializeToString()), where="toy")
    assert network.halved
    assert {layer.name for layer in network.layers} == {"stem", "depthwise", "point", "head"}
    kinds = {each.name: each.data_type for each in stored_model(network).graph.initializer}
    assert kinds["head.weight.float16"] == onnx.TensorProto.FLOAT16
    assert difference(stored_model(network), network) == 0


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 6.0), (-3.0, 0.5), (-2.0, 0.0)])
def test_nought_is_a_whole_number_of_every_range(low, high):
    span = Range(low, high)
    assert 0 <= int(span.zero) <= 255
    steps = (np.array([0, 255]) - int(span.zero)) * float(span.scale)
    np.testing.assert_allclose(steps, [low, high], atol=float(span.scale))


def test_a_quantised_network_is_refused(network, measured):
    content = quantised(scheme_of(network), measured).SerializeToString()
    with pytest.raises(ModelFileError, match="quantised already") as caught:
        read_network(content, where="toy.onnx")
    assert "DequantizeLinear" in caught.value.got


def test_weights_that_are_not_finite_are_refused_and_named(convolutions):
    content = onnx.load_model_from_string(convolutions())
    content.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(np.full((8, 3, 3, 3), np.nan, np.float32), "stem.weight")
    )
    with pytest.raises(ModelFileError, match="not finite") as caught:
        read_network(content.SerializeToString(), where="toy.onnx")
    assert caught.value.got == "stem.weight"


def test_values_that_are_not_finite_are_refused(network):
    with pytest.raises(EngineError, match="not finite") as caught:
        calibrate(
            scheme_of(network),
            lambda: [np.full((1, 3, 9, 9), np.inf, np.float32)],
            threads=1,
        )
    assert caught.value.where == "image"


def test_bytes_that_are_no_network_are_refused():
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_network(b"\xff\xff\xff", where="toy.onnx")
