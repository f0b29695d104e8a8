from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.data.duplicates import near_distance, near_pairs, perceptual_hash
from pixelwise.data.groups import find_groups, groups_by_pattern, join_pairs
from pixelwise.errors import UsageError
from pixelwise.formats.images import read_image


def real(name):
    root = os.environ.get("PIXELWISE_DATA")
    root = Path(root) if root else Path(__file__).resolve().parents[3] / "shared" / "data"
    if not (root / name).is_dir():
        pytest.skip(f"the data set {name} is not there")
    return root / name


def strangers(count, seed=0):
    """Hashes of unrelated pictures: 32 of 64 bits set, as `perceptual_hash` has them."""
    random = np.random.default_rng(seed)
    return np.array(
        [sum(1 << int(b) for b in random.permutation(64)[:32]) for _ in range(count)], np.uint64
    )


def drive(count, seed):
    """Hashes of frames in order: each is the last with one bit moved."""
    random = np.random.default_rng(seed)
    bits = random.permutation(64) < 32
    hashes = []
    for _ in range(count):
        one, other = random.choice(np.flatnonzero(bits)), random.choice(np.flatnonzero(~bits))
        bits[[one, other]] = False, True
        hashes.append(int.from_bytes(np.packbits(bits).tobytes(), "big"))
    return np.array(hashes, np.uint64)


def as_sets(groups):
    return {frozenset(np.flatnonzero(groups.of == number).tolist()) for number in set(groups.of)}


def by_first(names, key):
    found = {}
    for place, name in enumerate(names):
        found.setdefault(key(name), set()).add(place)
    return {frozenset(places) for places in found.values()}


def test_frames_that_follow_each_other_make_a_video_across_splits():
    names = [f"{'val' if n % 3 else 'train'}/{d}_{30 * n:06}" for d in "AB" for n in range(60)]
    groups = find_groups(names, np.concatenate([drive(60, 1), drive(60, 2)]))
    assert groups.kind == "video"
    assert groups.sureness >= 0.9
    assert as_sets(groups) == {frozenset(range(60)), frozenset(range(60, 120))}


def test_numbered_photos_of_different_things_are_no_video():
    groups = find_groups([f"images/{n:04}" for n in range(300)], strangers(300))
    assert groups.kind == "none"
    assert groups.of.tolist() == list(range(300))


def test_breeds_with_numbers_are_no_videos():
    names = [f"images/{breed}_{n}" for breed in ("Abyssinian", "beagle") for n in range(1, 80)]
    assert find_groups(names, strangers(len(names))).kind == "none"


def test_shuffled_frames_are_no_video():
    hashes = np.random.default_rng(3).permutation(drive(300, 5))
    assert find_groups([f"f_{n}" for n in range(300)], hashes).kind == "none"


def test_pictures_that_are_all_alike_are_not_taken_for_a_video():
    base = strangers(1)[0]
    hashes = base ^ (np.uint64(1) << np.random.default_rng(1).integers(0, 64, 40, np.uint64))
    groups = find_groups([f"{n}_eye" for n in range(40)], hashes)
    assert groups.kind == "none"
    assert "fixed camera" in groups.reason
    assert groups.sureness < 0.5


def test_unreadable_and_blank_frames_do_not_make_a_video():
    names = [f"a_{n}" for n in range(50)] + [f"z_{n}" for n in range(50)]
    blank = np.full(50, 2**64 - 2**31, np.uint64)
    for filler in (np.zeros(50, np.uint64), blank):
        assert find_groups(names, np.concatenate([filler, strangers(50)])).kind == "none"


def test_folders_of_frames_are_videos_each():
    names = [f"JPEGImages/{s}/{n:05}" for s in ("dance", "car", "dog") for n in range(20)]
    groups = find_groups(names, np.concatenate([drive(20, s) for s in range(3)]))
    assert as_sets(groups) == by_first(names, lambda name: name.split("/")[1])


def test_folders_named_tile_are_scenes():
    names = [f"Tile {t}/images/image_part_{n:03}" for t in range(1, 7) for n in range(1, 10)]
    for hashes in (strangers(54), None):
        groups = find_groups(names, hashes)
        assert groups.kind == "tiles"
        assert as_sets(groups) == by_first(names, lambda name: name.split("/")[0])


def test_folders_named_patient_are_kept_whole():
    names = [f"train/patient_{p:02}/slice{n}" for p in range(5) for n in range(6)]
    groups = find_groups(names, None)
    assert groups.kind == "folders"
    assert as_sets(groups) == by_first(names, lambda name: name.split("/")[1])


def test_folders_of_pictures_that_look_alike_are_kept_whole():
    names = [f"{place}/{n}{chr(97 + n * 7 % 26)}" for place in ("oslo", "rome") for n in range(26)]
    hashes = np.concatenate([np.random.default_rng(s).permutation(drive(26, s)) for s in (1, 2)])
    groups = find_groups(names, hashes)
    assert groups.kind == "folders"
    assert as_sets(groups) == by_first(names, lambda name: name.split("/")[0])
    assert find_groups(names, strangers(52)).kind == "none"


