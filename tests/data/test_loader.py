from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from pixelwise.data.augment import (
    Augmentation,
    ClassMix,
    CutMix,
    Cutout,
    Flip,
    Photometric,
    RandomCrop,
    RandomScale,
)
from pixelwise.data.cache import open_cache
from pixelwise.data.dataset import Dataset, Entry
from pixelwise.data.loader import Batch, Batches
from pixelwise.data.sampling import Aim, InOrder, Weighted, sample_generator
from pixelwise.data.targets import InstanceTarget, MultiClassTarget, layers_of
from pixelwise.errors import ArrayError, DatasetError, UsageError
from pixelwise.formats.masks import read_mask

AUGMENTATION = Augmentation(
    (RandomScale(0.5, 2), RandomCrop(), Flip(), Photometric(brightness=0.2, hue=0.1), Cutout()),
    size=(12, 16),
)
AIM = Aim((2,), (1.0,), chance=0.5)


@dataclass(frozen=True)
class Masks:
    kind: str = "multi_class"

    def read(self, root, entry, classes, size):
        del size
        mask = read_mask(root / entry.truth)
        if self.kind == "multi_label":
            return layers_of(mask, classes)
        if self.kind == "instance":
            return InstanceTarget(mask, mask.astype(np.int32) * 1000)
        return MultiClassTarget(mask)


@pytest.fixture
def dataset(tmp_path, make_table):
    root = tmp_path / "set"
    root.mkdir()
    generator = np.random.default_rng(0)
    for number in range(11):
        size = (14 + number, 20)
        image = generator.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(image).save(root / f"{number}.png")
        mask = generator.integers(0, 3, size, np.uint8)
        Image.fromarray(mask).save(root / f"{number}_mask.png")
    entries = tuple(Entry(f"{number}.png", f"{number}_mask.png") for number in range(11))
    return Dataset(root, "toy", make_table(0, 1, 2), entries, Masks())


def bits_of(batches):
    """A digest of every batch."""
    digests = []
    for batch in batches:
        digest = hashlib.sha256(batch.images.tobytes())
        for name in sorted(batch.truth):
            digest.update(name.encode() + batch.truth[name].tobytes())
        digest.update(batch.places.tobytes() + repr(batch.names).encode())
        digests.append((batch.number, digest.hexdigest()))
    return digests


def own_threads():
    return [one for one in threading.enumerate() if one.name.startswith("pixelwise")]


@pytest.mark.parametrize("mix", [None, CutMix(chance=0.5), ClassMix(chance=0.5)])
def test_the_bits_are_the_same_for_any_number_of_workers_and_after_any_resume(dataset, mix):
    options = {"seed": 5, "aim": AIM, "mix": mix, "remainder": "pad"}
    expected = bits_of(Batches(dataset, AUGMENTATION, 2, workers=0, **options).epoch(3))
    assert len({digest for _, digest in expected}) == 6
    for workers in (1, 2, 4):
        batches = Batches(dataset, AUGMENTATION, 2, workers=workers, **options)
        assert len(batches) == 6
        for start in range(7):
            assert bits_of(batches.epoch(3, start)) == expected[start:]
    assert own_threads() == []


def test_batches_that_are_kept_stay_as_they_are(dataset):
    batches = Batches(dataset, AUGMENTATION, 2, workers=2)
    kept = [batch for number in range(4) for batch in batches.epoch(number)]
    fresh = [bits_of(batches.epoch(number)) for number in range(4)]
    assert bits_of(kept) == [digest for digests in fresh for digest in digests]


