from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from pixelwise.errors import UsageError
from pixelwise.inference.card import Resize
from pixelwise.inference.tile_plan import describe_settings, plan_tiles

MIB = 2**20


@pytest.fixture(scope="module")
def plain(pointwise, load_toy):
    return load_toy(pointwise())


@pytest.fixture(scope="module")
def corners(pointwise, load_toy):
    return load_toy(pointwise(stride=2), multiple=32, remainder=1, alignment="corners")


@pytest.fixture
def known(plain, monkeypatch):
    """The plain model, with figures of its memory that do not depend on the machine."""
    monkeypatch.setattr("pixelwise.inference.tile_plan.resident_bytes", lambda: 0)
    model = type(plain)(plain.file, plain._engine, 1)
    probe = replace(plain.probe, bytes_before=100 * MIB, bytes_per_pixel=256)
    vars(model)["probe"] = probe
    return model


def test_tiles_get_the_nearest_size_that_the_network_takes(plain, corners):
    assert plan_tiles((5000, 5000), plain).tile == (1024, 1024)
    assert plan_tiles((5000, 5000), corners).tile == (1025, 1025)
    assert plan_tiles((5000, 5000), corners, tile=600).tile == (609, 609)
    assert plan_tiles((5000, 5000), corners, tile=1).tile == (33, 33)
    assert plan_tiles((50, 5000), corners, tile=600).tile == (65, 609)


def test_a_network_of_fixed_size_has_tiles_of_that_size(pointwise, load_toy):
    resize = Resize(rule="exact", size=(16, 24))
    model = load_toy(pointwise(shape=(1, 3, 16, 24), classes=4), resize=resize)
    assert plan_tiles((100, 100), model, tile=64).tile == (16, 24)
    assert plan_tiles((3, 100), model).tile == (16, 24)
    picture = np.random.default_rng(0).integers(0, 256, (40, 9, 3), np.uint8)
    assert model.predict(picture, tile=16).labels.shape == (40, 9)


def test_memory_does_not_grow_with_the_height(known):
    flat = plan_tiles((4000, 8000), known)
    # Rows of tiles are spread evenly, so stripes may differ by some pixels.
    assert plan_tiles((400_000, 8000), known).memory == pytest.approx(flat.memory, rel=0.01)
    wide = plan_tiles((4000, 16000), known)
    assert flat.memory < wide.memory < 2 * flat.memory


def test_memory_counts_what_is_asked_for(known):
    plain = plan_tiles((4000, 4000), known).memory
    for options in (
        {"confidence": True},
        {"probabilities": True},
        {"tta": "scales"},
        {"batch": 3},
        {"reserved": 100},
    ):
        assert plan_tiles((4000, 4000), known, **options).memory > plain, options


def test_memory_that_the_process_took_since_is_counted(known, monkeypatch):
    before = plan_tiles((4000, 4000), known).memory
    taken = known.probe.bytes_before + known.probe.bytes_per_pixel * known.probe.pixels
    for more, counted in ((-MIB, 0), (0, 0), (MIB, MIB)):
        monkeypatch.setattr(
            "pixelwise.inference.tile_plan.resident_bytes", lambda now=taken + more: now
        )
        assert plan_tiles((4000, 4000), known).memory == before + counted


def test_a_cap_is_kept_with_smaller_tiles_and_strips(known):
    size = (40_000, 30_000)
    free = plan_tiles(size, known)
    previous = free
    for cap in (free.memory, free.memory - 1, 500 * MIB, 300 * MIB, 250 * MIB, 190 * MIB):
        plan = plan_tiles(size, known, memory=cap)
        assert plan.memory <= cap
        assert plan.tile <= previous.tile
        previous = plan
    assert free == plan_tiles(size, known, memory=free.memory)
    assert len(previous.strips) > 1


def test_strips_hold_every_pixel_once_and_share_a_tile(known):
    plan = plan_tiles((40_000, 40_000), known, strips=5)
    assert len(plan.strips) == 5
    assert plan.strips[0].left == plan.strips[0].first == 0
    assert plan.strips[-1].right == 40_000
    for before, after in zip(plan.strips, plan.strips[1:], strict=False):
        assert before.right == after.left
        assert before.last == after.first
    area = sum((w.right - w.left) * (w.bottom - w.top) for w in plan.windows)
    assert area == 40_000 * 40_000
    assert plan.tiles == plan.rows.tiles * (plan.columns.tiles + 4)


@pytest.mark.parametrize("tile", [None, 256])
def test_a_cap_that_is_too_small_names_the_smallest(known, tile):
    with pytest.raises(UsageError, match="too small for one tile") as caught:
        plan_tiles((40_000, 40_000), known, memory=50 * MIB, tile=tile)
    smallest = int(re.search(r"at least ([\d,]+) MiB", caught.value.fix)[1].replace(",", ""))
    assert plan_tiles((40_000, 40_000), known, memory=smallest * MIB, tile=tile).memory > 50 * MIB
    with pytest.raises(UsageError):
        plan_tiles((40_000, 40_000), known, memory=(smallest - 1) * MIB, tile=tile)


def test_the_real_need_of_the_network_is_counted(plain):
    assert plain.probe.bytes_before >= 0
    assert plain.probe.bytes_per_pixel > 0


def test_all_faults_at_once(known):
    with pytest.raises(UsageError, match="cut like this") as caught:
        plan_tiles(
            (0, 5),
            known,
            memory=0,
            tile=0,
            overlap=0.6,
            blend="hamming",
            batch=0,
            scale=0,
            strips=0,
        )
    for word in ("size", "memory", "tile 0", "overlap", "blend", "batch", "scale", "strips"):
        assert word in caught.value.got


def test_a_plan_describes_itself(known):
    plan = plan_tiles((4000, 3000), known, tile=512, batch=2, strips=2)
    text = plan.describe()
    for part in ("512×512", "2 at once", "2 strips", "MiB", "hann", f"{plan.columns.shared} pix"):
        assert part in text, part
    assert "1 tile of" in plan_tiles((5, 5), known).describe()


def test_settings_say_what_changes_results():
    assert describe_settings() == ""
    texts = {
        describe_settings(tile=512),
        describe_settings(tile=256),
        describe_settings(tile=512, overlap=0.5),
        describe_settings(tile=512, blend="flat"),
        describe_settings(tile=512, scale=0.5),
        describe_settings(tile=512, tta="flips"),
        describe_settings(tta="flips"),
    }
    assert len(texts) == 7


def test_with_a_cap_memory_does_not_grow_with_the_width(known):
    plans = [plan_tiles((9000, width), known, memory=1 << 34) for width in (30_000, 300_000)]
    assert [len(plan.strips) for plan in plans] == [1, 10]
    assert plans[1].memory < 1.05 * plans[0].memory
    assert len(plan_tiles((90, 90_000), known).strips) == 1
