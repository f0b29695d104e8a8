from __future__ import annotations

import importlib.util
import re
from dataclasses import replace

import numpy as np
import onnx
import pytest

from pixelwise.errors import (
    ExportRefusedError,
    MissingExtraError,
    ModelFileError,
    OutputError,
    UsageError,
)
from pixelwise.export.calibration import calibrate
from pixelwise.export.network import read_network
from pixelwise.export.onnx import write_card
from pixelwise.export.pictures import Pictures, network_inputs
from pixelwise.export.quantise import quantised, scheme_of
from pixelwise.export.run import Gate, export, let_out
from pixelwise.export.targets import TARGETS, target_of
from pixelwise.inference.card import Score
from pixelwise.inference.model_file import read_model
from pixelwise.inference.predictor import load

HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not HAS_OPENVINO, reason="openvino is not installed")


def smooth(seed):
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 7, 3), np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))


SAMPLES = Pictures("toys", ("a", "b"), smooth)
CALIBRATION = Pictures("others", ("c", "d", "e"), lambda place: smooth(10 + place))


@pytest.fixture
def original(tmp_path, convolutions, convolutions_card):
    card = convolutions_card.model_copy(
        update={"scores": (Score(metric="mIoU", value=0.5, protocol="toys"),)}
    )
    write_card(convolutions(), card, tmp_path / "toy.onnx")
    return read_model(tmp_path / "toy.onnx")


def exported(original, name, path, **options):
    return export(
        original,
        target_of(name),
        path,
        samples=SAMPLES,
        calibration=CALIBRATION if "int8" in name else None,
        threads=1,
        **options,
    )


def test_an_int8_export_passes_and_its_card_tells_the_verdict(original, tmp_path):
    result = exported(original, "onnx-int8", tmp_path / "new.onnx")
    file = read_model(tmp_path / "new.onnx")
    assert file.content == result.file.content
    card, verdict = file.card, file.card.verdict
    assert (card.storage, card.precision, card.engine) == ("int8", "int8", "onnxruntime")
    assert verdict == result.verdict
    assert verdict.target == "onnx-int8"
    assert verdict.original == original.sha256
    assert verdict.agreement == result.agreement.share > 0.97
    assert verdict.pictures == 4
    assert verdict.sizes == 2
    assert verdict.calibration == "others, 3 pictures"
    assert "original: onnxruntime cpu float32; export: onnxruntime cpu int8" in verdict.protocol
    assert card.scores[0].protocol == "toys; of the float32 original, before this export"
    seg = load(tmp_path / "new.onnx", threads=1).predict(smooth(0))
    assert seg.provenance.engine == "onnxruntime cpu int8"


@needs_openvino
@pytest.mark.parametrize(
    ("name", "precision", "runs_in"),
    [
        ("openvino", "float32", "openvino cpu float32"),
        ("openvino-int8", "int8", "openvino cpu int8"),
        ("bf16", "bf16", None),
    ],
)
def test_exports_for_openvino_run_in_it_and_say_their_precision(
    original, tmp_path, name, precision, runs_in
):
    exported(original, name, tmp_path / "new.onnx")
    model = load(tmp_path / "new.onnx", threads=1)
    assert (model.card.engine, model.card.precision) == ("openvino", precision)
    # Processors without bf16 compute it in float32, and it is said.
    assert model.engine in ({runs_in} if runs_in else {"openvino cpu bf16", "openvino cpu float32"})
    other = load(tmp_path / "new.onnx", engine="onnxruntime", threads=1)
    assert other.engine == f"onnxruntime cpu {'int8' if precision == 'int8' else 'float32'}"


def test_a_plain_export_is_the_network_without_what_training_needs(original, tmp_path):
    exported(original, "onnx", tmp_path / "new.onnx")
    file = read_model(tmp_path / "new.onnx")
    assert file.card.verdict.agreement == 1
    assert file.card.scores == original.card.scores
    assert [each.key for each in onnx.load_model_from_string(file.content).metadata_props] == [
        "pixelwise.card"
    ]


