from __future__ import annotations

import dataclasses
import math

import pytest

from pixelwise.errors import UsageError
from pixelwise.losses import parse_loss
from pixelwise.models.build import build
from pixelwise.training.choices import Choices
from pixelwise.training.choose import choose, table
from pixelwise.training.choose_learning import choose_rates
from pixelwise.training.duration import Duration
from pixelwise.training.fingerprint import ClassFacts, Fingerprint
from pixelwise.training.machine import Gpu, Machine
from pixelwise.training.plan import TrainingPlan

GIB = 2**30
LAPTOP = Machine(2, 8 * GIB, (), 1.6, "2.9")
WORKSTATION = Machine(16, 64 * GIB, (Gpu("a card", 80 * GIB, True),), 0.0, "2.9")
DATA = {"data": [{"path": "nowhere"}]}
NOWHERE_NEAR = ClassFacts("ground", 0.7, 400, 200.0, 0.05)


def street(**changes):
    """400 frames of 360×480, as of a drive."""
    usual = Fingerprint(
        train=400,
        validation=100,
        median=(360, 480),
        smallest=(360, 480),
        largest=(360, 480),
        alike=True,
        bands=3,
        photos=True,
        full_scale=255.0,
        mean=(0.4, 0.4, 0.4),
        std=(0.3, 0.3, 0.3),
        classes=(
            NOWHERE_NEAR,
            ClassFacts("car", 0.29, 380, 100.0, 0.15),
            ClassFacts("pole", 0.01, 390, 30.0, 0.9),
        ),
        open_share=0.0,
        ignored=0.0,
        instances=False,
        objects=math.nan,
        touching=math.nan,
        multi_label=False,
        overlap=0.0,
        has_upper_side=True,
        upright=40.0,
        chance=2.4,
        group_kind="none",
        groups=400,
        looked_at=100,
    )
    return dataclasses.replace(usual, **changes)


def of_size(height, width, **changes):
    """The same, of other sizes."""
    size = (height, width)
    return street(**{"median": size, "smallest": size, "largest": size, **changes})


def cost(plan, **_):
    """A step that takes 0.1 s for each picture."""
    assert isinstance(plan, TrainingPlan)
    return Duration(0.1, 0.05, 0.05, 60_000_000, 200_000_000, 20_000_000)


def chosen(seen, machine=LAPTOP, budget=None, **fixed):
    return choose(seen, machine, budget_seconds=budget, fixed={**DATA, **fixed}, measured=cost)


def on_grid(plan, classes=3):
    """Whether the network takes pieces of that size as they are."""
    network = build(
        plan.architecture,
        classes=classes,
        encoder=plan.encoder,
        in_channels=len(plan.mean),
        **plan.network,
    )
    rest = 1 if network.alignment == "corners" else 0
    return all(side % max(network.encoder.strides) == rest for side in plan.crop)


@pytest.mark.parametrize("machine", [LAPTOP, WORKSTATION])
def test_every_choice_has_a_reason_with_words(machine):
    choice = chosen(street(), machine)
    rows = table(choice)
    assert {name for name, _, _ in rows} == set(TrainingPlan.model_fields) - {"data", "card"}
    assert all(value and len(reason) > 5 for _, value, reason in rows)
    assert all("\n" not in cell for row in rows for cell in row)


def test_thin_things_in_small_pictures_are_enlarged():
    plan = chosen(street()).plan
    assert (plan.resize, plan.pixels) == ("area", 480 * 640)
    assert plan.crop == (385, 481)
    assert on_grid(plan)


def test_without_thin_things_pictures_stay_as_they_are():
    plan = chosen(street(classes=street().classes[:2])).plan
    assert plan.resize == "none"
    assert plan.crop == (353, 481)


