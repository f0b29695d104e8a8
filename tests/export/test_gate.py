from __future__ import annotations

import numpy as np
import onnx
import pytest

from pixelwise.export.calibration import calibrate
from pixelwise.export.gate import (
    Agreement,
    Compared,
    Limits,
    agreement_of,
    blame,
    faults_of,
)
from pixelwise.export.network import read_network
from pixelwise.export.pictures import Pictures
from pixelwise.export.quantise import quantised, scheme_of
from pixelwise.export.sensitivity import search
from pixelwise.inference.card import Drop, Postprocessing
from pixelwise.inference.predictor import load


def inputs(count=2):
    random = np.random.default_rng(3)
    for _ in range(count):
        yield np.kron(
            random.uniform(-1, 1, (1, 3, 5, 6)).astype(np.float32),
            np.ones((1, 1, 7, 7), np.float32),
        )[..., :33, :41]


@pytest.fixture(scope="module")
def network(convolutions):
    return read_network(convolutions(), where="toy")


@pytest.fixture(scope="module")
def measured(network):
    return calibrate(scheme_of(network), inputs, threads=1)


def ruined(model, layer):
    """The network with another scale for the weights of one layer."""
    broken = onnx.ModelProto()
    broken.CopyFrom(model)
    for tensor in broken.graph.initializer:
        if tensor.name == f"{layer}.weight.int8.scale":
            wrong = onnx.numpy_helper.to_array(tensor) * np.float32(-3)
            tensor.CopyFrom(onnx.numpy_helper.from_array(wrong, tensor.name))
    return broken


@pytest.mark.parametrize("layer", ["stem", "depthwise", "point", "head"])
def test_the_layer_that_is_ruined_is_blamed(network, measured, layer):
    model = quantised(scheme_of(network), measured)
    first, *others = blame(network, ruined(model, layer), next(iter(inputs())))
    assert first.layer == layer
    assert first.after > 0.5 > first.before
    assert len(others) == 3


def test_no_layer_is_to_blame_where_nothing_is_wrong(network, measured):
    model = quantised(scheme_of(network), measured)
    assert all(each.after < 0.05 for each in blame(network, model, next(iter(inputs()))))
    same = blame(network, network.model, next(iter(inputs())))
    assert all(each.after == 0 for each in same)


def test_layers_that_bear_it_worst_are_left_in_float(network, measured):
    found = search(network, measured, [*inputs()], least=0.999_999)
    assert len(found.sensitivities) == 4
    errors = [each.error for each in found.sensitivities]
    assert errors == sorted(errors, reverse=True)
    assert found.floats == tuple(each.layer for each in found.sensitivities[: len(found.floats)])
    easy = search(network, measured, [*inputs()], least=0.5)
    assert (easy.floats, easy.sensitivities) == ((), ())
    assert found.agreement >= easy.agreement


def test_pictures_are_compared_whole_and_in_part_at_odd_sizes(make_model):
    model = load(make_model(), engine="onnxruntime", threads=1)
    random = np.random.default_rng(0)
    given = [random.integers(0, 256, (20, 31, 3), np.uint8), np.zeros((9, 8, 3), np.uint8)]
    found = agreement_of(model, [model], Pictures("toys", ("a", "b"), lambda place: given[place]))
    assert [each.size for each in found.pictures] == [(19, 31), (13, 23), (9, 7), (5, 5)]
    assert found.share == 1
    assert found.score_error == 0
    assert found.score_spread > 0


def compared(name, agreement, error=0.1, size=(10, 10)):
    return Compared(name, size, agreement, error, -1.0, 1.0)


def test_shares_are_of_pixels_and_the_worst_picture_is_the_worst():
    found = Agreement((compared("a", 1.0, size=(10, 30)), compared("b", 0.6)))
    assert found.share == pytest.approx(0.9)
    assert found.worst.name == "b"
    assert found.score_spread == 2


def test_each_limit_is_kept():
    limits = Limits(agreement=0.9, worst=0.8, score_error=0.1, drop=0.3)

    def faults(*pictures, drop=None, accepted=False):
        return faults_of(Agreement(pictures), drop, limits, accepted=accepted)

    assert faults(compared("a", 0.95)) == []
    (fault,) = faults(compared("a", 0.95), compared("b", 0.79, size=(2, 2)))
    assert "79.00 % of the labels agree in b" in fault
    (fault,) = faults(compared("a", 0.89))
    assert "89.00 % of the labels agree, at least 90.00 %" in fault
    (fault,) = faults(compared("a", 0.95, error=0.5))
    assert "25.00 % of their spread" in fault
    lost = Drop(before=0.744, after=0.74, low=-0.006, high=-0.002, protocol="toys")
    (fault,) = faults(compared("a", 0.95), drop=lost)
    assert "difference -0.40 (95 % interval -0.60 to -0.20)" in fault
    # Who sets the limit himself lets the data decide alone.
    assert len(faults(compared("a", 0.1), drop=lost, accepted=True)) == 1
    won = lost.model_copy(update={"after": 0.75})
    assert faults(compared("a", 0.1), drop=won, accepted=True) == []
    assert faults(compared("a", 0.1), accepted=True) != []


def test_of_several_classes_per_pixel_all_must_agree(make_model, pointwise, make_card):
    card = make_card(postprocessing=Postprocessing(alignment="half_pixel", activation="sigmoid"))
    weights = np.eye(4, 3, dtype=np.float32) / 16
    original, exported = (
        load(
            make_model(f"{number}.onnx", network=pointwise(weights, bias), card=card),
            engine="onnxruntime",
        )
        for number, bias in enumerate(np.array([[-8, -8, -8, -8], [-8, -8, 99, -8]], np.float32))
    )
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    pictures = Pictures("toys", ("a",), lambda _: picture)
    assert agreement_of(original, [original], pictures).share == 1
    found = agreement_of(original, [original, exported], pictures)
    assert found.share == pytest.approx(0.5, abs=0.05)
    assert found.score_error == pytest.approx(107)
