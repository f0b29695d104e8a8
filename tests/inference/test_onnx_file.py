from __future__ import annotations

import contextlib

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from pixelwise.errors import ModelFileError
from pixelwise.inference.onnx_file import (
    TensorFacts,
    read_onnx,
    replace_metadata,
    with_metadata,
)

FLOAT32 = TensorProto.FLOAT


@pytest.fixture(scope="module")
def content(pointwise):
    return with_metadata(pointwise(classes=4), {"a": "b"})


def read(content):
    return read_onnx(content, where="file.onnx")


def outside(name="weights", where="weights.bin"):
    """A tensor whose values lie in another file."""
    tensor = TensorProto(name=name, data_type=FLOAT32, dims=[2], data_location=1)
    tensor.external_data.add(key="location", value=where)
    return tensor


def sparse(values, indices):
    return onnx.SparseTensorProto(values=values, indices=indices, dims=[9])


def model_of(nodes, **others):
    values = [helper.make_tensor_value_info(name, FLOAT32, [2]) for name in ("x", "y")]
    return helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:], **others))


def branch_of(nodes):
    return helper.make_graph(nodes, "g", [], [helper.make_tensor_value_info("y", FLOAT32, [2])])


def constant(value, attribute="value"):
    node = helper.make_node("Constant", [], ["y"])
    node.attribute.append(helper.make_attribute(attribute, value))
    return node


def in_branches(node, depth):
    for _ in range(depth):
        node = helper.make_node("If", ["x"], ["y"], then_branch=branch_of([node]))
    return node


def in_function(node):
    model = model_of([helper.make_node("F", ["x"], ["y"], domain="d")])
    model.functions.append(
        helper.make_function("d", "F", ["x"], ["y"], [node], [helper.make_opsetid("", 13)])
    )
    return model


def test_reads_inputs_outputs_and_metadata(content):
    facts = read(content)
    assert facts.inputs == (TensorFacts("image", (None, 3, None, None), is_float32=True),)
    assert facts.outputs == (TensorFacts("logits", (None, 4, None, None), is_float32=True),)
    assert facts.metadata == {"a": "b"}


def test_weights_listed_among_the_inputs_are_no_inputs():
    weights = numpy_helper.from_array(np.zeros(2, np.float32), "w")
    model = model_of([helper.make_node("Add", ["x", "w"], ["y"])], initializer=[weights])
    model.graph.input.append(helper.make_tensor_value_info("w", FLOAT32, [2]))
    assert [tensor.name for tensor in read(model.SerializeToString()).inputs] == ["x"]


def test_other_types_than_float32_are_seen():
    model = model_of([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.UINT8)])
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    facts = read(model.SerializeToString())
    assert facts.inputs[0].is_float32
    assert not facts.outputs[0].is_float32


def test_metadata_is_what_onnx_reads(content):
    entries = {"pixelwise.card": "{}" * 5000, "ключ": "значение ☂"}
    model = onnx.load_model_from_string(with_metadata(content, entries))
    onnx.checker.check_model(model)
    assert {prop.key: prop.value for prop in model.metadata_props} == {"a": "b"} | entries
    del model.metadata_props[1:]
    assert model == onnx.load_model_from_string(content)
    assert read(with_metadata(content, entries)).metadata == {"a": "b"} | entries


def test_metadata_is_replaced_and_nothing_else_changes(content):
    twice = with_metadata(with_metadata(content, {"b": "c", "k": "old"}), {"k": "older"})
    replaced = replace_metadata(twice, {"k": "new", "l": "☂"})
    model = onnx.load_model_from_string(replaced)
    onnx.checker.check_model(model)
    pairs = [(prop.key, prop.value) for prop in model.metadata_props]
    assert pairs == [("a", "b"), ("b", "c"), ("k", "new"), ("l", "☂")]
    del model.metadata_props[1:]
    assert model == onnx.load_model_from_string(content)
    assert replace_metadata(replaced, {"k": "new", "l": "☂"}) == replaced
    assert replace_metadata(content, {"z": "1"}) == with_metadata(content, {"z": "1"})


