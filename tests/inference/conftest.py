from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture(scope="session")
def convolution():
    """The bytes of an ONNX network of 3 × 3 convolutions, of 7 × 7 pixels in sight.

    Weights are small whole numbers, so that every engine and every tile gives the same bits.
    `stride` is that of the first one: 1, or 2 with scores on pixels 0, 2, 4 … (`corners`) or in
    the middle of cells. With `even` each kernel is the same from left and right, top and bottom.
    """

    def make(*, stride=1, corners=False, even=False, classes=4):
        random = np.random.default_rng(3)
        first = 4 if stride == 2 and not corners else 3
        shapes = [(3, 3, first, first), (3, 3, 3, 3), (classes, 3, 3, 3)]
        nodes, tensors, source = [], [], "image"
        for number, shape in enumerate(shapes):
            weights = random.integers(-2, 3, shape).astype(np.float32)
            if even:
                weights = weights + weights[..., ::-1]
                weights = weights + weights[..., ::-1, :]
            tensors.append(numpy_helper.from_array(weights, f"w{number}"))
            target = "logits" if number == 2 else f"maps{number}"
            strides = [stride if number == 0 else 1] * 2
            nodes.append(
                helper.make_node(
                    "Conv", [source, f"w{number}"], [target], pads=[1] * 4, strides=strides
                )
            )
            source = target
        float32 = TensorProto.FLOAT
        graph = helper.make_graph(
            nodes,
            "toy",
            [helper.make_tensor_value_info("image", float32, ["B", 3, "H", "W"])],
            [helper.make_tensor_value_info("logits", float32, ["B", classes, "h", "w"])],
            tensors,
        )
        opsets = [helper.make_opsetid("", 13)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()

    return make


@pytest.fixture(scope="session")
def load_toy(tmp_path_factory, make_card):
    """Loads a network with a card; options as those of `make_card`."""
    from pixelwise.export.onnx import write_card
    from pixelwise.inference.predictor import load

    def make(network, engine="onnxruntime", **options):
        path = tmp_path_factory.mktemp("toys") / "toy.onnx"
        write_card(network, make_card(**options), path)
        return load(path, engine=engine, threads=1)

    return make
