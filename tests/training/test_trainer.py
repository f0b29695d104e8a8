"""The loop: the same bits however it is cut, and no batch that can spoil it."""

from __future__ import annotations

import copy
import hashlib
import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from pixelwise.errors import DatasetError, EngineError, UsageError
from pixelwise.models.network import NetworkConfig, SegmentationNetwork
from pixelwise.training.distributed import World
from pixelwise.training.plan import make_plan
from pixelwise.training.run_folder import RunFolder
from pixelwise.training.setup import bring_together, open_sources, prepare_training
from pixelwise.training.splits import draw_splits
from pixelwise.training.trainer import Trainer

SIDE = 32
ALONE = World(0, 1, 0, torch.device("cpu"), "none")


class Tiny(SegmentationNetwork):
    """Two convolutions, scores at half the size; `norm` stands between them.

    `fault(image, logits, call)` happens in training; calls count from 1.
    """

    output_stride = 2

    def __init__(self, norm=None, *, pooled=False, fault=None):
        super().__init__()
        self.fault = fault
        self.calls = 0
        self.config = NetworkConfig(classes=2, class_names=("outside", "square"))
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), norm or nn.Identity(), nn.Tanh())
        self.encoder.strides = (2,)
        self.pool = nn.AdaptiveAvgPool2d(1) if pooled else None
        self.pool_norm = nn.BatchNorm2d(8) if pooled else None
        self.head = nn.Conv2d(8, 2, 3, 1, 1)

    def forward(self, image):
        maps = self.encoder(image)
        if self.pool is not None:
            maps = maps + self.pool_norm(self.pool(maps))
        return self.head(maps)

    def all_logits(self, image):
        self.calls += 1
        logits = self(image)
        return (logits if self.fault is None else self.fault(image, logits, self.calls),)

    def with_fault(self, fault):
        """A network of the same weights."""
        other = copy.deepcopy(self)
        other.fault = fault
        return other


