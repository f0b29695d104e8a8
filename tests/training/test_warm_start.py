from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import numpy_helper

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.errors import UnknownModelError, UsageError, WeightsError
from pixelwise.export.onnx import store_as_float16, write_card
from pixelwise.export.training_weights import TRAINING_KEY, training_text
from pixelwise.inference.card import Resize
from pixelwise.inference.onnx_file import with_metadata
from pixelwise.models.build import build
from pixelwise.models.checkpoint import save_weights
from pixelwise.training.choices import Choices
from pixelwise.training.distributed import join_world
from pixelwise.training.plan import make_plan, write_plan
from pixelwise.training.setup import bring_together, open_sources, prepare_training
from pixelwise.training.splits import draw_splits
from pixelwise.training.start_model import read_start_model
from pixelwise.training.warm_start import choose_as_start, warm_start

NUCLEI = Path(__file__).parents[2] / "examples" / "nuclei"
OPTIONS = {"decoder_channels": [4] * 4}
MEAN, STD = (0.25, 0.5, 0.75), (0.1, 0.2, 0.3)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def table(*names, **aliases):
    infos = [
        ClassInfo(place, name, (place, 1, 1), aliases=tuple(aliases.get(name, ())))
        for place, name in enumerate(names)
    ]
    return ClassTable("toy", tuple(infos), None, "made for a test")


def unet(classes, seed, **options):
    torch.manual_seed(seed)
    return build("unet", classes=classes, encoder="test_resnet", **{**OPTIONS, **options})


@pytest.fixture
def old():
    return unet(table("road", "sky", "person"), 1)


@pytest.fixture
def make_start(tmp_path):
    """A run folder of such a network, with its plan."""

    def make(trained, **choices):
        folder = tmp_path / "run"
        folder.mkdir()
        save_weights(trained, folder / "best.safetensors")
        plan = {"encoder": "test_resnet", "network": OPTIONS, "mean": MEAN, "std": STD, **choices}
        made = make_plan({"data": [{"path": "data"}], **plan}, where="a test")
        write_plan(made, folder / "plan.yaml")
        return folder

    return make


@pytest.fixture
def make_model_file(old, pointwise, make_card, tmp_path):
    """A model file that holds the weights of such a network beside another that can be run."""

    def make(*, change=None, **card):
        network = pointwise(weights=torch.eye(3).numpy(), bias=torch.zeros(3).numpy())
        model = onnx.load_model_from_string(network)
        model.graph.initializer.extend(
            numpy_helper.from_array(tensor.numpy(), key) for key, tensor in old.state_dict().items()
        )
        content = store_as_float16(model.SerializeToString())
        text = training_text(old, content)
        if change is not None:
            text = change(text)
        content = with_metadata(content, {TRAINING_KEY: text})
        classes = table("road", "sky", "person", person=["pedestrian"])
        path = tmp_path / "model.onnx"
        write_card(content, make_card(classes, **card), path)
        return path

    return make


def test_rows_go_by_the_names_of_classes(old, make_start):
    classes = table("tree", "PERSON", "Road")
    network = unet(classes, 2)
    fresh = {key: value.clone() for key, value in network.state_dict().items()}
    told = warm_start(network, classes, read_start_model(str(make_start(old))))
    assert (told.known, told.new) == (("PERSON", "Road"), ("tree",))
    own, before = network.state_dict(), old.state_dict()
    for key in own:
        if not key.startswith("head."):
            assert torch.equal(own[key], before[key]), key
    for key in ("head.weight", "head.bias"):
        assert torch.equal(own[key][0], fresh[key][0])
        assert torch.equal(own[key][1], before[key][2])
        assert torch.equal(own[key][2], before[key][0])
    assert "which knows PERSON, Road; new: tree" in str(told)


def test_aliases_of_either_table_find_a_class(old, make_start, make_model_file):
    classes = table("street", "Pedestrian", street=["ROAD"])
    for source in (make_start(old), make_model_file()):
        network = unet(classes, 2)
        told = warm_start(network, classes, read_start_model(str(source)))
        # Only a model file knows the aliases of its own classes.
        known = ("street",) if source.is_dir() else ("street", "Pedestrian")
        assert told.known == known


