"""Classes that lie over each other: from the data to a scored file, and on after a kill."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

import pixelwise as pw
from pixelwise.data import MultiLabelTarget
from pixelwise.errors import DatasetError, UsageError
from pixelwise.geometry import Geometry
from pixelwise.kernels import Axis
from pixelwise.models.network import NetworkConfig, SegmentationNetwork
from pixelwise.multi_label import MultiLabelSegmentation
from pixelwise.segmentation import Provenance
from pixelwise.training.distributed import World
from pixelwise.training.finish import finish
from pixelwise.training.multi_label import (
    LOSS,
    decoded_layers,
    foreground,
    layer_counts,
    layer_scores,
    layer_values,
    settled,
)
from pixelwise.training.plan import make_plan, write_plan
from pixelwise.training.run import choose_plan
from pixelwise.training.run_folder import RunFolder
from pixelwise.training.scoring import score
from pixelwise.training.setup import (
    bring_together,
    check_names,
    open_sources,
    prepare_training,
)
from pixelwise.training.splits import draw_splits
from pixelwise.training.trainer import Trainer

ALONE = World(0, 1, 0, torch.device("cpu"), "none")
NAMES = ("disc", "square")
CHOICES = {
    "kind": "multi_label",
    "loss": LOSS,
    "class_weights": "sqrt-inverse",
    "encoder": "test_efficientnet",
    "encoder_weights": None,
    "network": {"decoder_channels": [8, 8, 8, 8]},
    "crop": [32, 32],
    "augmentation": "light",
    "epochs": 6,
    "batch": 2,
    "workers": 0,
    "warmup_steps": 0,
    "learning_rate": 0.1,
    "encoder_rate": 1.0,
    "average_decay": 0.0,
    "freeze_encoder_norm": False,
    "checkpoint_seconds": 0.0,
    "log_every": 1,
    "aim": 0.5,
}


class Tiny(SegmentationNetwork):
    """Two convolutions, scores at half the size; of no architecture that a user can name."""

    output_stride = 2

    def __init__(self):
        super().__init__()
        self.config = NetworkConfig(classes=2, class_names=NAMES)
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Tanh())
        self.encoder.strides = (2,)
        self.head = nn.Conv2d(8, 2, 3, 1, 1)

    def forward(self, image):
        return self.head(self.encoder(image))

    def all_logits(self, image):
        logits = self(image)
        return (logits, logits[..., ::2, ::2])


def write_pictures(root, *, pictures=6, seed=0):
    """Discs that shine red and squares that shine green, one over the other."""
    random = np.random.default_rng(seed)
    down, across = np.mgrid[:32, :40]
    for split, count in (("train", pictures), ("val", 2)):
        (root / "images" / split).mkdir(parents=True)
        for name in NAMES:
            (root / "masks" / split / name).mkdir(parents=True)
        for number in range(count):
            image = random.integers(0, 60, (32, 40, 3)).astype(np.uint8)
            y, x = random.integers(12, 20, 2)
            layers = (
                (down - y) ** 2 + (across - x) ** 2 < 49,
                (abs(down - y) < 8) & (abs(across - x - 6) < 8),
            )
            for band, (name, layer) in enumerate(zip(NAMES, layers, strict=True)):
                image[..., band][layer] += 180
                mask = Image.fromarray(layer.astype(np.uint8))
                mask.save(root / "masks" / split / name / f"{number}.png")
            Image.fromarray(image).save(root / "images" / split / f"{number}.png")
    return root


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("several") / "set")


@pytest.fixture(scope="module")
def materials(data):
    plan = make_plan({"data": [{"path": str(data)}], **CHOICES}, where="a test")
    splits = draw_splits(open_sources(plan), plan)
    parts = bring_together(splits.trains, splits.validations, plan)
    torch.manual_seed(0)
    return replace(prepare_training(plan, *parts, ALONE), network=Tiny())


def run(materials, path, observer=None):
    """Trains a copy of the network in a folder."""
    folder = RunFolder(path)
    folder.path.mkdir(exist_ok=True)
    write_plan(materials.plan, folder.plan)
    own = replace(materials, network=copy.deepcopy(materials.network))
    return Trainer(own, folder, ALONE, observer=observer).run(), own, folder


@pytest.fixture(scope="module")
def trained(materials, tmp_path_factory):
    return run(materials, tmp_path_factory.mktemp("several") / "run")


def test_a_run_ends_in_a_file_that_finds_several_classes(trained, data, monkeypatch):
    outcome, materials, folder = trained
    # What a finetuning goes on from is found by the architecture.
    monkeypatch.setattr("pixelwise.export.onnx.training_text", lambda *_: "")
    finished = finish(materials, folder)
    card = finished.report.history.model.card
    assert card.postprocessing.activation == "sigmoid"
    assert card.postprocessing.thresholds == ()
    assert card.classes.names == NAMES
    model = pw.load(finished.model)
    counts = sum(
        layer_counts(layer_values(s.target), model.predict_multi_label(s.image).masks())
        for s in pw.data.open(data).split("val")
    )
    expected = layer_scores(counts)
    assert expected.mean_iou > 0.5
    # Weights are rounded in the file.
    assert expected.mean_iou == pytest.approx(outcome.best, abs=0.01)
    (told,) = finished.scores
    assert told.scores.iou.tolist() == expected.iou.tolist()
    by_metric = {each.metric: each for each in card.scores}
    assert by_metric.keys() == {"mIoU", "mean Dice"}
    assert by_metric["mIoU"].value == pytest.approx(expected.mean_iou, abs=1e-4)
    assert by_metric["mean Dice"].value == pytest.approx(expected.mean_dice, abs=1e-4)
    assert "0.5 at least (no threshold was chosen on these pictures)" in by_metric["mIoU"].protocol
    assert len(list(folder.examples.iterdir())) == 2
    assert "no threshold was" in (folder.path / "report.html").read_text()
    assert json.loads((folder.path / "report.json").read_text())["pixel_accuracy"] is None


class Stop(BaseException):
    """What a killed process does from here on: nothing."""


class KilledAt:
    """Ends a run at a step."""

    def __init__(self, step):
        self.step = step

    def begin(self, past):
        pass

    def on_event(self, event):
        if event["event"] == "step" and event.get("step") == self.step:
            raise Stop

    def close(self):
        pass


def test_a_run_that_was_cut_goes_on_to_the_same_bits(trained, materials, tmp_path):
    with pytest.raises(Stop):
        run(materials, tmp_path / "cut", KilledAt(5))
    _, _, cut = run(materials, tmp_path / "cut")
    whole = trained[2]
    for name in ("log", "best"):
        digests = [
            hashlib.sha256(getattr(folder, name).read_bytes()).digest() for folder in (cut, whole)
        ]
        assert digests[0] == digests[1], name


def test_parts_of_a_batch_give_the_loss_of_the_whole(materials):
    (batch, *_) = materials.batches.epoch(0)
    target = torch.from_numpy(batch.target)
    assert batch.target.shape == (2, 2, 32, 32)
    assert set(np.unique(batch.target)) <= {0, 1, 255}
    assert ((batch.target == 255) == batch.truth["ignore"][:, None]).all()
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 2, 16, 16)))
    loss = materials.loss
    counts = loss.counts(target)
    parts = sum(loss(logits[i : i + 1], target[i : i + 1], counts=counts) for i in range(2))
    torch.testing.assert_close(parts, loss(logits, target))


def test_positive_weights_come_from_how_often_a_class_is_there(materials):
    there = materials.loss.positive_weights
    layers = [s.target.layers for s in materials.batches.dataset]
    share = np.stack(layers).mean(axis=(0, 2, 3))
    assert there == pytest.approx(((1 - share) / share) ** 0.5, rel=1e-4)


def segmentation(scores, size):
    """The result of such scores, as users get it."""
    table = pw.ClassTable(
        "t", tuple(pw.ClassInfo(i, f"c{i}", (i, 0, 0)) for i in range(len(scores))), None, "a test"
    )
    axes = (
        Axis(side, cells / side, 0.5 * cells / side - 0.5)
        for side, cells in zip(size, scores.shape[1:], strict=True)
    )
    return MultiLabelSegmentation(
        scores,
        table,
        Geometry(*axes),
        Provenance("m", "", "e", size, "p", "0"),
        (0.5,) * len(scores),
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(2, 9), st.integers(2, 9))
def test_layers_in_training_are_those_of_the_result(seed, classes, height, width):
    random = np.random.default_rng(seed)
    scores = random.normal(size=(classes, height, width)).astype(np.float32)
    result = segmentation(scores, (3 * height - 1, 2 * width + 1))
    found = decoded_layers(scores, result.geometry)
    assert np.array_equal(found, result.masks())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_counts_are_those_of_the_definition_and_ignored_pixels_change_none(seed, classes):
    random = np.random.default_rng(seed)
    layers, found = random.random((2, classes, 5, 7)) < 0.5
    ignore = random.random((5, 7)) < 0.3
    counts = layer_counts(layer_values(MultiLabelTarget(layers, ignore)), found)
    for place, (truth, mask) in enumerate(zip(layers, found, strict=True)):
        parts = (truth & mask, truth, mask)
        assert counts[:, place].tolist() == [part[~ignore].sum() for part in parts]
    changed = np.where(ignore, ~found, found)
    hidden = MultiLabelTarget(np.where(ignore, ~layers, layers), ignore)
    assert np.array_equal(layer_counts(layer_values(hidden), changed), counts)


def test_a_scoring_adds_the_counts_of_the_pictures_and_shows_layers(materials):
    seen = []
    scored = score(materials.network.eval(), materials.protocol, ALONE, look=seen.append)
    assert scored.matrix is None
    for each in seen:
        assert each.truth.shape == each.labels.shape == (2, 32, 40)
        assert np.array_equal(scored.pictures[each.place], layer_counts(each.truth, each.labels))
    right, truth, found = scored.pictures.sum(axis=0)
    assert scored.scores.iou == pytest.approx(right / (truth + found - right))
    assert np.isnan(scored.scores.pixel_accuracy)


def test_a_truth_of_the_other_kind_is_not_scored(materials):
    card = materials.protocol.postprocessing.model_copy(update={"activation": "softmax"})
    other = replace(materials.protocol, postprocessing=card)
    with pytest.raises(DatasetError, match="cannot be scored together"):
        score(materials.network.eval(), other, ALONE)


def of_one_class(root, *, names=("background", "a", "b")):
    """A folder of masks of one class per pixel."""
    random = np.random.default_rng(0)
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for number in range(4):
        image = random.integers(0, 256, (16, 20, 3), np.uint8)
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        mask = random.integers(0, len(names), (16, 20)).astype(np.uint8)
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    rows = "".join(f"{number},{name},class\n" for number, name in enumerate(names))
    (root / "classes.csv").write_text(f"id,name,use\n{rows}")
    return root


def test_the_background_is_no_class(tmp_path):
    plain = pw.data.open(of_one_class(tmp_path / "one"), kind="multi_label")
    assert plain.holds_several
    without = foreground(plain)
    assert without.classes.names == ("a", "b")
    for before, after in zip(plain, without, strict=True):
        assert np.array_equal(after.target.layers, before.target.layers[1:])
        assert not after.target.ignore.any()
    assert foreground(without) is without


def test_the_data_decides_the_kind_and_the_user_where_it_can_be_both(data, tmp_path):
    one = of_one_class(tmp_path / "one")

    def draft(*paths, **fixed):
        fixed = {"data": [{"path": str(path)} for path in paths], **fixed}
        plan = make_plan(fixed, where="a test")
        return settled(plan, open_sources(plan), fixed)

    assert draft(data)[0].kind == "multi_label"
    assert draft(data)[0].loss == LOSS
    assert draft(data, loss="focal")[0].loss == "focal"
    assert draft(one)[0].kind == "multi_class"
    plan, (opened,) = draft(one, kind="multi_label")
    assert plan.kind == "multi_label"
    assert opened.classes.names == ("a", "b")
    with pytest.raises(UsageError, match="does not have the kind") as caught:
        draft(data, kind="multi_class")
    assert "set (layers): several" in caught.value.got
    with pytest.raises(UsageError, match="cannot be learned together"):
        draft(data, one)


def test_what_does_not_go_with_several_classes_is_told_at_once(data):
    wrong = {
        "instances": "borders",
        "label_smoothing": 0.1,
        "class_weights": "median-frequency",
        "loss": "cross-entropy + ohem",
        "encoder": "mobilnetv2_100",
        "classes": "camvid",
    }
    plan = make_plan({"data": [{"path": str(data)}] * 2, "kind": "multi_label", **wrong}, where="")
    with pytest.raises(UsageError) as caught:
        check_names(plan)
    told = ("2 data sets", "camvid", "borders", "0.1", "median-frequency", "ohem", "mobilnetv2_100")
    assert [part for part in told if part not in caught.value.got] == []


def test_choices_for_several_classes_have_their_reasons(data, tmp_path):
    fixed = {name: CHOICES[name] for name in ("encoder", "encoder_weights", "network", "batch")}
    fixed |= {"data": [{"path": str(data)}], "resize": "none", "crop": [32, 32], "epochs": 1}
    chosen = choose_plan(fixed).choice
    assert chosen.plan.kind == "multi_label"
    assert chosen.plan.loss == LOSS
    assert "have several" in chosen.reasons["kind"]
    assert chosen.plan.class_weights in ("none", "sqrt-inverse")
    assert "of the pixels" in chosen.reasons["class_weights"]