def test_epochs_and_seeds_differ(dataset):
    digests = [
        bits_of(Batches(dataset, AUGMENTATION, 11, seed=seed, workers=0).epoch(epoch))
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    assert len({digest[0][1] for digest in digests}) == 4


def test_a_cache_gives_the_same_bits(dataset, tmp_path):
    cached = open_cache(dataset, tmp_path / "cache", limit=1 << 20)
    assert len(cached.cached) == 11
    ours = Batches(cached, AUGMENTATION, 4, workers=2, aim=AIM).epoch(0)
    assert bits_of(ours) == bits_of(Batches(dataset, AUGMENTATION, 4, workers=0, aim=AIM).epoch(0))


def test_a_row_is_what_the_augmentation_makes_of_the_sample(dataset):
    (batch,) = Batches(dataset, AUGMENTATION, 11, seed=2, workers=2).epoch(1)
    assert batch.images.dtype == np.float32
    assert batch.images.shape == (11, 3, 12, 16)
    for row, place in enumerate(batch.places):
        generator = sample_generator(2, 1, row)
        generator.random()  # whether it is mixed
        sample = dataset[int(place)]
        plan = AUGMENTATION.draw(sample.target.size, generator)
        expected = AUGMENTATION.apply(plan, sample.image, sample.target, ignore_index=255)
        np.testing.assert_array_equal(batch.images[row], expected.image)
        np.testing.assert_array_equal(batch.masks[row], expected.target.mask)
        assert batch.names[row] == sample.name
    assert sorted(batch.places) == list(range(11))


@pytest.mark.parametrize("remainder", ["drop", "pad", "keep"])
def test_the_batches_of_all_ranks_are_those_of_one_process(dataset, remainder):
    options = {"seed": 1, "workers": 0, "remainder": remainder}
    one = Batches(dataset, AUGMENTATION, 4, mix=CutMix(), **options)
    two = [
        Batches(dataset, AUGMENTATION, 2, mix=CutMix(), rank=rank, world=2, **options)
        for rank in range(2)
    ]
    assert [len(one), *map(len, two)] == {
        "drop": [2, 2, 2],
        "pad": [3, 3, 3],
        "keep": [3, 3, 3],
    }[remainder]
    last = {"drop": 2, "pad": 2, "keep": 1}[remainder]
    for whole, *parts in zip(one.epoch(0), *(batches.epoch(0) for batches in two), strict=True):
        for rank, part in enumerate(parts):
            for row, image in enumerate(part.images):
                if 2 * row + rank < len(whole):
                    np.testing.assert_array_equal(image, whole.images[2 * row + rank])
        sizes = list(map(len, parts))
    assert sizes == [2, last]
    assert len(whole) == (4 if remainder == "drop" else 3)


def test_scores_see_each_sample_once(dataset):
    seen = []
    for rank in range(3):
        batches = Batches(
            dataset,
            Augmentation(),
            1,
            sampler=InOrder(),
            rank=rank,
            world=3,
            remainder="keep",
            workers=1,
        )
        for batch in batches.epoch(0):
            seen += batch.places.tolist()
            sample = dataset[batch.places[0]]
            np.testing.assert_array_equal(batch.masks[0], sample.target.mask)
            mean, std = np.array(Augmentation().mean), np.array(Augmentation().std)
            expected = ((sample.image / 255 - mean) / std).transpose(2, 0, 1)
            np.testing.assert_allclose(batch.images[0], expected, atol=1e-5)
    assert sorted(seen) == list(range(11))


@pytest.mark.parametrize("kind", ["instance", "multi_label"])
def test_every_kind_of_target_comes_in_its_own_arrays(dataset, kind):
    dataset = replace(dataset, truth=Masks(kind))
    options = {"seed": 2, "remainder": "pad", "aim": AIM, "mix": CutMix()}
    ours = bits_of(Batches(dataset, AUGMENTATION, 3, workers=2, **options).epoch(0))
    assert ours == bits_of(Batches(dataset, AUGMENTATION, 3, workers=0, **options).epoch(0))
    batch = next(Batches(dataset, AUGMENTATION, 3, workers=0).epoch(0))
    if kind == "instance":
        counted = batch.masks != 255
        np.testing.assert_array_equal(
            batch.truth["instances"][counted], batch.masks[counted].astype(np.int32) * 1000
        )
        assert (batch.truth["instances"][~counted] == 0).all()
    else:
        assert batch.truth["layers"].shape == (3, 3, 12, 16)
        assert (batch.truth["layers"].sum(1) == ~batch.truth["ignore"]).all()


def test_ids_are_of_the_type_that_the_class_table_needs(dataset, make_table):
    (batch,) = Batches(dataset, AUGMENTATION, 11, workers=0).epoch(0)
    assert batch.masks.dtype == np.uint8
    wide = replace(dataset, classes=make_table(0, 1, 2, 255))
    batches = Batches(wide, AUGMENTATION, 11, workers=0)
    assert batches.ignore_index == 65_535
    (batch,) = batches.epoch(0)
    assert batch.masks.dtype == np.uint16
    assert set(np.unique(batch.masks)) == {0, 1, 2, 65_535}


def test_an_aim_brings_the_class_into_the_crops(dataset):
    root = dataset.root
    for number in range(11):
        mask = np.zeros((14 + number, 20), np.uint8)
        mask[3, 19] = 2
        Image.fromarray(mask).save(root / f"{number}_mask.png")
    small = Augmentation((RandomCrop(),), size=(4, 4))
    for chance, expected in ((1.0, 1.0), (0.0, 0.03)):
        aim = Aim((2,), (1.0,), chance=chance)
        batches = Batches(dataset, small, 11, aim=aim, workers=0)
        hits = np.mean(
            [(one.masks == 2).any((1, 2)) for n in range(10) for one in batches.epoch(n)]
        )
        assert abs(hits - expected) < 0.05


def test_drawn_batches_are_those_of_the_epoch_before_they_are_augmented(dataset):
    batches = Batches(dataset, AUGMENTATION, 4, workers=2, aim=AIM, remainder="pad")
    for drawn, batch in zip(batches.drawn(1, 1), batches.epoch(1, 1), strict=True):
        assert (drawn.number, drawn.names) == (batch.number, batch.names)
        np.testing.assert_array_equal(drawn.places, batch.places)
        for row, one in enumerate(drawn.samples):
            assert one.place == batch.places[row]
            ours = AUGMENTATION.apply(one.plan, one.image, one.target, ignore_index=255)
            np.testing.assert_array_equal(ours.image, batch.images[row])
            np.testing.assert_array_equal(ours.target.mask, batch.masks[row])
    assert own_threads() == []


def test_drawn_batches_cannot_be_mixed(dataset):
    with pytest.raises(UsageError, match="mixed"):
        Batches(dataset, AUGMENTATION, 4, mix=CutMix()).drawn(0)


def test_drawn_batches_note_what_cannot_be_read(dataset):
    batches = Batches(dataset, AUGMENTATION, 11, sampler=InOrder(), workers=1)
    spoil(dataset, 4)
    (drawn,) = batches.drawn(0)
    assert drawn.places[4] == 5
    assert len(batches.quarantined) == 1
    spoil(dataset, 7)
    with pytest.raises(DatasetError):
        list(batches.drawn(1))


def test_weighted_epochs_have_the_samples_of_their_order(dataset):
    counts = np.zeros((11, 3), np.int64)
    counts[:, 0] = 1
    counts[4, 2] = 1
    sampler = Weighted(counts, threshold=0.8)
    batches = Batches(dataset, AUGMENTATION, 1, sampler=sampler, workers=1)
    places = [int(batch.places[0]) for batch in batches.epoch(2)]
    assert places == sampler.order(11, 2, 0).tolist()
    assert places.count(4) >= 2


def spoil(dataset, *numbers):
    for number in numbers:
        (dataset.root / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("spoiled", ["4.png", "4_mask.png"])
def test_a_sample_that_cannot_be_read_is_replaced_and_listed(dataset, spoiled):
    (dataset.root / spoiled).write_bytes(b"nothing")
    expected = None
    for workers in (0, 1, 4):
        batches = Batches(dataset, AUGMENTATION, 11, workers=workers, sampler=InOrder())
        assert batches.quarantined == ()
        (batch,) = batches.epoch(0)
        assert batch.places.tolist() == [0, 1, 2, 3, 5, 5, 6, 7, 8, 9, 10]
        assert [fault.file for fault in batches.quarantined] == ["4.png"]
        assert expected in (None, bits_of([batch]))
        expected = bits_of([batch])
        list(batches.epoch(1))
        assert len(batches.quarantined) == 1
    assert len(np.unique(batch.images[4] - batch.images[5])) > 1


def test_the_last_sample_is_replaced_by_the_first(dataset):
    spoil(dataset, 10)
    (batch,) = Batches(dataset, AUGMENTATION, 11, workers=0, sampler=InOrder()).epoch(0)
    assert batch.places[10] == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_too_many_samples_that_cannot_be_read_stop_with_a_list(dataset, workers):
    spoil(dataset, 4, 7)
    batches = Batches(dataset, AUGMENTATION, 2, workers=workers, sampler=InOrder())
    given_out = []
    with pytest.raises(DatasetError, match="too many samples") as error:
        given_out.extend(batches.epoch(0))
    assert len(given_out) == 3
    assert "4.png" in error.value.got
    assert "7.png" in error.value.got
    assert "at most 1 of 11" in error.value.got
    assert own_threads() == []


def test_the_only_sample_has_no_other_to_replace_it(dataset):
    batches = Batches(dataset.subset([4]), AUGMENTATION, 1, workers=0)
    spoil(dataset, 4)
    with pytest.raises(DatasetError, match="too many"):
        list(batches.epoch(0))


def test_many_samples_in_a_row_that_cannot_be_read_are_not_all_tried(dataset):
    spoil(dataset, *range(3, 11))
    batches = Batches(dataset, AUGMENTATION, 1, workers=0, sampler=InOrder())
    with pytest.raises(DatasetError) as error:
        list(batches.epoch(0))
    assert "5.png" not in error.value.got


@pytest.mark.parametrize("mix", [CutMix(chance=1), CutMix(chance=0)])
def test_mixed_samples_hold_a_part_of_another_one(dataset, mix):
    for number in range(11):
        Image.new("RGB", (20, 14), (20 * number,) * 3).save(dataset.root / f"{number}.png")
        Image.new("L", (20, 14), number % 3).save(dataset.root / f"{number}_mask.png")
    crop = Augmentation((RandomCrop(),), size=(12, 16), mean=(0.0,) * 3, std=(1.0,) * 3, peak=20.0)
    batches = Batches(dataset, crop, 11, mix=mix, workers=0)
    for batch in (batch for number in range(20) for batch in batches.epoch(number)):
        for row, place in enumerate(batch.places):
            numbers = np.unique(batch.images[row].round(3)).astype(int).tolist()
            assert place in numbers
            assert len(numbers) == (2 if mix.chance else 1)
            np.testing.assert_array_equal(batch.images[row, 0].round() % 3, batch.masks[row])


def test_a_thousandth_may_be_replaced(dataset):
    large = replace(dataset, entries=dataset.entries * 190)
    spoil(dataset, 4)
    entries = [*dataset.subset(set(range(11)) - {4}).entries] * 209
    entries[10], entries[1000] = dataset.entries[4], dataset.entries[4]
    batches = Batches(
        replace(large, entries=tuple(entries)), AUGMENTATION, 50, workers=0, sampler=InOrder()
    )
    assert sum(len(batch) for batch in batches.epoch(0)) == 2050
    assert len(batches.quarantined) == 2


def test_a_data_set_of_which_nothing_can_be_read_is_refused(dataset):
    spoil(dataset, *range(11))
    with pytest.raises(DatasetError, match="cannot be read") as error:
        Batches(dataset, AUGMENTATION, 2)
    assert "0.png" in error.value.got


def test_an_epoch_left_alone_frees_its_threads(dataset):
    epoch = Batches(dataset, AUGMENTATION, 2, workers=3).epoch(0)
    next(epoch)
    assert len(own_threads()) == 3
    del epoch
    assert own_threads() == []


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot interrupt itself there")
def test_an_interrupt_frees_the_threads(dataset):
    @dataclass(frozen=True)
    class Interrupting(Masks):
        def read(self, root, entry, classes, size):
            if entry.image == "7.png":
                os.kill(os.getpid(), signal.SIGINT)
            return super().read(root, entry, classes, size)

    interrupting = replace(dataset, truth=Interrupting())
    batches = Batches(interrupting, AUGMENTATION, 2, workers=2, sampler=InOrder())
    with pytest.raises(KeyboardInterrupt):
        list(batches.epoch(0))
    assert own_threads() == []


def test_any_other_error_of_a_worker_comes_to_the_caller(dataset):
    grey = replace(AUGMENTATION, mean=(0.5,), std=(0.5,))
    with pytest.raises(ValueError, match="bands"):
        list(Batches(dataset, grey, 2, workers=2).epoch(0))
    assert own_threads() == []


@pytest.mark.parametrize(
    "options",
    [
        {"augmentation": Augmentation()},
        {"augmentation": Augmentation(), "batch_size": 1, "mix": CutMix()},
        {"batch_size": 0},
        {"batch_size": 12},
        {"batch_size": 6, "world": 2},
        {"rank": 1},
        {"remainder": "all"},
        {"seed": -1},
        {"workers": -1},
    ],
)
def test_options_that_cannot_be_are_refused(dataset, options):
    with pytest.raises(UsageError):
        Batches(dataset, **{"augmentation": AUGMENTATION, "batch_size": 2} | options)


def test_epochs_before_the_first_are_refused(dataset):
    with pytest.raises(UsageError, match="number"):
        Batches(dataset, AUGMENTATION, 2).epoch(-1)


def test_a_picture_of_other_bands_is_named(dataset):
    grey = replace(AUGMENTATION, mean=(0.5,), std=(0.5,))
    with pytest.raises(ArrayError, match=dataset.entries[4].image):
        list(Batches(dataset.subset([4]), grey, 1).epoch(0))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"augmentation": None}, "augmentation=None"),
        ({"augmentation": Flip()}, "augmentation=Flip("),
        ({"dataset": None}, "dataset=None"),
        ({"dataset": "folder"}, "dataset='folder'"),
        ({"sampler": "x"}, "sampler='x'"),
        ({"sampler": InOrder}, "sampler=<class"),
        ({"mix": "x"}, "mix='x'"),
        ({"aim": 3, "mix": 0.5}, "aim=3, mix=0.5"),
    ],
    ids=str,
)
def test_arguments_of_another_kind_are_named(dataset, wrong, told):
    arguments = {"dataset": dataset, "augmentation": AUGMENTATION, "batch_size": 2} | wrong
    with pytest.raises(UsageError) as caught:
        Batches(**arguments)
    assert told in caught.value.got
    assert all(f"{name} is " in caught.value.fix for name in wrong)


def test_a_start_behind_the_end_is_refused(dataset):
    batches = Batches(dataset, AUGMENTATION, 4, workers=0)
    assert list(batches.epoch(0, start=len(batches))) == []
    for begin in (batches.epoch, batches.drawn):
        with pytest.raises(UsageError, match="start"):
            begin(0, start=len(batches) + 1)


def test_losses_get_the_layers_of_several_classes_as_numbers():
    layers = np.array([[[[True, False, True]], [[True, True, False]]]])
    ignore = np.array([[[False, False, True]]])
    parts = {"layers": layers, "ignore": ignore}
    images = np.zeros((1, 3, 1, 3), np.float32)
    batch = Batch(0, images, parts, ("a",), np.array([0]))
    assert batch.target.dtype == np.uint8
    assert batch.target.tolist() == [[[[1, 0, 255]], [[1, 1, 255]]]]
    mask = np.array([[[0, 1, 255]]], np.uint8)
    assert Batch(0, images, {"mask": mask}, ("a",), np.array([0])).target is mask