def test_classes_on_both_sides_of_a_weight(make_start):
    """FCN's learnt interpolation has a kernel for each pair of classes."""
    options = {"encoder": "test_resnet", "hidden_channels": 4}
    torch.manual_seed(0)
    names = table("a", "b", "c")
    before = build("fcn8s", classes=names, **options)
    with torch.no_grad():
        before.steps[0].step.weight.normal_()
    network = {"hidden_channels": 4}
    start = make_start(before, architecture="fcn8s", encoder="test_resnet", network=network)
    classes = table("c", "new", "a", "b")
    after = build("fcn8s", classes=classes, **options)
    warm_start(after, classes, read_start_model(str(start)))
    one, other = before.steps[0].step.weight, after.steps[0].step.weight
    assert torch.equal(other[0, 0], one[2, 2])
    assert torch.equal(other[0, 3], one[2, 1])
    assert torch.equal(other[3, 2], one[1, 0])


def test_no_class_in_common(old, make_start):
    classes = table("cell", "rim")
    network = unet(classes, 2)
    told = warm_start(network, classes, read_start_model(str(make_start(old))))
    assert told.known == ()
    assert "no class of it" in str(told)


def test_an_auxiliary_head_begins_at_random(make_start):
    names = table("a", "b")
    plain = {"encoder": "test_resnet"}
    before = build("fcn", classes=names, **plain)
    start = make_start(before, architecture="fcn", encoder="test_resnet", network={})
    after = build("fcn", classes=names, auxiliary=True, **plain)
    warm_start(after, names, read_start_model(str(start)))
    assert torch.equal(after.head[0][0].weight, before.head[0][0].weight)


def test_every_form_of_a_start_is_the_same_network(old, make_start, make_model_file):
    folder = make_start(old)
    sources = (folder, folder / "best.safetensors", make_model_file(mean=(0.0, 0.0, 0.0)))
    for source in sources:
        start = read_start_model(str(source))
        assert (start.architecture, start.encoder) == ("unet", "test_resnet")
        assert [names[0] for names in start.classes] == ["road", "sky", "person"]
        for key, tensor in old.state_dict().items():
            if tensor.is_floating_point():
                torch.testing.assert_close(
                    start.tensors[key], tensor, rtol=1e-3, atol=1e-6, msg=key
                )


def test_a_card_in_any_unit_gives_shares_of_the_full_scale(make_model_file):
    path = make_model_file(scale=1 / 127.5, mean=(1.0, 1.0, 1.0))
    start = read_start_model(str(path))
    assert start.mean == pytest.approx((0.5, 0.5, 0.5), abs=1e-12)
    assert start.std == pytest.approx((0.5, 0.5, 0.5), abs=1e-12)


def fixed(**choices):
    return Choices({"data": [{"path": "data"}], **choices})


def test_the_model_decides_what_its_weights_were_trained_with(old, make_start):
    start = read_start_model(str(make_start(old, resize="area", pixels=50_000)))
    choices = fixed()
    choose_as_start(choices, start, classes=5)
    choices.set("mean", (0.0, 0.0, 0.0), "of the data")
    plan = choices.plan
    assert (plan.architecture, plan.encoder, plan.network) == ("unet", "test_resnet", OPTIONS)
    assert (plan.mean, plan.std, plan.resize, plan.pixels) == (MEAN, STD, "area", 50_000)
    for name in ("architecture", "encoder", "network", "mean", "std", "resize", "pixels"):
        assert choices.reasons[name] == "as the model to start from has it"
    assert not choices.warnings


@pytest.mark.parametrize("given", [{"resize": "none"}, {"pixels": 70_000, "resize": "area"}])
def test_the_user_may_resize_otherwise(given, old, make_start):
    choices = fixed(**given)
    start = read_start_model(str(make_start(old, resize="area", pixels=50_000)))
    choose_as_start(choices, start, classes=3)
    assert choices.plan.resize == given["resize"]
    assert choices.plan.pixels == given.get("pixels")


def test_another_mean_is_warned_of(old, make_start):
    choices = fixed(mean=(0.5, 0.5, 0.5))
    choose_as_start(choices, read_start_model(str(make_start(old))), classes=3)
    assert choices.plan.mean == (0.5, 0.5, 0.5)
    assert "was trained with mean" in choices.warnings[0]


