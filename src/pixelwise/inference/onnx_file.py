"""Reads what must be known of an ONNX file before any engine sees it.

An ONNX file is one protocol-buffer message (onnx.proto3 of the ONNX project). This module walks
its wire format for the metadata, the input and output shapes, and references to files outside,
which are refused. It needs no ONNX package, and never trusts a length it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pixelwise.errors import ModelFileError

__all__ = ["OnnxFacts", "TensorFacts", "read_onnx", "replace_metadata", "with_metadata"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FLOAT32 = 1
_MAX_DEPTH = 32
_LARGEST_FIELD = 2**29 - 1

# Field numbers of onnx.proto3, by message.
_MODEL_GRAPH, _MODEL_OPSET, _MODEL_METADATA, _MODEL_FUNCTION = 7, 8, 14, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_SPARSE = 1, 5, 11, 12, 15
_NODE_ATTRIBUTE, _FUNCTION_NODE = 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES = 22, 23
_SPARSE_VALUES, _SPARSE_INDICES = 1, 2
_TENSOR_NAME, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 8, 13, 14


@dataclass(frozen=True)
class TensorFacts:
    """An input or output: its name, and its shape with None where a side is free."""

    name: str
    shape: tuple[int | None, ...]
    is_float32: bool


@dataclass(frozen=True)
class OnnxFacts:
    """What an ONNX file says of itself."""

    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    metadata: dict[str, str]


class _MalformedError(Exception):
    """The bytes are no protocol-buffer message."""


def read_onnx(content: bytes, *, where: str) -> OnnxFacts:
    """Reads inputs, outputs and metadata.

    Args:
        content: the whole file.
        where: the file's name, for messages.

    Raises:
        ModelFileError: the bytes are not a whole ONNX model, or refer to other files.
    """
    view = memoryview(content)
    try:
        facts, external = _read_model(view)
    except (_MalformedError, UnicodeDecodeError) as error:
        raise ModelFileError(
            "not a whole ONNX model",
            where=where,
            got=f"{len(content):,} bytes: {error}",
            fix="copy the file again; if it was never ONNX, export the model first",
        ) from None
    if external:
        raise ModelFileError(
            "the model refers to data in other files, which is refused",
            where=where,
            got=f"tensors stored outside: {', '.join(external[:5])}",
            fix="save the model as one file, with its weights inside",
        )
    return facts


def with_metadata(content: bytes, entries: dict[str, str]) -> bytes:
    """The same model with metadata entries added.

    Protocol buffers concatenate: a repeated field may follow at the end of the message.
    """
    added = b""
    for key, value in entries.items():
        entry = _field(1, key.encode()) + _field(2, value.encode())
        added += _field(_MODEL_METADATA, entry)
    return content + added


def replace_metadata(content: bytes, entries: dict[str, str]) -> bytes:
    """The same model with metadata entries in the place of those of the same keys, if any.

    Every other byte of the file stays as it is.

    Args:
        content: a model that `read_onnx` takes.
        entries: by key.
    """
    view = memoryview(content)
    kept: list[memoryview] = []
    begin = 0
    for number, value, end in _spans(view):
        is_old = (
            number == _MODEL_METADATA
            and isinstance(value, memoryview)
            and {key: bytes(part) for key, part in _byte_fields(value)}.get(1, b"").decode()
            in entries
        )
        if not is_old:
            kept.append(view[begin:end])
        begin = end
    return with_metadata(b"".join(kept), entries)


def _read_model(view: memoryview) -> tuple[OnnxFacts, list[str]]:
    graphs: list[memoryview] = []
    metadata: dict[str, str] = {}
    external: list[str] = []
    has_opset = False
    for number, value in _byte_fields(view):
        if number == _MODEL_GRAPH:
            graphs.append(value)
        elif number == _MODEL_METADATA:
            entry = {key: bytes(part).decode() for key, part in _byte_fields(value)}
            metadata[entry.get(1, "")] = entry.get(2, "")
        elif number == _MODEL_OPSET:
            has_opset = True
        elif number == _MODEL_FUNCTION:
            external += _external_in_nodes(value, _FUNCTION_NODE, 0)
    if len(graphs) != 1 or not has_opset:
        raise _MalformedError(f"{len(graphs)} graphs inside, operator set: {has_opset}")
    inputs, outputs = _read_graph(graphs[0])
    external += _external_in_graph(graphs[0], 0)
    return OnnxFacts(inputs, outputs, metadata), external


def _read_graph(graph: memoryview) -> tuple[tuple[TensorFacts, ...], tuple[TensorFacts, ...]]:
    """Inputs and outputs."""
    initializers = set()
    inputs, outputs = [], []
    for number, value in _byte_fields(graph):
        if number == _GRAPH_INITIALIZER:
            initializers.add(_name_of(value))
        elif number == _GRAPH_INPUT:
            inputs.append(_read_value_info(value))
        elif number == _GRAPH_OUTPUT:
            outputs.append(_read_value_info(value))
    # Old exporters list the weights among the inputs.
    given = tuple(tensor for tensor in inputs if tensor.name not in initializers)
    return given, tuple(outputs)


def _read_value_info(view: memoryview) -> TensorFacts:
    name, element = "", 0
    shape: list[int | None] = []
    for number, value in _byte_fields(view):
        if number == 1:
            name = bytes(value).decode()
        elif number == 2:
            for _, tensor_type in (field for field in _byte_fields(value) if field[0] == 1):
                for key, part in _fields(tensor_type):
                    if key == 1 and isinstance(part, int):
                        element = part
                    elif key == 2 and isinstance(part, memoryview):
                        shape = [_read_side(side) for key, side in _byte_fields(part) if key == 1]
    return TensorFacts(name, tuple(shape), element == _FLOAT32)


def _read_side(view: memoryview) -> int | None:
    for number, value in _fields(view):
        if number == 1 and isinstance(value, int):
            return value if value > 0 else None
    return None


def _external_in_graph(view: memoryview, depth: int) -> list[str]:
    found = _external_in_nodes(view, _GRAPH_NODE, depth)
    for number, value in _byte_fields(view):
        if number == _GRAPH_INITIALIZER:
            found += _external_tensor(value)
        elif number == _GRAPH_SPARSE:
            found += _external_sparse(value)
    return found


def _external_in_nodes(view: memoryview, node_field: int, depth: int) -> list[str]:
    if depth > _MAX_DEPTH:
        raise _MalformedError("graphs are nested too deeply")
    found: list[str] = []
    for number, node in _byte_fields(view):
        if number != node_field:
            continue
        for key, attribute in _byte_fields(node):
            if key != _NODE_ATTRIBUTE:
                continue
            for part, value in _byte_fields(attribute):
                if part in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                    found += _external_tensor(value)
                elif part in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                    found += _external_in_graph(value, depth + 1)
                elif part in (_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES):
                    found += _external_sparse(value)
    return found


def _external_sparse(view: memoryview) -> list[str]:
    return [
        name
        for number, value in _byte_fields(view)
        if number in (_SPARSE_VALUES, _SPARSE_INDICES)
        for name in _external_tensor(value)
    ]


def _external_tensor(view: memoryview) -> list[str]:
    for number, value in _fields(view):
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value == 1):
            return [_name_of(view) or "unnamed"]
    return []


def _name_of(view: memoryview) -> str:
    for number, value in _byte_fields(view):
        if number == _TENSOR_NAME:
            return bytes(value).decode()
    return ""


def _byte_fields(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    for number, value in _fields(view):
        if isinstance(value, memoryview):
            yield number, value


def _fields(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    for number, value, _ in _spans(view):
        yield number, value


def _spans(view: memoryview) -> Iterator[tuple[int, int | memoryview, int]]:
    """Number and value of each field, and where it ends."""
    position, end = 0, len(view)
    while position < end:
        key, position = _varint(view, position)
        number, kind = key >> 3, key & 7
        # Readers that keep 32 bits of a key would see another field in a larger one.
        if not 0 < number <= _LARGEST_FIELD:
            raise _MalformedError(f"field number {number} at byte {position}")
        if kind == _VARINT:
            value, position = _varint(view, position)
            yield number, value, position
            continue
        if kind == _BYTES:
            length, position = _varint(view, position)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise _MalformedError(f"unknown wire type {kind} at byte {position}")
        if length > end - position:
            raise _MalformedError("the file ends early")
        position += length
        yield number, view[position - length : position], position


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(view):
            raise _MalformedError("the file ends early")
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _MalformedError(f"a number of more than ten bytes at byte {position}")


def _field(number: int, content: bytes) -> bytes:
    return _encode_varint(number << 3 | _BYTES) + _encode_varint(len(content)) + content


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
