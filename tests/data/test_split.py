from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pixelwise.data
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.dataset import Dataset, Entry
from pixelwise.data.duplicates import hash_distances
from pixelwise.data.groups import groups_by_pattern
from pixelwise.data.split import read_split, split, wanted_shares, write_split
from pixelwise.data.statistics import gather
from pixelwise.errors import UsageError

CLASSES = ClassTable(
    "toy",
    tuple(ClassInfo(n, name, (n, 0, 0)) for n, name in enumerate(["road", "sky", "car"])),
    ignore_index=None,
    source="made for a test",
)
BLANK = 2**64 - 2**31


def real(name, step=1):
    root = os.environ.get("PIXELWISE_DATA")
    root = Path(root) if root else Path(__file__).resolve().parents[3] / "shared" / "data"
    if not (root / name).is_dir():
        pytest.skip(f"the data set {name} is not there")
    dataset = pixelwise.data.open(root / name)
    dataset = dataset.subset(range(0, len(dataset), step))
    return dataset, gather(dataset)[0]


def strangers(count, seed=0):
    """Hashes of unrelated pictures: 32 of 64 bits set, as `perceptual_hash` has them."""
    random = np.random.default_rng(seed)
    return np.array(
        [sum(1 << int(b) for b in random.permutation(64)[:32]) for _ in range(count)], np.uint64
    )


def make(images, counts=None, hashes=None, contents=None):
    """A data set that is not there, and statistics as `gather` would have made them."""
    count = len(images)
    dataset = Dataset(
        root=Path("nowhere"),
        layout="folders",
        classes=CLASSES,
        entries=tuple(Entry(image, "masks/" + image) for image in images),
        truth=None,
    )
    if counts is None:
        counts = np.random.default_rng(7).integers(0, 3, (count, 3)) * 100
    counts = np.asarray(counts, np.int64).reshape(count, 3)
    contents = range(1, count + 1) if contents is None else contents
    digests = np.array([[*int(c).to_bytes(16, "big")] for c in contents], np.uint8)
    owners, places = np.nonzero(counts)
    nothing, _ = gather(dataclasses.replace(dataset, entries=()))
    statistics = dataclasses.replace(
        nothing,
        sizes=np.full((count, 2), 10, np.int32),
        form_of=np.zeros(count, np.int16),
        orientations=np.ones(count, np.uint8),
        labelled=np.ones(count, np.bool_),
        offsets=np.concatenate([[0], np.cumsum((counts > 0).sum(axis=1))]),
        places=places.astype(np.uint16),
        pixels=counts[owners, places],
        ignored=np.zeros(count, np.int64),
        objects=np.full(count, -1, np.int32),
        hashes=strangers(count, count) if hashes is None else np.asarray(hashes, np.uint64),
        digests=digests.reshape(count, 16),
        truth_digests=digests.reshape(count, 16),
    )
    return dataset, statistics


def sides(result):
    return {image: name for name, images in result.names.items() for image in images}


def tiles(scenes=8, each=5):
    return [f"Tile {s}/images/p{n}.jpg" for s in range(scenes) for n in range(each)]


@given(seed=st.integers(0, 10**6), count=st.integers(8, 60), by=st.sampled_from(["image", "tile"]))
def test_each_picture_is_in_one_split_whatever_the_order(seed, count, by):
    random = np.random.default_rng(seed)
    images = [f"Tile {n % 7}/p{n}.jpg" for n in range(count)]
    dataset, statistics = make(images, random.integers(0, 99, (count, 3)))
    result = split(dataset, statistics, by=by, seed=seed)
    assert sorted(image for names in result.names.values() for image in names) == sorted(images)
    assert all(names == tuple(sorted(names)) and names for names in result.names.values())
    order = random.permutation(count)
    other = make(
        [images[n] for n in order],
        statistics.counts[order],
        statistics.hashes[order],
        [int.from_bytes(statistics.digests[n].tobytes(), "big") for n in order],
    )
    again = split(*other, by=by, seed=seed)
    assert again.names == result.names
    assert again.hash == result.hash


@given(
    seed=st.integers(0, 10**6),
    twins=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=5),
    by=st.sampled_from(["image", "group"]),
)
def test_twins_and_groups_are_on_one_side(seed, twins, by):
    images = tiles(8, 5)
    hashes, contents = strangers(40, 3), list(range(1, 41))
    for number, (one, two) in enumerate(twins):
        if number % 2:
            contents[two] = contents[one]
        else:
            # Fewer bits set, as more than 32 would tell a blank picture.
            hashes[two] = hashes[one] & (hashes[one] - np.uint64(1))
    result = split(*make(images, hashes=hashes, contents=contents), by=by, seed=seed)
    side = sides(result)
    for one in range(40):
        for two in range(one):
            alike = hash_distances(hashes[[one]], hashes[[two]])[0] <= 6
            same_tile = by == "group" and images[one].split("/")[0] == images[two].split("/")[0]
            if alike or contents[one] == contents[two] or same_tile:
                assert side[images[one]] == side[images[two]]


