from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import pixelwise as pw
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data import InstanceTarget, MultiLabelTarget
from pixelwise.data.augment import Augmentation, Flip
from pixelwise.data.cache import open_cache
from pixelwise.data.check import check
from pixelwise.data.joining import joined
from pixelwise.data.loader import Batches
from pixelwise.errors import DatasetError, UsageError

TABLE = ClassTable("two", (ClassInfo(0, "a", (0, 0, 0)), ClassInfo(1, "b", (9, 9, 9))), 255, "")


@pytest.fixture
def make_set(tmp_path):
    def make(folder, count, seed, **options):
        generator = np.random.default_rng(seed)
        for kind in ("images", "masks"):
            (tmp_path / folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            name = f"p{number}.png"
            pixels = generator.integers(0, 256, (8, 9, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / "images" / name)
            mask = generator.choice([0, 1, 255], (8, 9)).astype(np.uint8)
            Image.fromarray(mask).save(tmp_path / folder / "masks" / name)
        return pw.data.open(tmp_path / folder, classes=TABLE, **options)

    return make


def same(one, other):
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.mask, other.mask)


def test_each_sample_is_that_of_its_set(make_set):
    sets = make_set("one", 2, 1), make_set("deep/two", 3, 2), make_set("three", 1, 3)
    whole = joined(sets)
    assert len(whole) == 6
    samples = [sample for dataset in sets for sample in dataset]
    for one, other in zip(whole, samples, strict=True):
        same(one, other)
    assert whole[2].name == "deep/two/images/p0"
    same(whole["deep/two/images/p0"], sets[1][0])


def test_parts_know_their_set(make_set):
    sets = make_set("one", 2, 1), make_set("two", 3, 2)
    whole = joined(sets)
    same(whole.subset([4, 0])[0], sets[1][2])
    same(whole[3:][0], sets[1][1])
    split = replace(sets[1], entries=[replace(entry, split="val") for entry in sets[1].entries])
    same(joined((sets[0], split)).split("val")[0], sets[1][0])


def test_a_set_may_lie_in_another_or_come_twice(make_set):
    outer = make_set("one", 2, 1)
    inner = make_set("one/images/more", 2, 2)
    whole = joined((outer, inner, outer))
    for place, sample in enumerate([*outer, *inner, *outer]):
        same(whole[place], sample)


def test_further_files_of_a_set_are_found(make_set, tmp_path):
    plain = make_set("one", 2, 1)
    make_set("two", 2, 2)
    (tmp_path / "two" / "valid").mkdir()
    for number in range(2):
        region = np.zeros((8, 9), np.uint8)
        region[:, 4:] = 1
        Image.fromarray(region).save(tmp_path / "two" / "valid" / f"p{number}.png")
    cut = pw.data.open(
        tmp_path / "two",
        classes=TABLE,
        images="images/{}.png",
        masks="masks/{}.png",
        valid="valid/{}.png",
    )
    whole = joined((plain, cut))
    assert (whole[2].mask[:, :4] == 255).all()
    cached = open_cache(whole, tmp_path / "cache", limit=1 << 20)
    assert len(cached.cached) == 4
    for one, other in zip(cached, whole, strict=True):
        same(one, other)
    region[:] = 1
    Image.fromarray(region).save(tmp_path / "two" / "valid" / "p1.png")
    again = open_cache(whole, tmp_path / "cache", limit=1 << 20)
    same(again[3], whole[3])
    assert (again[3].mask[:, :4] != 255).any()


def test_batches_and_checks_read_it(make_set):
    whole = joined((make_set("one", 2, 1), make_set("two", 3, 2)))
    batches = Batches(whole, Augmentation((Flip(),), size=(8, 9)), 5, workers=0)
    (batch,) = batches.epoch(0)
    assert sorted(batch.names) == sorted(entry.name for entry in whole.entries)
    report = check(whole)
    assert not report.failed
    np.testing.assert_array_equal(
        report.statistics.counts,
        [[int((sample.mask == number).sum()) for number in (0, 1)] for sample in whole],
    )


def test_objects_are_left_out_and_layers_refused(make_set):
    dataset = make_set("one", 1, 1)

    class Given:
        def __init__(self, target):
            self.target = target

        def read(self, *_):
            return self.target

    mask = dataset[0].mask
    objects = InstanceTarget(mask, np.ones(mask.shape, np.int32))
    assert type(joined([replace(dataset, truth=Given(objects))])[0].target).__name__ == (
        "MultiClassTarget"
    )
    layers = MultiLabelTarget(np.zeros((2, 8, 9), np.bool_), np.zeros((8, 9), np.bool_))
    with pytest.raises(UsageError, match="several classes per pixel"):
        joined([replace(dataset, truth=Given(layers))])[0]


def test_sets_that_do_not_go_together_are_told(make_set):
    one = make_set("one", 1, 1)
    other = replace(one, classes=replace(TABLE, ignore_index=None))
    with pytest.raises(DatasetError, match="different classes"):
        joined((one, other))
    with pytest.raises(DatasetError, match="no data sets"):
        joined(())