def test_photos_of_many_sizes_come_to_one_scale():
    broad = tuple(ClassFacts(name, 0.5, 400, 300.0, 0.05) for name in "ab")
    for height, width in ((768, 1024), (1500, 2000), (480, 640)):
        seen = of_size(height, width, alike=False, largest=(3000, 4000), classes=broad)
        plan = chosen(seen).plan
        assert (plan.resize, plan.pixels) == ("area", 480 * 640)
        assert chosen(seen, WORKSTATION).plan.pixels <= 768 * 1024


def test_from_above_sizes_of_things_are_kept():
    seen = of_size(768, 1024, alike=False, has_upper_side=False, upright=0.5)
    plan = chosen(seen).plan
    assert plan.resize == "none"
    assert plan.any_way_up
    assert not chosen(street()).plan.any_way_up


def test_large_alike_pictures_shrink_only_as_far_as_thin_things_allow():
    wide = tuple(dataclasses.replace(facts, near_border=0.1) for facts in street().classes)
    thin = chosen(of_size(2000, 2000)).plan
    coarse = chosen(of_size(2000, 2000, classes=wide)).plan
    assert thin.resize == "none"
    assert coarse.resize == "area"
    # A band of 40 pixels, and regions of 30, may be made much smaller; not below 24.
    assert coarse.pixels == pytest.approx((2000 * 24 / 30) ** 2, rel=0.01)


def test_what_is_too_thin_gets_a_decoder_to_full_size():
    vessels = dataclasses.replace(street().classes[2], near_border=0.95)
    classes = (NOWHERE_NEAR, vessels)
    plan = chosen(of_size(584, 565, classes=classes, has_upper_side=False)).plan
    assert len(plan.network["decoder_channels"]) == 5
    assert len(chosen(street()).plan.network["decoder_channels"]) == 4


def test_objects_that_touch_get_borders():
    two = street().classes[:2]
    cells = street(instances=True, objects=17.0, touching=0.3, classes=two)
    assert chosen(cells).plan.instances == "borders"
    assert len(chosen(cells).plan.network["decoder_channels"]) == 5
    assert chosen(dataclasses.replace(cells, touching=0.0)).plan.instances == "merge"
    assert chosen(street(instances=True, touching=0.5)).plan.instances == "merge"


def test_imbalance_decides_the_loss():
    assert chosen(street()).plan.loss == "cross-entropy + dice"
    assert chosen(street()).plan.class_weights == "sqrt-median-frequency"
    halves = tuple(ClassFacts(name, 0.5, 400, 90.0, 0.1) for name in "ab")
    assert chosen(street(classes=halves)).plan.loss == "cross-entropy"
    assert chosen(street(classes=halves)).plan.class_weights == "none"


@pytest.mark.parametrize("classes", [2, 30, 60, 300])
def test_losses_are_such_as_can_be_made(classes):
    shares = [2.0**-n for n in range(min(classes, 40))] + [1e-12] * max(0, classes - 40)
    many = tuple(ClassFacts(f"c{n}", share, 40, 9.0, 0.5) for n, share in enumerate(shares))
    plan = chosen(street(classes=many)).plan
    assert parse_loss(plan.loss, classes=classes, ignore_index=65_535)


def test_rare_classes_are_aimed_at_where_a_piece_misses_them():
    speck = ClassFacts("speck", 0.0001, 400, 30.0, 0.9)
    seen = of_size(4000, 4000, classes=(NOWHERE_NEAR, speck))
    assert chosen(seen).plan.aim == 0.5
    assert chosen(street(classes=(NOWHERE_NEAR, speck))).plan.aim == 0


def test_pictures_with_seldom_classes_come_more_often():
    seldom = dataclasses.replace(street().classes[2], pictures=20)
    assert chosen(street(classes=(NOWHERE_NEAR, seldom))).plan.sampling == "weighted"
    assert chosen(street()).plan.sampling == "shuffled"


@pytest.mark.parametrize("train", [1, 2, 3, 6, 20, 100, 5000])
def test_a_batch_never_has_more_pictures_than_there_are(train):
    plan = chosen(street(train=train)).plan
    assert 1 <= plan.batch <= train
    assert plan.accumulate <= plan.batch


