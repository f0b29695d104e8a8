from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from pixelwise.errors import OutputError, UsageError, WeightsError
from pixelwise.models.build import build
from pixelwise.models.checkpoint import (
    load_tensors,
    save_weights,
    saved_class_names,
    transformers_class_names,
)

ROAD = ("road", "grass", "sky")


def network(classes=ROAD):
    return build("lraspp", classes=classes, encoder="test_resnet", decoder_channels=8)


def refused(network, tensors, **facts):
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_tensors(network, tensors, where="a.safetensors", **facts)
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())
    assert caught.value.where == "a.safetensors"
    return [line.split(None, 1) for line in caught.value.got.splitlines()]


def test_a_saved_network_comes_back(tmp_path):
    saved, path = network(), tmp_path / "network.safetensors"
    save_weights(saved, path)
    loaded = build("lraspp", classes=ROAD, encoder="test_resnet", decoder_channels=8, weights=path)
    for key, tensor in saved.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[key])
    assert saved_class_names(path) == ROAD


def test_saving_where_nothing_can_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        save_weights(network(), tmp_path / "file" / "network.safetensors")


def test_every_difference_is_listed_and_nothing_is_loaded():
    tensors = dict(network().state_dict())
    tensors["a.stranger"] = tensors.pop("encoder.body.conv1.0.weight")
    tensors["encoder.body.bn1.weight"] = torch.zeros(7)
    rows = refused(network(), tensors)
    width = network().state_dict()["encoder.body.bn1.weight"].shape[0]
    assert rows == [
        ["missing", "encoder.body.conv1.0.weight"],
        ["unexpected", "a.stranger"],
        ["other", f"shape  encoder.body.bn1.weight: (7,), expected ({width},)"],
    ]


def test_a_long_list_is_cut():
    rows = refused(network(), {})
    assert len(rows) == 9
    missed = [key for key in network().state_dict() if not key.endswith("num_batches_tracked")]
    assert rows[-1] == ["missing", f"… {len(missed) - 8} more"]


def test_other_class_names_are_refused_even_where_all_shapes_fit():
    rows = refused(network(), network().state_dict(), class_names=("road", "sky", "grass"))
    assert [row[1] for row in rows] == [
        "class  1: 'sky', expected 'grass'",
        "class  2: 'grass', expected 'sky'",
    ]


def test_a_class_too_many_is_named():
    rows = refused(network(), network().state_dict(), class_names=(*ROAD, "tree"))
    assert rows == [["other", "class  3: 'tree', expected ''"]]


def test_names_are_compared_only_where_both_sides_have_them():
    load_tensors(network(3), network().state_dict(), where="", class_names=("a", "b", "c"))
    load_tensors(network(), network().state_dict(), where="")


def test_a_network_keeps_its_precision():
    half = network().half()
    load_tensors(half, network().state_dict(), where="")
    assert half.deep_head.weight.dtype == torch.float16


def test_names_of_a_transformers_folder_are_found(tmp_path):
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    names = {"0": "road", "10": "sky", "2": "grass"}
    (tmp_path / "config.json").write_text(json.dumps({"id2label": names}))
    assert transformers_class_names(tmp_path / "model.safetensors") == ("road", "grass", "sky")


def test_a_config_in_no_encoding_has_no_names(tmp_path):
    (tmp_path / "config.json").write_bytes(b'{"id2label": {"0": "\xff\xfe"}}')
    assert transformers_class_names(tmp_path / "model.safetensors") == ()


@pytest.mark.parametrize(
    "config",
    [
        None,
        "{",
        "[]",
        "{}",
        '{"id2label": 3}',
        '{"id2label": {"a": 1}}',
        '{"id2label": {"0": 1}}',
        '{"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}',
    ],
)
def test_a_folder_without_names_has_none(tmp_path, config):
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    assert transformers_class_names(tmp_path / "model.safetensors") == ()


@pytest.mark.parametrize("stored", ["not json", "3", "null", "[1]", None])
def test_metadata_of_others_gives_no_names(tmp_path, stored):
    metadata = None if stored is None else {"class_names": stored}
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors", metadata)
    assert saved_class_names(tmp_path / "model.safetensors") == ()


def test_names_are_kept_under_any_file_name(tmp_path):
    save_weights(network(), str(tmp_path / "network.weights"))
    assert saved_class_names(tmp_path / "network.weights") == ROAD


def test_a_wrapped_network_is_not_saved(tmp_path):
    with pytest.raises(UsageError, match="only networks of pixelwise"):
        save_weights(torch.compile(network()), tmp_path / "network.safetensors")


def test_names_may_differ_in_case():
    load_tensors(network(), network().state_dict(), where="", class_names=("Road", "grass", "SKY"))


def test_counters_of_normalisation_may_be_missing():
    tensors = {
        key: tensor + 1
        for key, tensor in network().state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    loaded = network()
    load_tensors(loaded, tensors, where="")
    assert torch.equal(loaded.deep_head.weight, tensors["deep_head.weight"])


@pytest.mark.parametrize(
    "change",
    [
        lambda tensor: tensor.to_sparse(),
        lambda tensor: tensor.to("meta"),
        lambda tensor: tensor.to(torch.int8),
        lambda tensor: tensor > 0,
        lambda tensor: tensor.to(torch.complex64),
    ],
)
def test_tensors_that_are_no_weights_are_refused(change):
    tensors = dict(network().state_dict())
    tensors["deep_head.weight"] = change(tensors["deep_head.weight"])
    (row,) = refused(network(), tensors)
    assert "deep_head.weight" in row[1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted(dtype):
    tensors = {
        key: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for key, tensor in network().state_dict().items()
    }
    loaded = network()
    load_tensors(loaded, tensors, where="")
    assert loaded.deep_head.weight.dtype == torch.float32
