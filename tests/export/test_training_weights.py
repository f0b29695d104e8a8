from __future__ import annotations

import base64
import json

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.numpy import load, save
from torch import nn

from pixelwise.errors import WeightsError
from pixelwise.export.onnx import export_model, store_as_float16, write_card
from pixelwise.export.training_weights import (
    AUXILIARY,
    TRAINING_KEY,
    read_training_weights,
    training_text,
)
from pixelwise.inference.engines import make_engine
from pixelwise.inference.model_file import read_model
from pixelwise.inference.onnx_file import read_onnx, with_metadata
from pixelwise.models.build import build

CLASSES = 4
NETWORKS = {
    "convolutions folded": (
        "unet",
        {"encoder": "test_resnet", "decoder_channels": [8] * 4, "alignment": "corners"},
    ),
    "layer normalisation, matrices transposed": (
        "unet",
        {"encoder": "test_convnext", "decoder_channels": [8] * 4, "upsampling": "bilinear"},
    ),
    "a head for each level": ("fcn8s", {"encoder": "test_resnet", "hidden_channels": 16}),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def lived_in(network):
    """With statistics as a training leaves them: channels of all sizes, some of them dead."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.1, 3)
            nn.init.uniform_(module.weight, -1, 2)
            nn.init.normal_(module.bias)
            with torch.no_grad():
                module.weight[0] = 0
                module.running_var[1] = 1e-7
    return network.eval()


def anew(weights):
    network = build(
        weights.architecture, classes=CLASSES, encoder=weights.encoder, **weights.options
    )
    missing, unexpected = network.load_state_dict(dict(weights.tensors), strict=False)
    assert not unexpected
    return network.eval(), missing


def small_unet():
    return build("unet", classes=CLASSES, encoder="test_resnet", decoder_channels=[8] * 4)


class Folder:
    """Stands for the exporter: folds each normalisation, and names what comes out as it does."""

    def __call__(self, network):
        graph = {}
        nodes = []
        modules = dict(network.named_modules())
        names = list(modules)
        for name, module in modules.items():
            if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                continue
            weight = module.weight.detach().numpy()
            bias = None if module.bias is None else module.bias.detach().numpy()
            after = [modules[each] for each in names[names.index(name) + 1 :]][:1]
            if after and isinstance(after[0], nn.BatchNorm2d):
                norm = after[0]
                ratio = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().numpy()
                bias = (0 if bias is None else bias) - norm.running_mean.numpy()
                bias = norm.bias.detach().numpy() + bias * ratio
                shape = [1] * weight.ndim
                shape[isinstance(module, nn.ConvTranspose2d)] = -1
                weight = weight * ratio.reshape(shape)
            graph[f"{name}.weight"] = weight.astype(np.float32)
            inputs = ["image", f"{name}.weight"]
            if bias is not None:
                key = f"{name}.bias" if module.bias is not None else f"{name}.weight_bias"
                graph[key] = bias.astype(np.float32)
                inputs.append(key)
            kind = "Conv" if isinstance(module, nn.Conv2d) else "ConvTranspose"
            nodes.append(onnx.helper.make_node(kind, inputs, [f"{name}.out"]))
        initializers = [numpy_helper.from_array(value, key) for key, value in graph.items()]
        values = [
            onnx.helper.make_tensor_value_info("image", 1, ["B", 3, "H", "W"]),
            onnx.helper.make_tensor_value_info(nodes[-1].output[0], 1, ["B", CLASSES, "h", "w"]),
        ]
        made = onnx.helper.make_graph(nodes, "g", values[:1], values[1:], initializers)
        return onnx.helper.make_model(made).SerializeToString()


@pytest.fixture(scope="module")
def network():
    return lived_in(small_unet())


@pytest.fixture(scope="module")
def content(network):
    return store_as_float16(Folder()(network))


@pytest.fixture
def make_file(make_card, make_table, tmp_path):
    """A model file with such a text; the network in it is not run."""

    def make(content, text):
        if text is not None:
            content = with_metadata(content, {TRAINING_KEY: text})
        path = tmp_path / "a.onnx"
        write_card(content, make_card(make_table(*range(CLASSES))), path)
        return read_model(path)

    return make


def test_the_folded_weights_come_back(network, content, make_file):
    weights = read_training_weights(make_file(content, training_text(network, content)))
    _, missing = anew(weights)
    assert all(key.endswith("num_batches_tracked") for key in missing)
    for key, tensor in network.state_dict().items():
        if key not in weights.tensors:
            continue
        got = weights.tensors[key]
        # What feeds a dead channel does not come back.
        alive = slice(1 if tensor.ndim == 4 else 0, None)
        np.testing.assert_allclose(got[alive], tensor[alive], rtol=3e-3, atol=6e-3, err_msg=key)


def test_what_is_kept_answers_as_the_file_to_float32(network, content, make_file):
    file = make_file(content, training_text(network, content))
    again, _ = anew(read_training_weights(file))
    stored = {
        each.name.removesuffix(".float16"): numpy_helper.to_array(each).astype(np.float32)
        for each in onnx.load_model_from_string(content).graph.initializer
    }
    refolded = onnx.load_model_from_string(Folder()(again)).graph.initializer
    for each in refolded:
        np.testing.assert_allclose(
            numpy_helper.to_array(each), stored[each.name], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_real_file_round_trip(kind, make_card, make_table, tmp_path):
    architecture, options = NETWORKS[kind]
    network = lived_in(build(architecture, classes=CLASSES, **options))
    path = tmp_path / "a.onnx"
    card = make_card(make_table(*range(CLASSES)), storage="float16")
    export_model(network, card, path, example_size=(97, 129))
    file = read_model(path)
    weights = read_training_weights(file)
    assert (weights.architecture, weights.encoder) == (architecture, options["encoder"])
    again, missing = anew(weights)
    assert again.config == network.config
    assert all(key.endswith("num_batches_tracked") for key in missing)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 64, 96)).astype(np.float32)
    with torch.inference_mode():
        got = again(torch.from_numpy(image)).numpy()
    expected = make_engine(file, engine="onnxruntime", threads=1).run(image)
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())
    text = read_onnx(file.content, where="a").metadata[TRAINING_KEY]
    assert len(text) <= 0.05 * len(file.content)


def test_auxiliary_heads_are_not_kept():
    torch.manual_seed(0)
    network = build("fcn", classes=CLASSES, encoder="test_resnet", auxiliary=True).eval()
    content = store_as_float16(Folder()(network))
    text = json.loads(training_text(network, content))
    keys = [*text["taken"], *load(base64.b64decode(text["tensors"]))]
    assert not [key for key in keys if key.startswith(AUXILIARY)]
    assert [key for key in network.state_dict() if key.startswith(AUXILIARY)]


def test_equal_tensors_of_which_the_file_holds_one():
    plain = small_unet().eval()
    content = Folder()(plain)
    model = onnx.load_model_from_string(content)
    del model.graph.initializer[-1]
    one = numpy_helper.from_array(plain.head.bias.detach().numpy(), "only_one")
    model.graph.initializer.append(one)
    text = training_text(plain, model.SerializeToString())
    assert json.loads(text)["taken"]["head.bias"] == "only_one"


def test_nothing_is_kept_where_it_would_be_a_large_part_of_the_file(network):
    model = onnx.load_model_from_string(Folder()(network))
    del model.graph.initializer[:]
    assert training_text(network, model.SerializeToString()) == ""


def test_a_file_without_it_says_what_to_do(content, make_file):
    with pytest.raises(WeightsError, match="for prediction only") as caught:
        read_training_weights(make_file(content, None))
    assert "folder of the run" in caught.value.fix


def changed(text, **changes):
    return json.dumps(json.loads(text) | changes)


def with_tensors(text, change):
    tensors = load(base64.b64decode(json.loads(text)["tensors"]))
    change(tensors)
    return changed(text, tensors=base64.b64encode(save(tensors)).decode())


def claiming(shape):
    """A blob whose header claims more than there is."""
    header = json.dumps({"a": {"dtype": "F16", "shape": shape, "data_offsets": [0, 2**50]}})
    blob = len(header).to_bytes(8, "little") + header.encode() + b"\0" * 16
    return base64.b64encode(blob).decode()


def norm_of(tensors):
    return next(key for key in tensors if key.endswith("running_mean"))


HOSTILE = {
    "no text": lambda _: "",
    "no JSON": lambda text: text[:-9],
    "nested": lambda _: '{"options":' + "[" * 100_000,
    "another form": lambda text: changed(text, format=2),
    "one thing more": lambda text: changed(text, pickle="gASV"),
    "no base64": lambda text: changed(text, tensors="§§"),
    "no tensors": lambda text: changed(text, tensors=base64.b64encode(b"pickle").decode()),
    "huge header": lambda text: changed(
        text, tensors=base64.b64encode(b"\xff" * 7 + b"\x7f").decode()
    ),
    "huge tensor": lambda text: changed(text, tensors=claiming([2**20, 2**29])),
    "whole numbers": lambda text: with_tensors(text, lambda kept: kept.update(a=np.arange(3))),
    "wrong shape": lambda text: with_tensors(
        text, lambda kept: kept.update({norm_of(kept): np.zeros(3, np.float32)})
    ),
    "one key less": lambda text: with_tensors(text, lambda kept: kept.pop(norm_of(kept))),
    "not finite": lambda text: with_tensors(
        text, lambda kept: kept.update({norm_of(kept): kept[norm_of(kept)] * np.float16(np.nan)})
    ),
    "taken from nowhere": lambda text: changed(text, taken={"head.weight": "elsewhere"}),
    "epsilon": lambda text: text.replace('"epsilon":0.00001', '"epsilon":-1.0').replace(
        '"epsilon":1e-05', '"epsilon":-1.0'
    ),
    "too long": lambda text: changed(text, encoder="x" * 2**26),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_is_refused(kind, network, content, make_file):
    good = training_text(network, content)
    text = HOSTILE[kind](good)
    assert text != good
    file = make_file(content, text)
    with pytest.raises(WeightsError, match="is damaged") as caught:
        read_training_weights(file)
    assert caught.value.got
    assert len(str(caught.value)) < 2000