def test_fewer_pictures_are_seen_more_often():
    epochs = [chosen(street(train=train)).plan.epochs for train in (10, 100, 1000, 100_000)]
    assert epochs == sorted(epochs, reverse=True)
    strengths = [chosen(street(train=train)).plan.augmentation for train in (100, 4000, 100_000)]
    assert strengths == ["strong", "medium", "light"]


@pytest.mark.parametrize("budget", [60, 600, 3600, 36_000])
def test_a_budget_is_kept(budget):
    choice = chosen(street(), budget=budget)
    assert choice.plan.epochs >= 1
    # An epoch takes 43 s.
    assert choice.seconds < budget or choice.plan.epochs == 1


def test_a_budget_below_an_epoch_is_told():
    choice = chosen(street(), budget=10)
    assert choice.plan.epochs == 1
    assert any("one epoch takes some" in warning for warning in choice.warnings)


def test_a_budget_beside_given_epochs_is_told():
    choice = chosen(street(), budget=600, epochs=3)
    assert choice.plan.epochs == 3
    assert any("a budget of 10.0 min changes nothing" in warning for warning in choice.warnings)
    assert not any("changes nothing" in warning for warning in chosen(street(), epochs=3).warnings)


def test_too_little_memory_cuts_the_batch():
    plan = chosen(street(), dataclasses.replace(LAPTOP, memory=GIB)).plan
    assert plan.batch == 8
    assert plan.accumulate == 3
    assert cost(plan).memory(3) <= 0.8 * GIB < cost(plan).memory(4)
    short = chosen(street(), dataclasses.replace(LAPTOP, memory=GIB // 8))
    assert short.plan.accumulate == 8
    assert any("smaller --crop" in warning for warning in short.warnings)


def test_what_is_fixed_stays():
    fixed = {
        "epochs": 3,
        "batch": 5,
        "loss": "focal",
        "pixels": 90_000,
        "crop": [129, 161],
        "seed": 7,
        "augmentation": "none",
        "workers": 0,
    }
    choice = chosen(street(), budget=3600, **fixed)
    made = choice.plan.model_dump(mode="json")
    assert {name: made[name] for name in fixed} == fixed
    assert all(choice.reasons[name] == "as given" for name in fixed)
    assert choice.plan.resize == "area"


def test_faults_of_fixed_choices_are_told_at_once():
    with pytest.raises(UsageError) as refused:
        chosen(street(), epochs=0, batch=-1, crpo=[3, 3])
    assert all(name in refused.value.got for name in ("epochs", "batch", "crpo"))
    with pytest.raises(UsageError, match="no architecture"):
        chosen(street(), architecture="unett")


@pytest.mark.parametrize(
    ("architecture", "encoder"),
    [
        ("segformer", "mit_b0"),
        ("deeplabv3plus", "mobilenetv2_100"),
        ("pspnet", "mobilenetv2_100"),
        ("segnet", None),
        ("lraspp", None),
    ],
)
def test_other_architectures_get_what_fits_them(architecture, encoder):
    plan = chosen(street(), architecture=architecture).plan
    assert encoder in (None, plan.encoder)
    assert on_grid(plan)
    assert plan.encoder_weights == ("shipped" if plan.encoder == "mobilenetv2_100" else None)


def test_a_gpu_with_downloads_gets_a_larger_encoder():
    plan = chosen(street(), WORKSTATION, encoder_weights="timm").plan
    assert plan.encoder == "convnext_tiny"
    assert plan.mean == (0.485, 0.456, 0.406)
    assert on_grid(plan)
    assert chosen(street(), WORKSTATION).plan.encoder_weights == "shipped"


def test_precision_is_what_pays():
    assert chosen(street()).plan.precision == "bfloat16"
    assert chosen(street(), dataclasses.replace(LAPTOP, bfloat16_speed=0.6)).plan.precision == (
        "float32"
    )
    old = Machine(4, GIB, (Gpu("old", 16 * GIB, False),), 0.0, "2.9")
    assert chosen(street(), old).plan.precision == "float16"


def test_going_on_from_a_model_goes_slower():
    fresh, going_on = Choices(DATA), Choices({**DATA, "start_from": "street"})
    for choices in (fresh, going_on):
        choose_rates(choices, street())
    assert going_on.plan.learning_rate < fresh.plan.learning_rate
    assert going_on.plan.encoder_rate == 1


@pytest.mark.parametrize(
    "seen",
    [
        of_size(8, 8),
        of_size(1, 500),
        of_size(20_000, 20_000, train=5, validation=1),
        of_size(20_000, 300),
        street(train=1, validation=1),
        street(classes=(ClassFacts("a", 0.9999, 400, math.nan, math.nan),
                        ClassFacts("b", 0.0001, 1, math.nan, math.nan),
                        ClassFacts("c", 0.0, 0, math.nan, math.nan))),
        street(bands=13, photos=False, mean=(0.1,) * 13, std=(0.0,) * 13, full_scale=65_535.0),
        street(bands=1, photos=False, mean=(0.1,), std=(0.2,)),
        street(train=1_000_000),
    ],
    ids=["8×8", "1×500", "20,000²", "strip", "one", "0.01 %", "13 bands", "1 band", "a million"],
)  # fmt: skip
@pytest.mark.parametrize("machine", [LAPTOP, WORKSTATION, Machine(1, 0, (), 0.0, "2.9")])
def test_whatever_the_data_the_plan_can_be_carried_out(seen, machine):
    choice = chosen(seen, machine)
    plan = choice.plan
    assert on_grid(plan)
    assert len(plan.mean) == seen.bands
    assert plan.batch <= seen.train
    assert plan.pixels is None or plan.pixels <= plan.longest**2
    assert max(plan.crop) <= 2 * plan.longest
    assert math.isfinite(choice.seconds)


def test_what_the_data_lacks_is_told():
    absent = ClassFacts("gone", 0.0, 0, math.nan, math.nan)
    few = ClassFacts("seldom", 0.01, 2, 30.0, 0.9)
    seen = street(classes=(NOWHERE_NEAR, few, absent), group_kind="video", groups=3)
    text = "\n".join(chosen(seen).warnings)
    assert "'gone'" in text
    assert "'seldom' (2)" in text
    assert "frames of 3 videos" in text


def test_large_pictures_are_said_to_be_made_smaller():
    choice = chosen(of_size(20_000, 20_000))
    assert any("into tiles" in warning for warning in choice.warnings)
    assert choice.plan.resize == "area"


def test_classes_over_each_other_are_a_yes_or_no_each():
    layers = {"multi_label": True, "overlap": 0.25}
    choice = chosen(street(**layers))
    plan = choice.plan
    assert (plan.kind, plan.loss) == ("multi_label", "binary-cross-entropy + dice")
    assert "25.0 % of the pixels with a class have several" in choice.reasons["kind"]
    assert plan.class_weights == "none"
    assert "'pole' is on 1.00 % of the pixels" in choice.reasons["class_weights"]
    assert not any("has several classes" in warning for warning in choice.warnings)
    wire = ClassFacts("wire", 0.0005, 390, 3.0, 0.9)
    rare = chosen(street(classes=(*street().classes, wire), **layers)).plan
    assert rare.class_weights == "sqrt-inverse"
    alone = chosen(street(**layers), loss="binary-cross-entropy").plan
    assert alone.class_weights == "sqrt-inverse"
    one = chosen(street(classes=(NOWHERE_NEAR,), **layers))
    assert one.plan.kind == "multi_label"
    assert chosen(street()).plan.kind == "multi_class"


def test_layers_that_never_meet_are_told():
    choice = chosen(street(multi_label=True, overlap=0.0))
    assert any("no pixel of the pictures looked at has several" in w for w in choice.warnings)