@pytest.mark.parametrize(
    "form", ["{s}_x{a}_y{b}", "{s}_r{a}_c{b}", "{s}_row{a}_col{b}", "{s}_{pa}_{pb}", "{s}_{a}_{b}"]
)
def test_coordinates_tell_scenes(form):
    names = [
        form.format(s=scene, a=a, b=b, pa=a * 256, pb=b * 256)
        for scene in ("austin", "vienna")
        for a, b in itertools.product(range(4), range(3))
    ]
    groups = find_groups(names, None)
    assert groups.kind == "tiles"
    assert as_sets(groups) == by_first(names, lambda name: name.split("_")[0])


def test_one_grid_of_small_numbers_may_be_anything():
    names = [f"clip{a}_{b:05}" for a, b in itertools.product(range(4), range(30))]
    assert find_groups(names, strangers(120)).kind == "none"


def test_parts_of_several_scenes_are_tiles():
    names = [f"{scene}_part_{n}" for scene in ("harbour", "forest") for n in range(5)]
    assert as_sets(find_groups(names, None)) == by_first(names, lambda name: name.split("_")[0])


def test_photos_of_one_walk_are_a_session():
    names = [f"{place}__IMG_{n:04}" for place in ("oslo_june", "rome_may") for n in range(40)]
    groups = find_groups(names, strangers(80))
    assert groups.kind == "session"
    assert groups.sureness <= 0.5
    assert as_sets(groups) == by_first(names, lambda name: name.split("__")[0])


def test_numbers_that_stand_in_all_names_do_not_hide_the_running_one():
    names = [f"aachen_{s:06}_{n:06}_leftImg8bit" for s in range(3) for n in range(30)]
    groups = find_groups(names, np.concatenate([drive(30, s) for s in range(3)]))
    assert as_sets(groups) == by_first(names, lambda name: name.split("_")[1])


def test_equal_names_in_two_splits_are_two_videos():
    names = [f"{split}/frame_{n:03}" for split in ("train", "val") for n in range(30)]
    groups = find_groups(names, np.concatenate([drive(30, 1), drive(30, 2)]))
    assert as_sets(groups) == by_first(names, lambda name: name.split("/")[0])


def test_no_samples_have_no_groups():
    assert len(find_groups([], np.zeros(0, np.uint64)).of) == 0


def test_near_duplicates_join_groups():
    names = [f"{d}_{n:06}" for d in "ABC" for n in range(30)] + ["x", "y"]
    groups = find_groups(names, np.concatenate([drive(30, s) for s in range(3)] + [strangers(2)]))
    joined = join_pairs(groups, np.array([[0, 35], [90, 91]], np.int32))
    assert as_sets(joined) == {
        frozenset(range(60)),
        frozenset(range(60, 90)),
        frozenset({90, 91}),
    }
    assert joined.kind == groups.kind


def test_the_user_tells_groups_by_a_pattern():
    names = ["a/Tile 1/x", "a/Tile 2/x", "a/Tile 1/y", "b/z"]
    groups = groups_by_pattern(names, "*/Tile {}/*")
    assert groups.of.tolist() == [0, 1, 0, 2]
    assert groups.kind == "named"
    assert "3 of 4" in groups.reason


@pytest.mark.parametrize(("pattern", "what"), [("Tile", "has no {}"), ("Dog {}", "fits no name")])
def test_patterns_that_tell_nothing_are_refused(pattern, what):
    with pytest.raises(UsageError, match=what):
        groups_by_pattern(["Tile 1/x"], pattern)


@given(seed=st.integers(0, 1000))
def test_the_order_of_names_does_not_matter(seed):
    names = [f"{d}_{n:06}" for d in "AB" for n in range(25)] + [
        f"Tile {n % 2}/p{n}" for n in range(9)
    ]
    hashes = np.concatenate([drive(25, 1), drive(25, 2), strangers(9)])
    order = np.random.default_rng(seed).permutation(len(names))
    groups = find_groups([names[place] for place in order], hashes[order])
    expected = as_sets(find_groups(names, hashes))
    assert {frozenset(order[list(places)].tolist()) for places in as_sets(groups)} == expected


@pytest.mark.parametrize(
    ("name", "pattern", "kind", "count"),
    [
        ("dubai_aerial", "*/images/*.jpg", "tiles", 6),
        ("davis2016val", "JPEGImages/*/*.jpg", "video", 3),
        ("pets600", "images/*.jpg", "none", 74),
        ("drive", "training/images/*.png", "none", 20),
    ],
)
def test_groups_of_real_data(name, pattern, kind, count):
    root = real(name)
    files = sorted(root.glob(pattern))
    names = [path.relative_to(root).with_suffix("").as_posix() for path in files]
    hashes = np.array([perceptual_hash(read_image(path)) for path in files], np.uint64)
    groups = find_groups(names, hashes)
    assert groups.kind == kind
    joined = join_pairs(groups, near_pairs(hashes, near_distance(hashes)))
    assert len(joined.sizes) == count