def write_pictures(root, *, train=8, validation=2):
    generator = np.random.default_rng(5)
    for part, count in (("train", train), ("val", validation)):
        for kind in ("images", "masks"):
            (root / kind / part).mkdir(parents=True)
        for number in range(count):
            mask = np.zeros((SIDE + 3 * number, SIDE + number), np.uint8)
            mask[4:20, 6:24] = 1
            mask[:2] = 255
            image = generator.integers(0, 100, (*mask.shape, 3)) + 100 * mask[..., None]
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(
                root / "images" / part / f"{number}.png"
            )
            Image.fromarray(mask).save(root / "masks" / part / f"{number}.png")
    table = "id,name,use\n0,outside,class\n1,square,class\n255,void,ignore\n"
    (root / "classes.csv").write_text(table)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data(tmp_path):
    write_pictures(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def materials(data, monkeypatch):
    """What a run is made of, with a tiny network."""

    def make(network=None, **choices):
        plan = make_plan(
            {
                "data": [{"path": str(data)}],
                "encoder": "test_efficientnet",
                "encoder_weights": None,
                "network": {"decoder_channels": [8, 8, 8, 8]},
                "crop": [SIDE, SIDE],
                "epochs": 2,
                "batch": 2,
                "log_every": 1,
                "workers": 0,
                "warmup_steps": 0,
                "freeze_encoder_norm": False,
                **choices,
            },
            where="a test",
        )
        splits = draw_splits(open_sources(plan), plan)
        train, validation = bring_together(splits.trains, splits.validations, plan)
        made = prepare_training(plan, train, validation, ALONE)
        if network is None:
            torch.manual_seed(plan.seed)
            network = Tiny()
        return replace(made, network=network)

    return make


@pytest.fixture
def run(tmp_path):
    """Trains in a folder; gives the folder."""

    def begin(materials, name="run", **options):
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir(exist_ok=True)
        Trainer(materials, folder, ALONE, **options).run()
        return folder

    return begin


def lines(folder, event=None):
    found = [json.loads(line) for line in folder.log.read_text().splitlines()]
    return [line for line in found if event in (None, line["event"])]


def prints(folder):
    """SHA-256 of the log and the best weights, and all tensors of the checkpoint."""
    files = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder.log, folder.best)]
    tensors = load_file(folder.checkpoint)
    return files, {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def assert_all_finite(folder):
    for path in (folder.checkpoint, folder.best):
        for name, tensor in load_file(path).items():
            assert tensor.isfinite().all(), (path.name, name)


class Stop(BaseException):
    """What a killed process does from here on: nothing."""


def killed_at(step):
    class Watch:
        def begin(self, past):
            pass

        def on_event(self, event):
            if event["event"] == "step" and event.get("step") == step:
                raise Stop

        def close(self):
            pass

    return Watch()


def test_the_same_seed_gives_the_same_bits_and_another_does_not(materials, run):
    first, again = run(materials(seed=3), "a"), run(materials(seed=3), "b")
    other = run(materials(seed=4), "c")
    assert prints(first) == prints(again)
    assert prints(first)[0] != prints(other)[0]


@pytest.mark.parametrize(("workers", "seconds"), [(0, 0.0), (2, 0.0), (4, 0.0), (2, 60.0)])
def test_a_run_cut_at_any_step_goes_on_to_the_same_bits(materials, run, workers, seconds):
    torch.manual_seed(2)
    network = Tiny(nn.BatchNorm2d(8))
    choices = {"augmentation": "medium", "batch": 3, "seed": 2}
    whole = run(materials(copy.deepcopy(network), **choices), "whole")
    choices |= {"workers": workers, "checkpoint_seconds": seconds}
    for step in (1, 2, 3):
        with pytest.raises(Stop):
            run(
                materials(copy.deepcopy(network), **choices),
                f"cut {step}",
                observer=killed_at(step),
            )
        cut = run(materials(copy.deepcopy(network), **choices), f"cut {step}")
        assert prints(cut) == prints(whole)


def test_dropout_and_averaging_go_on_where_they_were(materials, run):
    torch.manual_seed(0)
    network = Tiny(nn.Dropout(0.5))
    whole = run(materials(copy.deepcopy(network), checkpoint_seconds=0), "whole")
    with pytest.raises(Stop):
        run(materials(copy.deepcopy(network), checkpoint_seconds=0), "cut", observer=killed_at(6))
    assert prints(run(materials(copy.deepcopy(network)), "cut")) == prints(whole)


def test_an_ended_run_stays_as_it_is(materials, run):
    folder = run(materials())
    files = (folder.log, folder.best, folder.checkpoint)
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    run(materials())
    assert before == [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]


def nan_for(pictures):
    """Scores that are no numbers wherever a batch has one of the pictures."""

    def fault(image, logits, call):
        marked = (image.mean((1, 2, 3))[:, None] - pictures).abs().min() < 1e-6
        return logits * float("nan") if marked else logits

    return fault


def batch_means(made, epoch, number):
    with closing(made.batches.epoch(epoch)) as batches:
        for batch in batches:
            if batch.number == number:
                return torch.from_numpy(batch.images.mean((1, 2, 3))), batch.names
    raise AssertionError


@pytest.mark.parametrize("checkpoint_seconds", [0.0, 60.0])
def test_a_loss_that_is_no_number_is_rolled_back_and_its_batch_named(
    materials, run, checkpoint_seconds
):
    made = materials(checkpoint_seconds=checkpoint_seconds)
    means, names = batch_means(made, 0, 2)
    folder = run(replace(made, network=made.network.with_fault(nan_for(means))))
    (told,) = lines(folder, "rolled back")
    assert told["names"] == list(names)
    assert told["step"] == 3
    assert [line["step"] for line in lines(folder, "step")] == list(range(1, 8))
    assert_all_finite(folder)


def test_the_log_of_a_roll_back_does_not_depend_on_checkpoints_or_cuts(materials, run):
    torch.manual_seed(0)
    network = Tiny(nn.BatchNorm2d(8))

    def make(seconds):
        made = materials(checkpoint_seconds=seconds)
        means, _ = batch_means(made, 0, 2)
        return replace(made, network=network.with_fault(nan_for(means)))

    seldom, often = run(make(60.0), "seldom"), run(make(0.0), "often")
    assert prints(seldom) == prints(often)
    for step in (2, 3, 5):
        with pytest.raises(Stop):
            run(make(0.0), f"cut {step}", observer=killed_at(step))
        assert prints(run(make(60.0), f"cut {step}")) == prints(seldom)


def test_a_loss_that_is_no_number_again_and_again_ends_the_run(materials, run, tmp_path):
    def fault(image, logits, call):
        return logits * float("nan") if call > 5 else logits

    made = materials()
    with pytest.raises(EngineError, match="no number again and again") as caught:
        run(replace(made, network=made.network.with_fault(fault)))
    assert "learning rate" in caught.value.fix
    folder = RunFolder(tmp_path / "run")
    assert len(lines(folder, "score")) == 1
    assert_all_finite(folder)


class Burst(nn.Module):
    """Overflows once, in the second step."""

    calls = 0

    def forward(self, maps):
        self.calls += self.training
        return maps * float("inf") if self.training and self.calls == 2 else maps


def test_float16_that_overflows_before_a_normalisation_never_reaches_a_file(materials, run):
    torch.manual_seed(0)
    network = Tiny(nn.Sequential(Burst(), nn.BatchNorm2d(8)))
    folder = run(materials(network, precision="float16"))
    assert len(lines(folder, "rolled back")) == 1
    assert_all_finite(folder)


def test_an_extreme_learning_rate_never_reaches_a_file(materials, run, tmp_path):
    torch.manual_seed(0)
    made = materials(
        Tiny(nn.BatchNorm2d(8)), learning_rate=10.0, precision="float16", clip=None, epochs=3
    )
    try:
        run(made)
    except EngineError as error:
        assert "no number" in error.what  # noqa: PT017 - either way ends well
    for path in (tmp_path / "run").glob("*.safetensors"):
        assert all(tensor.isfinite().all() for tensor in load_file(path).values())


def allocation_failure():
    return RuntimeError(
        "[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate "
        "memory: you tried to allocate 1 bytes. Error code 12 (Cannot allocate memory)"
    )


@pytest.mark.parametrize("error", [allocation_failure, MemoryError])
def test_a_step_that_does_not_fit_is_taken_in_parts(materials, run, error):
    def fault(image, logits, call):
        if len(image) > 2:
            raise error()
        return logits

    torch.manual_seed(0)
    network = Tiny()
    whole = run(materials(copy.deepcopy(network), batch=4), "whole")
    parts = run(materials(network.with_fault(fault), batch=4), "parts")
    assert lines(parts, "smaller batches") == [{"event": "smaller batches", "micro_batch": 2}]
    for one, other in zip(lines(whole, "step"), lines(parts, "step"), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert one["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-5)


def test_a_failed_try_leaves_no_trace_in_the_statistics(materials, run):
    def fault(image, logits, call):
        if call == 1:
            raise allocation_failure()
        return logits

    torch.manual_seed(0)
    network = Tiny(nn.BatchNorm2d(8))
    tried = run(materials(network.with_fault(fault), batch=4), "tried")
    halved = run(materials(copy.deepcopy(network), batch=4, accumulate=2), "halved")
    assert prints(tried)[1] == prints(halved)[1]


def test_a_picture_that_does_not_fit_alone_is_a_clear_error(materials, run):
    def fault(image, logits, call):
        raise allocation_failure()

    made = materials()
    with pytest.raises(EngineError, match="memory does not suffice") as caught:
        run(replace(made, network=made.network.with_fault(fault)))
    assert "2 parts" in caught.value.got
    assert "--crop" in caught.value.fix


def test_other_errors_of_the_network_are_no_lack_of_memory(materials, run, tmp_path):
    def fault(image, logits, call):
        raise RuntimeError("sizes do not match")

    made = materials()
    with pytest.raises(EngineError, match="cannot take a training step") as caught:
        run(replace(made, network=made.network.with_fault(fault)))
    assert caught.value.got == "sizes do not match"
    assert lines(RunFolder(tmp_path / "run"), "smaller batches") == []


@pytest.mark.parametrize("choices", [{"batch": 1}, {"batch": 2, "accumulate": 2}])
def test_a_normalisation_over_one_value_is_a_clear_error(materials, run, choices):
    with pytest.raises(UsageError, match="single value per channel") as caught:
        run(materials(Tiny(pooled=True), **choices))
    assert "--batch" in caught.value.fix


def spoil(path):
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_breaks_is_left_out_and_told_of_once(materials, run, data, workers):
    made = materials(workers=workers, epochs=3, checkpoint_seconds=0)
    spoil(data / "images" / "train" / "3.png")
    folder = run(made)
    (told,) = lines(folder, "quarantined")
    assert told["file"] == "images/train/3.png"
    assert lines(folder)[-1]["event"] == "stopped"


def test_a_broken_file_is_told_of_at_the_same_place_after_a_cut(materials, run, data):
    made = [materials(workers=workers, checkpoint_seconds=0) for workers in (0, 2, 0, 4, 0, 2, 2)]
    spoil(data / "images" / "train" / "5.png")
    whole = run(made.pop(), "whole")
    assert len(lines(whole, "quarantined")) == 1
    for step in (1, 3, 6):
        with pytest.raises(Stop):
            run(made.pop(), f"cut {step}", observer=killed_at(step))
        assert prints(run(made.pop(), f"cut {step}")) == prints(whole)


def test_more_broken_files_end_the_run_with_their_list(materials, run, data):
    made = materials()
    for number in (1, 4, 6):
        spoil(data / "masks" / "train" / f"{number}.png")
    with pytest.raises(DatasetError) as caught:
        run(made)
    assert "images/train/" in caught.value.got or "masks/train/" in caught.value.got
    assert "data check" in caught.value.fix


def test_a_broken_validation_picture_is_left_out_and_told_of_once(materials, run, data):
    made = materials()
    spoil(data / "images" / "val" / "1.png")
    folder = run(made)
    (told,) = lines(folder, "quarantined")
    assert told["file"] == "images/val/1.png"
    assert len(lines(folder, "score")) == 2


def test_two_broken_validation_pictures_end_the_run(materials, run, data):
    made = materials()
    for number in (0, 1):
        spoil(data / "images" / "val" / f"{number}.png")
    with pytest.raises(DatasetError, match="cannot be scored") as caught:
        run(made)
    assert "0.png" in caught.value.got
    assert "1.png" in caught.value.got


@pytest.mark.parametrize("loss", ["cross-entropy", "cross-entropy + dice", "ohem + lovasz"])
def test_a_batch_without_counted_pixels_changes_nothing_but_the_average(materials, run, data, loss):
    for path in (data / "masks").rglob("*.png"):
        with Image.open(path) as mask:
            size = mask.size
        Image.fromarray(np.full(size[::-1], 255, np.uint8)).save(path)
    folder = run(materials(loss=loss, epochs=1, weight_decay=0.0))
    assert [line["loss"] for line in lines(folder, "step")] == [0.0] * 4
    assert [line["gradient_norm"] for line in lines(folder, "step")] == [0.0] * 4
    (score,) = lines(folder, "score")
    assert score["mean_iou"] is None
    assert_all_finite(folder)


def test_a_class_that_is_nowhere_is_not_in_the_mean(materials, run, data):
    for path in (data / "masks").rglob("*.png"):
        with Image.open(path) as mask:
            ids = np.array(mask)
        Image.fromarray(np.where(ids == 1, 255, ids).astype(np.uint8)).save(path)
    folder = run(materials(epochs=3, learning_rate=0.05))
    score = lines(folder, "score")[-1]
    assert score["iou"] == [1.0, None]
    assert score["mean_iou"] == 1.0


def test_the_gradient_does_not_depend_on_the_parts(materials, run):
    torch.manual_seed(0)
    network = Tiny()
    norms = []
    for accumulate in (1, 2, 4):
        made = materials(
            copy.deepcopy(network), batch=4, accumulate=accumulate, loss="cross-entropy + dice"
        )
        norms.append([line["gradient_norm"] for line in lines(run(made, str(accumulate)), "step")])
    np.testing.assert_allclose(norms[1], norms[0], rtol=1e-5)
    np.testing.assert_allclose(norms[2], norms[0], rtol=1e-5)


def test_training_ends_when_nothing_gets_better(materials, run):
    folder = run(materials(epochs=50, early_stop=2, learning_rate=1e-9, average_decay=0.0))
    scores = lines(folder, "score")
    assert [line["best"] for line in scores] == [True, False, False]
    assert lines(folder)[-1] == {"event": "stopped", "epoch": 3, "why": "early stop"}


def test_only_some_epochs_are_scored_and_the_last_tenth_always(materials, run):
    folder = run(materials(epochs=20, score_every=7))
    assert [line["epoch"] + 1 for line in lines(folder, "score")] == [7, 14, 19, 20]


def test_all_steps_are_timed_however_seldom_the_log_has_one(materials, run):
    folder = run(materials(epochs=3, log_every=3))
    timed = [json.loads(line) for line in folder.timing.read_text().splitlines()]
    # Epochs of four steps: the last of each stand in no line of the log.
    assert [line["step"] for line in timed if line["event"] == "step"] == [3, 4, 6, 8, 9, 12]


def test_the_best_weights_are_kept_not_the_last(materials, run, tmp_path):
    seen = []

    class Watch:
        def begin(self, past):
            pass

        def on_event(self, event):
            if "best" in event:
                seen.append((event["best"], folder.best.read_bytes()))

        def close(self):
            pass

    folder = RunFolder(tmp_path / "run")
    run(materials(epochs=6, learning_rate=0.3, average_decay=0.0), observer=Watch())
    kept = b""
    for best, content in seen:
        assert (content != kept) == best
        kept = content


def test_the_loss_of_an_epoch_is_the_mean_of_its_steps(materials, run):
    folder = run(materials())
    for score in lines(folder, "score"):
        losses = [line["loss"] for line in lines(folder, "step") if line["epoch"] == score["epoch"]]
        assert score["loss_train"] == pytest.approx(np.mean(losses), rel=1e-6)


def test_a_run_does_not_go_on_by_a_changed_plan(materials, run):
    folder = run(materials())
    before = folder.checkpoint.read_bytes()
    with pytest.raises(UsageError, match="changed since it began"):
        run(materials(epochs=5))
    assert folder.checkpoint.read_bytes() == before
    run(materials(workers=2))


def test_a_run_does_not_go_on_with_other_classes(materials, run):
    made = materials()
    run(made)
    others = tuple(replace(info, name=f"{info.name} 2") for info in made.classes)
    classes = replace(made.classes, classes=others)
    with pytest.raises(UsageError, match="classes of its data"):
        run(replace(made, classes=classes))


def test_a_compiled_step_learns_the_same(materials, run, monkeypatch):
    calls = []

    def through_dynamo(call, real=torch.compile):
        calls.append(call)
        # The default one calls a C++ compiler for minutes.
        return real(call, backend="eager")

    monkeypatch.setattr(torch, "compile", through_dynamo)
    first = lines(run(materials(), "plain"), "step")
    second = lines(run(materials(compile=True), "compiled"), "step")
    assert len(calls) == 1
    assert [line["loss"] for line in first] == pytest.approx([line["loss"] for line in second])