def test_a_later_entry_of_one_key_counts(content):
    assert read(with_metadata(content, {"a": "new"})).metadata == {"a": "new"}


EXTERNAL = {
    "initialiser": model_of([constant(outside("c"))], initializer=[outside()]),
    "sparse initialiser": model_of(
        [], sparse_initializer=[sparse(outside("values"), TensorProto())]
    ),
    "attribute": model_of([constant(outside())]),
    "list of tensors": model_of([constant([TensorProto(), outside()])]),
    "sparse attribute": model_of(
        [constant(sparse(TensorProto(), outside("indices")), "sparse_value")]
    ),
    "branch": model_of([in_branches(constant(outside()), 1)]),
    "branch of a branch": model_of([in_branches(constant(outside()), 3)]),
    "function": in_function(constant(outside())),
    "branch in a function": in_function(in_branches(constant(outside()), 2)),
}


@pytest.mark.parametrize("model", EXTERNAL.values(), ids=EXTERNAL)
def test_data_in_other_files_is_refused(model):
    with pytest.raises(ModelFileError, match="other files") as caught:
        read(model.SerializeToString())
    assert caught.value.where == "file.onnx"
    assert "tensors stored outside: " in caught.value.got


@pytest.mark.parametrize("part", ["location", "entries"])
def test_one_of_the_two_marks_of_external_data_is_enough(part):
    tensor = outside("w")
    tensor.ClearField("external_data" if part == "location" else "data_location")
    with pytest.raises(ModelFileError, match="other files"):
        read(model_of([constant(tensor)]).SerializeToString())


def test_a_key_that_others_would_cut_to_32_bits_is_refused():
    """Field 13 + 2^29 is field 13, external data, for a reader that drops the upper bits."""
    for key in (b"\x6a", b"\xea\x80\x80\x80\x10"):
        tensor = key + with_length(13, b"location")[1:]
        with pytest.raises(ModelFileError):
            read(with_length(7, with_length(5, tensor)) + with_length(8, b""))


def nested(depth):
    """A model of graphs in attributes of nodes of graphs, deeper than other readers go."""
    graph = b""
    for _ in range(depth):
        for number in (6, 5, 1):
            graph = with_length(number, graph)
    return with_length(7, graph) + with_length(8, b"")


def with_length(number, content):
    length = len(content)
    digits = [length >> shift & 0x7F | 0x80 for shift in (0, 7)] + [length >> 14]
    return bytes([number << 3 | 2, *digits]) + content


def test_nesting_has_an_end():
    assert read(nested(20)).metadata == {}
    with pytest.raises(ModelFileError, match="not a whole ONNX model") as caught:
        read(nested(1500))
    assert "nested too deeply" in caught.value.got


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"\xff" * 40,
        b"hello world",
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        b"PK\x03\x04" + bytes(100),
        b"\x08\x08",
        bytes([7 << 3 | 2]) + b"\xff" * 9 + b"\x01",
    ],
)
def test_what_is_no_model_is_refused(content):
    with pytest.raises(ModelFileError, match="not a whole ONNX model") as caught:
        read(content)
    assert caught.value.where == "file.onnx"
    assert f"{len(content):,} bytes" in caught.value.got


def test_two_graphs_are_refused(content):
    with pytest.raises(ModelFileError) as caught:
        read(content + content)
    assert "2 graphs" in caught.value.got


def is_whole(content):
    try:
        read(content)
    except ModelFileError:
        return False
    return True


def test_no_cut_file_passes_but_one_that_lost_its_metadata_whole(content, pointwise):
    whole = [length for length in range(len(content)) if is_whole(content[:length])]
    assert whole == [len(pointwise(classes=4))]


@settings(max_examples=300)
@given(st.data())
def test_damaged_files_give_facts_or_the_one_error(content, data):
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        facts = read(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    except ModelFileError:
        return
    assert all(isinstance(tensor.name, str) for tensor in facts.inputs)


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_give_facts_or_the_one_error(content):
    with contextlib.suppress(ModelFileError):
        read(content)
