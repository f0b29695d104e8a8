"""Static quantisation to 8 bits, written as pairs of QuantizeLinear and DequantizeLinear.

q = round(x / s) + z, and the engines turn a convolution between such pairs into one of whole
numbers (Jacob et al., CVPR 2018). Weights are int8, symmetric, with a scale for each output
channel; activations uint8, with a scale and a zero point for each tensor; biases int32 of scale
s_x · s_w (Nagel et al., "A White Paper on Neural Network Quantization", 2021, sections 2 and 3).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from pixelwise.export.network import DEQUANTISED, Layer, Network, attributes, store
from pixelwise.export.rounding import rounded, weight_scales

__all__ = ["Calibration", "Range", "Scheme", "Whole", "quantised", "scheme_of", "whole_layer"]

# What only moves, joins or averages numbers, and can do so with whole ones.
_PASSING = ("Add", "AveragePool", "Concat", "GlobalAveragePool", "MaxPool", "Resize")
# The first input alone holds numbers of the picture.
_FIRST_ONLY = ("AveragePool", "GlobalAveragePool", "MaxPool", "Resize")
_SAME_RANGE = ("MaxPool", "Resize")
_LARGEST_BIAS = np.float32(2**30)
_LEVELS = 255
_SMALLEST_SCALE = 1e-12


@dataclass(frozen=True)
class Range:
    """Between what values a tensor is kept: low ≤ 0 ≤ high, low < high."""

    low: float
    high: float

    @property
    def scale(self) -> np.float32:
        """Of one step."""
        return np.float32(max((self.high - self.low) / _LEVELS, _SMALLEST_SCALE))

    @property
    def zero(self) -> np.uint8:
        """The whole number that stands for 0."""
        return np.uint8(np.clip(np.rint(-self.low / self.scale), 0, _LEVELS))


@dataclass(frozen=True, eq=False)
class Whole:
    """A layer in whole numbers.

    Attributes:
        weights: int8, of the shape that they had.
        scales: of the output channels, `[O]`.
        bias: int32 `[O]`; None where there is none that is constant.
        bias_scales: of its channels.
    """

    weights: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.int32] | None
    bias_scales: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was measured on pictures.

    Attributes:
        ranges: of tensors, by name.
        layers: in whole numbers, by name.
    """

    ranges: Mapping[str, Range]
    layers: Mapping[str, Whole]


@dataclass(frozen=True, eq=False)
class Scheme:
    """What of a network is to be in whole numbers.

    Attributes:
        network: in float32.
        layers: those computed in int8.
        tensors: activations kept in uint8, in the order of the graph.
        same: tensors whose range is that of another one.
        rectified: an activation behind a layer that its range replaces: place of the node, and the
            tensor in front of it.
    """

    network: Network
    layers: tuple[Layer, ...]
    tensors: tuple[str, ...]
    same: Mapping[str, str] = field(default_factory=dict)
    rectified: Mapping[int, str] = field(default_factory=dict)


def scheme_of(network: Network, floats: Collection[str] = ()) -> Scheme:
    """Finds what can be in whole numbers.

    Layers that are not kept in float read and give uint8; so does what joins or moves such tensors.
    The scores are always float32.

    Args:
        network: in float32.
        floats: names of layers that stay in float32.
    """
    layers = {layer.node: layer for layer in network.layers if layer.name not in floats}
    tensors: dict[str, None] = {}
    same: dict[str, str] = {}
    rectified: dict[int, str] = {}
    for place, node in enumerate(network.nodes):
        is_layer = place in layers
        if is_layer:
            tensors[node.input[0]] = None
        elif node.op_type not in _PASSING or not _is_fed(node, tensors):
            continue
        result = node.output[0]
        if is_layer or node.op_type == "Add":
            after = network.rectifier(result)
            if after is not None:
                rectified[after] = result
                result = network.nodes[after].output[0]
        if result == network.output:
            continue
        tensors[result] = None
        if node.op_type in _SAME_RANGE:
            same[result] = same.get(node.input[0], node.input[0])
    return Scheme(network, tuple(layers.values()), tuple(tensors), same, rectified)


def _is_fed(node: onnx.NodeProto, tensors: Mapping[str, None]) -> bool:
    inputs = node.input[:1] if node.op_type in _FIRST_ONLY else node.input
    return all(name in tensors for name in inputs)


def quantised(scheme: Scheme, measured: Calibration) -> onnx.ModelProto:
    """The network with the layers of the scheme in int8.

    Args:
        scheme: what is to be in whole numbers.
        measured: on pictures, of its tensors and layers at least.
    """
    network, ranges = scheme.network, measured.ranges
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    graph = model.graph
    del graph.node[:]
    layers = {layer.node: layer for layer in scheme.layers}
    floats = {layer.node for layer in network.layers if layer.node not in layers}
    rectifiers = {source: place for place, source in scheme.rectified.items()}
    # A tensor in whole numbers is read from its DequantizeLinear.
    renamed = {name: f"{name}{DEQUANTISED}" for name in scheme.tensors}
    constants: dict[str, NDArray[np.generic]] = {}
    nodes: list[onnx.NodeProto] = []
    if network.input in renamed:
        nodes += _pair(network.input, ranges[network.input], constants)
    for place, original in enumerate(network.nodes):
        if place in scheme.rectified:
            continue
        node = onnx.NodeProto()
        node.CopyFrom(original)
        inputs = [renamed.get(name, name) for name in original.input]
        del node.input[:]
        node.input.extend(inputs)
        if place in layers:
            layer = layers[place]
            nodes += _weights(layer, measured.layers[layer.name], node, constants)
        elif place in floats and original.input[0] in renamed:
            nodes.append(_kept_apart(original, ranges[original.input[0]], constants))
            node.input[0] = nodes[-1].output[0]
        nodes.append(node)
        if node.output[0] in rectifiers:
            node.output[0] = network.nodes[rectifiers[node.output[0]]].output[0]
        for name in node.output:
            if name in renamed:
                nodes += _pair(name, ranges[name], constants)
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = {name: value for name, value in network.constants.items() if name in used}
    store(model, kept | constants, halved=kept if network.halved else ())
    return model