def test_stretched_pictures_are_no_rule_of_a_training(make_model_file):
    path = make_model_file(resize=Resize(rule="exact", size=(32, 32)))
    choices = fixed()
    choose_as_start(choices, read_start_model(str(path)), classes=3)
    assert not choices.is_fixed("resize")


def test_other_choices_of_the_users_are_refused_together(old, make_start):
    choices = fixed(architecture="segformer", encoder="mit_b0", encoder_weights="shipped")
    with pytest.raises(UsageError, match="do not go with the model") as caught:
        choose_as_start(choices, read_start_model(str(make_start(old))), classes=3)
    for name in ("architecture=segformer", "encoder=mit_b0", "encoder_weights=shipped"):
        assert name in caught.value.got


def test_options_are_refused_only_where_weights_do_not_fit(old, make_start):
    start = read_start_model(str(make_start(old)))
    choose_as_start(fixed(network={**OPTIONS, "dropout": 0.3}), start, classes=7)
    with pytest.raises(UsageError, match="options of the network") as caught:
        choose_as_start(fixed(network={"decoder_channels": [4, 4, 8, 4]}), start, classes=7)
    assert "wanted" in caught.value.got


def test_another_network_is_refused_by_its_weights(old, make_start):
    start = read_start_model(str(make_start(old)))
    classes = table("road")
    with pytest.raises(WeightsError, match="of another network"):
        warm_start(unet(classes, 0, decoder_channels=[4, 4, 4, 8]), classes, start)


def test_weights_without_their_plan(old, make_start):
    folder = make_start(old)
    (folder / "plan.yaml").unlink()
    with pytest.raises(WeightsError, match="do not say what network") as caught:
        read_start_model(str(folder / "best.safetensors"))
    assert "plan.yaml" in caught.value.fix


def test_weights_beside_the_plan_of_another_run(old, make_start):
    folder = make_start(old, network={"decoder_channels": [8] * 4})
    with pytest.raises(WeightsError, match="contradicts itself") as caught:
        read_start_model(str(folder))
    assert "wanted" in caught.value.got


@pytest.mark.parametrize(
    "change",
    [
        ("[4,4,4,4]", "[4,4,4,1000000000]"),
        ("[4,4,4,4]", "[4,4,4,4611686018427387904]"),
        ('"unet"', '"hypernet"'),
        ('"test_resnet"', '"hf-hub:a/b"'),
        ('"upsampling"', '"weights"'),
        ("head.bias", "tail.bias"),
    ],
)
def test_a_text_that_asks_for_another_network_is_refused(change, make_model_file):
    def changed(text):
        assert change[0] in text
        return text.replace(*change)

    path = make_model_file(change=changed)
    with pytest.raises(WeightsError) as caught:
        read_start_model(str(path))
    assert caught.value.got


def test_a_run_that_has_begun_needs_the_start_no_more(old, make_start):
    folder = make_start(old)
    choices = {"encoder": "test_resnet", "network": OPTIONS, "crop": (64, 64), "batch": 2}
    plan = make_plan(
        {"data": [{"path": str(NUCLEI)}], "start_from": str(folder), **choices}, where="a test"
    )
    splits = draw_splits(open_sources(plan), plan)
    data = bring_together(splits.trains, splits.validations, plan)
    with join_world() as world:
        fresh = prepare_training(plan, *data, world)
        assert any("starts from" in note for note in fresh.notes)
        key = "encoder.body.conv1.0.weight"
        assert torch.equal(fresh.network.state_dict()[key], old.state_dict()[key])
        (folder / "best.safetensors").unlink()
        begun = prepare_training(plan, *data, world, begun=True)
        assert not torch.equal(begun.network.state_dict()[key], old.state_dict()[key])
        with pytest.raises(WeightsError):
            prepare_training(plan, *data, world)


def test_there_is_no_such_start(tmp_path):
    with pytest.raises(WeightsError, match="no trained model"):
        read_start_model(str(tmp_path))
    with pytest.raises(UnknownModelError):
        read_start_model("no-such-model")
    with pytest.raises(WeightsError):
        read_start_model(str(tmp_path / "best.safetensors"))
