"""What the export has to know of an ONNX network: layers, float32 weights, tensors."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pixelwise.errors import ModelFileError

__all__ = [
    "DEQUANTISED",
    "RECTIFIERS",
    "Layer",
    "Network",
    "attributes",
    "read_network",
    "runner",
    "store",
    "stored_model",
    "with_outputs",
]

DEQUANTISED = ".dequantised"
"""How the names of tensors end that were in whole numbers."""

RECTIFIERS = ("Clip", "Relu")
"""Activations that a range from 0 on can replace."""

_QUANTISED = ("DequantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger", "QLinearMatMul")
_WEIGHT_RANKS = {"Conv": 4, "Gemm": 2, "MatMul": 2}
_SMALLEST_HALVED = 1024
_WEIGHT_ENDINGS = (".float16", ".weight")


@dataclass(frozen=True)
class Layer:
    """A node that multiplies by constant weights.

    Attributes:
        name: of the weights, without their ending: what a torch module is called.
        node: place in the graph.
        axis: of the output channels in the weights.
    """

    name: str
    node: int
    axis: int


@dataclass(frozen=True, eq=False)
class Network:
    """An ONNX network whose stored weights are float32; not to be written to.

    Attributes:
        model: without metadata.
        halved: whether large weights were stored as float16.
    """

    model: onnx.ModelProto
    halved: bool

    @cached_property
    def nodes(self) -> Sequence[onnx.NodeProto]:
        """In an order in which they can be run."""
        return list(self.model.graph.node)

    @property
    def input(self) -> str:
        """Name of the picture's tensor."""
        return next(
            str(each.name) for each in self.model.graph.input if each.name not in self.constants
        )

    @property
    def output(self) -> str:
        """Name of the scores' tensor."""
        return str(self.model.graph.output[0].name)

    @property
    def opset(self) -> int:
        """Version of the operators."""
        return max((each.version for each in self.model.opset_import if not each.domain), default=0)

    @cached_property
    def constants(self) -> Mapping[str, NDArray[Any]]:
        """The stored tensors by name."""
        return {each.name: numpy_helper.to_array(each) for each in self.model.graph.initializer}

    @cached_property
    def readers(self) -> Mapping[str, Sequence[int]]:
        """The places of the nodes that read a tensor."""
        found: dict[str, list[int]] = {}
        for place, node in enumerate(self.model.graph.node):
            for name in dict.fromkeys(node.input):
                found.setdefault(name, []).append(place)
        return found

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Convolutions and matrix products with constant weights, in the order of the graph."""
        found: list[Layer] = []
        taken: set[str] = set()
        for place, node in enumerate(self.model.graph.node):
            rank = _WEIGHT_RANKS.get(node.op_type)
            weights = self.constants.get(node.input[1]) if len(node.input) > 1 else None
            if weights is None or weights.dtype != np.float32 or weights.ndim != rank:
                continue
            if attributes(node).get("transA", 0):
                continue
            name = node.input[1]
            for ending in _WEIGHT_ENDINGS:
                name = name.removesuffix(ending)
            # Two nodes may share their weights.
            name = name if name not in taken else f"{name} ({node.output[0]})"
            taken.add(name)
            found.append(Layer(name, place, _axis(node)))
        return tuple(found)

    def rectifier(self, name: str) -> int | None:
        """The place of the node after a tensor, if it alone reads it and cuts off from 0 on."""
        readers = self.readers.get(name, ())
        if len(readers) != 1 or name == self.output:
            return None
        node = self.nodes[readers[0]]
        if node.op_type not in RECTIFIERS or node.output[0] == self.output:
            return None
        if node.op_type == "Clip":
            low = self.constants.get(node.input[1]) if len(node.input) > 1 else None
            if low is None or float(low) != 0:
                return None
        return readers[0]

    def result_of(self, layer: Layer) -> str:
        """The tensor that a layer gives, a rectifier behind it counted to it."""
        result = str(self.nodes[layer.node].output[0])
        after = self.rectifier(result)
        return result if after is None else str(self.nodes[after].output[0])


def _axis(node: onnx.NodeProto) -> int:
    is_row = node.op_type == "Conv" or attributes(node).get("transB", 0)
    return 0 if is_row else 1


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node by name."""
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def read_network(content: bytes, *, where: str) -> Network:
    """The network of a model file, without card and other metadata.

    Args:
        content: of the file.
        where: its name, for messages.

    Raises:
        ModelFileError: it cannot be read, is quantised already, or holds weights that are not
            finite.
    """
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise ModelFileError(
            "the network cannot be read", where=where, got=str(error), fix="export it again"
        ) from None
    kinds = {node.op_type for node in model.graph.node}
    if found := sorted(kinds.intersection(_QUANTISED)):
        raise ModelFileError(
            "this model is quantised already",
            where=where,
            got=f"a network with {', '.join(found)}",
            fix="give the float model that it was made from",
        )
    del model.metadata_props[:]
    halved = _widen(model)
    network = Network(model, halved)
    if broken := [
        name
        for name, value in network.constants.items()
        if value.dtype.kind == "f" and not np.isfinite(value).all()
    ]:
        raise ModelFileError(
            "weights are not finite",
            where=where,
            got=", ".join(broken[:5]) + (" …" if len(broken) > 5 else ""),
            fix="train or convert the model again; it cannot give right answers",
        )
    return network


def _widen(model: onnx.ModelProto) -> bool:
    """Turns weights stored as float16 and cast on load into float32; tells whether any were."""
    graph = model.graph
    halves = {
        each.name: each for each in graph.initializer if each.data_type == TensorProto.FLOAT16
    }
    wide, kept = [], []
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in halves:
            values = numpy_helper.to_array(halves[node.input[0]]).astype(np.float32)
            wide.append(numpy_helper.from_array(values, node.output[0]))
        else:
            kept.append(node)
    if not wide:
        return False
    used = {name for node in kept for name in node.input}
    rest = [each for each in graph.initializer if each.name not in halves or each.name in used]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend([*rest, *wide])
    graph.node.extend(kept)
    return True


def stored_model(network: Network) -> onnx.ModelProto:
    """The network with its weights stored as they were before."""
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    store(model, network.constants, halved=network.constants if network.halved else ())
    return model


def store(
    model: onnx.ModelProto, constants: Mapping[str, NDArray[Any]], *, halved: Collection[str] = ()
) -> None:
    """Puts constants into a model, in the place of those that it has.

    Args:
        model: is changed.
        constants: by name.
        halved: names of those that are stored as float16 and widened on load if they are large.
    """
    kept, casts = [], []
    for name, value in constants.items():
        is_large = value.dtype == np.float32 and value.size >= _SMALLEST_HALVED
        if is_large and name in halved:
            half = f"{name}.float16"
            kept.append(numpy_helper.from_array(value.astype(np.float16), half))
            casts.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
        else:
            kept.append(numpy_helper.from_array(value, name))
    nodes = list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend([*casts, *nodes])


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model with more of its tensors to look at."""
    more = onnx.ModelProto()
    more.CopyFrom(model)
    present = {each.name for each in (*more.graph.output, *more.graph.input)}
    more.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in names
        if name not in present
    )
    return more


def runner(model: onnx.ModelProto, *, threads: int = 0, plain: bool = False) -> Any:
    """An onnxruntime session of a network.

    Args:
        model: the network.
        threads: cores to use; 0 means all.
        plain: whether every node is run as it stands, so that every tensor can be looked at.

    Raises:
        Exception: whatever onnxruntime raises on a network it refuses.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