def test_copies_of_blank_pictures_do_not_tie_scenes():
    hashes, contents = strangers(40), list(range(1, 41))
    for place in range(0, 40, 5):
        hashes[place], contents[place] = BLANK, 99
    result = split(*make(tiles(), hashes=hashes, contents=contents), by="tile")
    side = sides(result)
    assert len({side[image] for image in tiles()[::5]}) == 1
    assert len(set(side.values())) == 3
    for place in range(40):
        if place % 5:
            assert side[tiles()[place]] == side[tiles()[place // 5 * 5 + 1]]


def test_shares_of_classes_are_kept_where_pictures_are_free():
    counts = np.random.default_rng(1).gamma(1, 1000, (600, 3)) * [10, 3, 0.2]
    result = split(*make([f"{n}.jpg" for n in range(600)], counts), fractions={"val": 0.2})
    assert [len(names) for names in result.names.values()] == [480, 120]
    assert np.abs(result.shares / result.shares[-1] - 1).max() < 0.05
    assert np.allclose(result.shares.sum(axis=1), 1)


def test_what_groups_do_not_allow_is_told():
    counts = np.full((9, 3), 10)
    counts[:, 2] = 0
    counts[0, 2] = 5
    images = [f"Tile {min(n, 6) // 3}/p{n}.jpg" for n in range(9)]
    result = split(*make(images, counts), by="tile")
    notes = "\n".join(result.notes)
    assert [len(names) for names in result.names.values()] == [3, 3, 3]
    assert "val has 33.3 % of the pictures, asked for were 15.0 %" in notes
    assert "no 'car' in" in notes
    assert "one picture or group only" in notes


def test_fewer_groups_than_splits_are_refused():
    with pytest.raises(UsageError, match="fewer groups than splits") as caught:
        split(*make(tiles(2)), by="tile")
    assert "2 groups of 5 pictures, 3 splits" in caught.value.got
    assert set(split(*make(tiles(2)), by="tile", fractions={"val": 0.5}).names) == {"train", "val"}


def test_groups_that_are_not_there_are_refused():
    photos = make([f"{n:04}.jpg" for n in range(30)])
    with pytest.raises(UsageError, match="no groups were found") as caught:
        split(*photos, by="group")
    assert "--by image" in caught.value.fix
    folders = make([f"patient_{n % 6}/{n}.jpg" for n in range(30)])
    with pytest.raises(UsageError, match="no tiles") as caught:
        split(*folders, by="tile")
    assert "--by group" in caught.value.fix


def test_groups_of_the_user_are_kept():
    images = [f"{'abcdefgh'[n % 8]}-{n}.jpg" for n in range(80)]
    dataset, statistics = make(images)
    groups = groups_by_pattern([entry.name for entry in dataset.entries], "{}-*")
    result = split(dataset, statistics, groups, by="group")
    for name, names in result.names.items():
        assert {n[0] for n in names}.isdisjoint(
            n[0] for other in result.names if other != name for n in result.names[other]
        )
    assert sum(result.groups.values()) == 8


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"fractions": {"val": 0, "te/st": 2}}, ["val = 0", "te/st = 2", "'te/st' is no name"]),
        ({"fractions": {"val": 0.6, "test": 0.4}}, ["sum to 1"]),
        ({"fractions": {"train": 0.5, "val": float("nan")}}, ["leave it out", "val = nan"]),
        ({"fractions": {}}, ["no split is asked for"]),
        ({"by": "video", "seed": -1}, ["by = 'video'", "seed = -1"]),
    ],
)
def test_all_faults_of_a_request_are_named(wrong, told):
    dataset, _ = make(["a.jpg", "b.jpg"])
    with pytest.raises(UsageError) as caught:
        wanted_shares(dataset, **wrong)
    for words in told:
        assert words in caught.value.got
    with pytest.raises(UsageError, match="cannot be split"):
        wanted_shares(make([])[0])


def test_statistics_of_other_samples_are_refused():
    with pytest.raises(UsageError, match="other samples"):
        split(make(["a.jpg"])[0], make(["a.jpg", "b.jpg"])[1])


def test_what_is_written_is_read(tmp_path):
    result = split(*make(tiles()))
    files = write_split(result, tmp_path / "splits")
    assert [file.name for file in files] == ["train.txt", "val.txt", "test.txt", "split.json"]
    assert read_split(tmp_path / "splits") == result.names
    document = json.loads((tmp_path / "splits" / "split.json").read_text())
    assert document["seed"] == 0
    assert document["splits"]["val"]["samples"] == len(result.names["val"])
    assert document["class_shares"]["road"].keys() == {"train", "val", "test", "all"}
    assert document["hash"] == result.hash


def test_cutting_a_video_by_image_is_told():
    notes = split(*make(tiles()), by="image").notes
    assert "may belong together are on different sides" in notes[0]
    assert "--by group" in notes[0]
    assert split(*make([f"{n}.jpg" for n in range(30)]), by="image").notes == ()


def test_drives_of_camvid_are_kept_apart():
    result = split(*real("camvid"), by="group")
    drives = [{Path(image).name[:6] for image in names} for names in result.names.values()]
    assert sorted(map(sorted, drives)) == [["0001TP"], ["0006R0"], ["0016E5"]]
    assert result.kind == "video"


def test_tiles_of_dubai_are_kept_apart():
    result = split(*real("dubai_aerial"), by="tile")
    scenes = [{image.split("/")[0] for image in names} for names in result.names.values()]
    assert sum(map(len, scenes)) == len(set().union(*scenes)) == 6
    assert result.kind == "tiles"


def test_facades_are_split_alike_by_place():
    result = split(*real("labelmefacade", 2), by="group")
    assert np.abs(result.shares - result.shares[-1]).max() < 0.03
    places = [
        {i.rpartition("__")[0] for i in names if "IMG_" in i} for names in result.names.values()
    ]
    assert not places[0] & places[1]
    assert not places[0] & places[2]
    assert not places[1] & places[2]