def _pair(
    name: str, span: Range, constants: dict[str, NDArray[np.generic]]
) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    scale, zero = f"{name}.scale", f"{name}.zero"
    constants[scale], constants[zero] = np.array(span.scale), np.array(span.zero)
    return (
        helper.make_node("QuantizeLinear", [name, scale, zero], [f"{name}.quantised"]),
        helper.make_node(
            "DequantizeLinear", [f"{name}.quantised", scale, zero], [f"{name}{DEQUANTISED}"]
        ),
    )


def _kept_apart(
    node: onnx.NodeProto, span: Range, constants: dict[str, NDArray[np.generic]]
) -> onnx.NodeProto:
    """Cuts the input of a float layer off at the ends of its range, which changes nothing.

    Else onnxruntime (seen with 1.32) would quantise the weights of every convolution between a
    DequantizeLinear and a QuantizeLinear by itself, with one scale for all channels.
    """
    steps = np.array([0, _LEVELS], np.float32) - np.float32(span.zero)
    names = [f"{node.output[0]}.{end}" for end in ("low", "high")]
    for name, value in zip(names, steps * span.scale, strict=True):
        constants[name] = np.array(value, np.float32)
    inputs = [f"{node.input[0]}{DEQUANTISED}", *names]
    return helper.make_node("Clip", inputs, [f"{node.output[0]}.input"])


def whole_layer(
    network: Network,
    layer: Layer,
    source: Range,
    means: NDArray[np.float64],
    moments: NDArray[np.float64] | None,
) -> Whole:
    """Puts weights and bias into whole numbers.

    What the rounded weights lose of the mean answer goes into the bias (Nagel et al., ICCV 2019,
    section 4.2).

    Args:
        network: in float32.
        layer: of it.
        source: the range of what it reads.
        means: of its N inputs in G groups, `[G, N]`.
        moments: likewise the mean products of any two, `[G, N, N]`; None: round to the nearest.
    """
    node = network.nodes[layer.node]
    weights = np.moveaxis(network.constants[node.input[1]], layer.axis, 0)
    rows = weights.reshape(len(weights), -1)
    bias = _bias(network, node)
    scales = weight_scales(rows)
    if bias is not None:
        # A channel of hardly any weight would leave no room for its bias.
        scales = np.maximum(scales, np.abs(bias) / (source.scale * _LARGEST_BIAS))
    whole = rounded(rows, scales, moments)
    steps = scales * source.scale
    value = None
    if bias is not None:
        lost = (rows - whole * scales[:, None]).reshape(len(means), -1, means.shape[1])
        shift = np.einsum("gon,gn->go", lost, means).reshape(-1)
        value = np.rint((bias + shift) / steps).astype(np.int32)
    shaped = np.moveaxis(whole.reshape(weights.shape), 0, layer.axis)
    return Whole(np.ascontiguousarray(shaped), scales, value, steps)


def _weights(
    layer: Layer, whole: Whole, node: onnx.NodeProto, constants: dict[str, NDArray[np.generic]]
) -> list[onnx.NodeProto]:
    """Lets a layer read its weights and its bias from whole numbers, and gives what turns them."""
    name = f"{layer.name}.weight.int8"
    made = [_from_whole(name, whole.weights, whole.scales, layer.axis, constants)]
    node.input[1] = made[0].output[0]
    if whole.bias is not None:
        name = f"{layer.name}.bias.int32"
        made.append(_from_whole(name, whole.bias, whole.bias_scales, 0, constants))
        node.input[2] = made[1].output[0]
    return made


def _bias(network: Network, node: onnx.NodeProto) -> NDArray[np.float32] | None:
    """The constant bias `[C]` of a layer that adds it as it is, if there is one."""
    if node.op_type == "MatMul" or len(node.input) < 3:
        return None
    factors = attributes(node)
    if factors.get("alpha", 1.0) != 1 or factors.get("beta", 1.0) != 1:
        return None
    bias = network.constants.get(node.input[2])
    return bias if bias is not None and bias.ndim == 1 else None


def _from_whole(
    name: str,
    whole: NDArray[np.generic],
    scales: NDArray[np.float32],
    axis: int,
    constants: dict[str, NDArray[np.generic]],
) -> onnx.NodeProto:
    constants[name], constants[f"{name}.scale"] = whole, scales
    inputs = [name, f"{name}.scale"]
    return helper.make_node("DequantizeLinear", inputs, [f"{name}{DEQUANTISED}"], axis=axis)