@pytest.mark.parametrize("layer", ["stem", "point"])
def test_a_ruined_layer_is_refused_and_named_and_nothing_is_written(original, tmp_path, layer):
    network = read_network(original.content, where="toy")
    rule = original.card.preprocessing
    measured = calibrate(scheme_of(network), lambda: network_inputs(CALIBRATION, rule), threads=1)
    whole = measured.layers[layer]
    broken = replace(
        measured, layers={**measured.layers, layer: replace(whole, scales=-whole.scales)}
    )
    model = quantised(scheme_of(network), broken)
    gate = Gate(SAMPLES, ("onnxruntime",), threads=1)
    with pytest.raises(ExportRefusedError, match="nothing was written") as caught:
        let_out(original, network, model, TARGETS["onnx-int8"], tmp_path / "new.onnx", gate=gate)
    got = caught.value.got
    assert f"worst layers: {layer} (" in got
    assert "worst picture: " in got
    assert "of the labels agree" in got
    assert not (tmp_path / "new.onnx").exists()


def test_a_quantised_export_needs_pictures(original, tmp_path):
    with pytest.raises(UsageError, match="pictures to measure ranges on"):
        export(original, target_of("onnx-int8"), tmp_path / "new.onnx", samples=SAMPLES, threads=1)


def test_an_export_for_an_engine_that_is_not_there_is_refused(original, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "openvino" else found(name, *rest),
    )
    with pytest.raises(MissingExtraError, match="is not installed") as caught:
        exported(original, "openvino-int8", tmp_path / "new.onnx")
    assert "pixelwise[openvino]" in caught.value.fix


def test_operators_too_old_for_eight_bits_are_refused(original, tmp_path):
    model = onnx.load_model_from_string(original.content)
    model.opset_import[0].version = 12
    del model.metadata_props[:]
    write_card(model.SerializeToString(), original.card, tmp_path / "old.onnx")
    with pytest.raises(ModelFileError, match="too old") as caught:
        exported(read_model(tmp_path / "old.onnx"), "onnx-int8", tmp_path / "new.onnx")
    assert "operator set 12" in caught.value.got


def test_a_file_that_cannot_be_written_is_told(original, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        exported(original, "onnx", tmp_path / "file" / "new.onnx")


def test_progress_is_told(original, tmp_path):
    seen = []
    exported(original, "onnx-int8", tmp_path / "new.onnx", progress=lambda *each: seen.append(each))
    assert ("calibrating", 6, 6) in seen
    assert ("comparing", 2, 2) in seen


def test_an_unknown_target_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="cannot be exported") as caught:
        target_of("onnx-int4")
    assert "did you mean onnx or onnx-int8" in caught.value.fix


@pytest.fixture
def several(tmp_path, convolutions, convolutions_card):
    """The same network, of classes that lie over each other."""
    card = convolutions_card.postprocessing.model_copy(update={"activation": "sigmoid"})
    card = convolutions_card.model_copy(update={"postprocessing": card})
    write_card(convolutions(), card, tmp_path / "several.onnx")
    return read_model(tmp_path / "several.onnx")


def test_of_classes_over_each_other_every_mask_is_compared(several, tmp_path):
    result = exported(several, "onnx", tmp_path / "new.onnx")
    assert result.verdict.agreement == 1
    assert load(tmp_path / "new.onnx", threads=1).is_multi_label
    # One class that is found everywhere leaves the others as they are: pixels do not agree.
    network = read_network(several.content, where="toy")
    broken = onnx.load_model_from_string(network.model.SerializeToString())
    head = broken.graph.node[-1]
    classes = len(several.card.classes)
    shift = np.zeros((1, classes, 1, 1), np.float32)
    shift[0, 0] = 1e3
    broken.graph.initializer.append(onnx.numpy_helper.from_array(shift, "shift"))
    given, head.output[0] = head.output[0], "before"
    broken.graph.node.append(onnx.helper.make_node("Add", ["before", "shift"], [given]))
    gate = Gate(SAMPLES, ("onnxruntime",), threads=1)
    with pytest.raises(ExportRefusedError, match="nothing was written") as caught:
        let_out(several, network, broken, TARGETS["onnx"], tmp_path / "bad.onnx", gate=gate)
    assert re.search("labels agree, at least .* must", caught.value.got)


def test_what_goes_by_one_label_per_pixel_is_refused_for_several(several, tmp_path):
    with pytest.raises(UsageError, match="any number of classes") as caught:
        exported(several, "onnx-int8", tmp_path / "new.onnx", data=lambda _: [])
    assert "onnx-int8" in caught.value.got
    assert "a data set" in caught.value.got
    assert not (tmp_path / "new.onnx").exists()
