from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.check import check
from pixelwise.data.dataset import Dataset, Entry
from pixelwise.data.findings import Findings, background_of, equal_rows
from pixelwise.data.groups import Groups
from pixelwise.data.layouts.mask_files import MaskFiles
from pixelwise.data.statistics import gather

TABLE = ClassTable(
    name="toy",
    classes=(
        ClassInfo(0, "soil / background", (0, 0, 0)),
        ClassInfo(1, "cat", (200, 30, 30)),
        ClassInfo(2, "dog", (30, 200, 30)),
    ),
    ignore_index=9,
    source="made for a test",
)
SIZE = (24, 36)


def photo(seed):
    random = np.random.default_rng(seed)
    rows, columns = np.indices(SIZE) / 36
    waves = [
        np.sin(2 * np.pi * (a * rows + b * columns + c))
        for a, b, c in random.uniform(0.5, 6, (6, 3))
    ]
    layers = np.stack([waves[0] + waves[1], waves[2] + waves[3], waves[4] + waves[5]], axis=-1)
    return (127 + 60 * layers).astype(np.uint8)


def blobs(seed):
    mask = np.random.default_rng(seed).integers(0, 3, (4, 6), np.uint8)
    mask[0, :3] = 0, 1, 2
    return np.kron(mask, np.ones((6, 6), np.uint8))


@pytest.fixture
def make(tmp_path):
    """Pictures and masks in the splits given; `photos` and `masks` say which differ from sound."""

    def make(*splits, photos=None, masks=None, classes=TABLE):
        entries = []
        for number, split in enumerate(splits):
            pixels = (photos or {}).get(number, photo(number))
            mask = (masks or {}).get(number, blobs(number))
            Image.fromarray(pixels).save(tmp_path / f"{number}.png")
            Image.fromarray(mask).save(tmp_path / f"{number}_mask.png")
            entries.append(Entry(f"{number}.png", f"{number}_mask.png", split))
        return Dataset(tmp_path, "toy", classes, tuple(entries), MaskFiles())

    return make


def whats(faults):
    return [fault.what for fault in faults]


def test_a_copy_in_another_split_is_an_error(make):
    report = check(make("train", "train", "val", photos={2: photo(0)}, masks={2: blobs(0)}))
    (fault,) = report.faults
    assert (fault.what, fault.severity) == ("the same picture stands in two splits", "error")
    assert fault.got == "2 pictures: 0.png (train), 2.png (val)"
    assert report.failed


def test_a_copy_in_the_same_split_is_a_warning(make):
    report = check(make("train", "train", "val", photos={1: photo(0)}, masks={1: blobs(0)}))
    (fault,) = report.faults
    assert fault.severity == "warning"
    assert fault.what == "the same picture stands there several times"
    assert not report.failed


def test_many_copies_are_one_fault_that_shows_each_split(make):
    same = {number: photo(0) for number in range(8)}
    masks = {number: blobs(0) for number in range(8)}
    (fault,) = check(make(*["train"] * 7, "val", photos=same, masks=masks)).faults
    assert fault.got.startswith("8 pictures: 0.png (train), 7.png (val), 1.png (train)")
    assert fault.got.endswith("and 4 more")


def test_copies_of_different_truths_are_told(make):
    report = check(make("", "", photos={1: photo(0)}))
    assert "copies of one picture have different truths" in whats(report.faults)


def test_a_look_alike_in_another_split_is_a_warning_with_its_distance(make):
    brighter = np.clip(photo(0).astype(int) + 12, 0, 255).astype(np.uint8)
    (fault,) = check(make("train", "train", "val", photos={2: brighter})).faults
    assert (fault.severity, fault.file) == ("warning", "2.png")
    assert fault.what == "a picture looks like one of another split"
    assert fault.got.startswith("in val; 0.png in train, ")
    assert fault.got.endswith(" of 64 bits apart")


def test_look_alikes_of_one_split_are_no_fault(make):
    brighter = np.clip(photo(0).astype(int) + 12, 0, 255).astype(np.uint8)
    report = check(make("train", "train", "val", photos={1: brighter}))
    assert report.faults == ()
    assert len(report.near) == 1


def test_each_look_alike_is_told_once_with_the_nearest(make):
    dataset = make("train", "train", "val")
    findings = Findings(dataset, gather(dataset)[0])
    near = np.array([[1, 2, 0], [0, 2, 3]], np.int32)
    (fault,) = findings.of_near(near)
    assert "1.png in train, 0 of 64" in fault.got


def test_one_mask_under_two_pictures_is_told(make):
    (fault,) = check(make("", "", "", masks={2: blobs(0)})).faults
    assert fault.what == "different pictures have the same mask, pixel for pixel"
    assert fault.got == "2 pictures: 0.png, 2.png"
    assert fault.severity == "warning"


def test_pictures_that_look_alike_may_have_the_same_mask(make):
    brighter = np.clip(photo(0).astype(int) + 12, 0, 255).astype(np.uint8)
    report = check(make("", "", "", photos={2: brighter}, masks={2: blobs(0)}))
    assert report.near[:, :2].tolist() == [[0, 2]]
    assert report.faults == ()


def test_masks_of_one_class_may_be_the_same(make):
    whole = np.ones(SIZE, np.uint8)
    assert check(make("", "", "", masks={0: whole, 2: whole})).faults == ()


def test_a_mask_of_background_only(make):
    (fault,) = check(make("", "", masks={1: np.zeros(SIZE, np.uint8)})).faults
    assert (fault.what, fault.file) == ("the mask shows background only", "1_mask.png")
    assert fault.severity == "warning"


def test_a_mask_of_one_class_that_is_no_background(make):
    assert check(make("", "", masks={1: np.ones(SIZE, np.uint8)})).faults == ()


def test_a_mask_that_is_ignored_whole(make):
    (fault,) = check(make("", "", masks={1: np.full(SIZE, 9, np.uint8)})).faults
    assert (fault.what, fault.file) == ("no pixel of the mask counts", "1_mask.png")


def test_classes_without_a_pixel_are_one_warning(make):
    dataset = make("", masks={0: np.where(blobs(0) > 1, 0, blobs(0)).astype(np.uint8)})
    (fault,) = check(dataset).faults
    assert fault.what == "classes of the table have no pixel"
    assert fault.got == "1 of 3: dog"
    assert fault.severity == "warning"


def test_a_class_of_one_split_only(make):
    without = {2: np.where(blobs(2) == 2, 0, blobs(2)).astype(np.uint8)}
    (fault,) = check(make("train", "train", "val", masks=without)).faults
    assert fault.what == "a class is missing from a split"
    assert fault.got == "dog: no picture in val, 2 in train"


def test_a_split_without_truth_lacks_no_class(make):
    dataset = make("train", "test")
    hidden = Dataset(
        dataset.root,
        "toy",
        TABLE,
        (dataset.entries[0], Entry("1.png", "", "test")),
        MaskFiles(),
    )
    assert check(hidden).faults == ()


def test_an_interrupted_check_says_nothing_about_missing_classes(make):
    dataset = make("train", "val", masks={0: np.ones(SIZE, np.uint8)})
    findings = Findings(dataset, gather(dataset[:1])[0])
    assert findings.of_classes(complete=False) == []


def test_a_split_through_a_group_is_told(make):
    dataset = make("train", "train", "val", "val")
    findings = Findings(dataset, gather(dataset)[0])
    groups = Groups(np.array([0, 1, 0, 1], np.int32), "tiles", "a test", 0.9)
    first, second = findings.of_groups(groups)
    assert first.what == second.what == "a split cuts through a group (tiles)"
    assert first.got == "2 pictures of one group: 1 in train, 1 in val"
    assert (first.file, second.file) == ("0.png", "1.png")


def test_a_doubtful_group_is_told_as_such(make):
    dataset = make("train", "val")
    findings = Findings(dataset, gather(dataset)[0])
    (fault,) = findings.of_groups(Groups(np.zeros(2, np.int32), "video", "a test", 0.5))
    assert fault.got.endswith("; the groups are a guess")


def test_groups_within_splits_are_no_fault(make):
    dataset = make("train", "train", "val", "val")
    findings = Findings(dataset, gather(dataset)[0])
    groups = Groups(np.array([0, 0, 1, 1], np.int32), "tiles", "a test", 0.9)
    assert findings.of_groups(groups) == []


def test_a_picture_of_other_bands_than_most(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    import warnings

    entries = []
    for number, bands in enumerate((4, 4, 5)):
        name = f"{number}.tif"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(
                tmp_path / name,
                "w",
                driver="GTiff",
                width=8,
                height=6,
                count=bands,
                dtype="uint16",
            ) as out:
                out.write(np.random.default_rng(number).integers(0, 999, (bands, 6, 8), np.uint16))
        entries.append(Entry(name, ""))
    dataset = Dataset(tmp_path, "toy", TABLE, tuple(entries), MaskFiles())
    (fault,) = check(dataset).faults
    assert fault.file == "2.tif"
    assert fault.got == "5 bands of uint16, most have 4 of uint16"


@pytest.mark.parametrize(
    ("ids", "fix"),
    [
        ((0, 20, 40, 60), "the ids look stretched to greys, 20 apart"),
        ((0, 38, 75, 113), "a palette mask was turned to grey"),
        ((0, 7, 90, 91), "map these values to class ids"),
        ((0, 1, 2, 4), None),
        ((0, 255), None),
    ],
)
def test_numbers_that_are_hardly_ids(tmp_path, ids, fix):
    infos = tuple(ClassInfo(n, f"class {n}", (n, 0, 0)) for n in ids)
    dataset = Dataset(tmp_path, "", ClassTable("toy", infos, None, "test"), (), MaskFiles())
    faults = Findings(dataset, gather(dataset)[0]).of_ids()
    assert [fault.fix.startswith(fix or "no") for fault in faults] == [True] * (fix is not None)
    if fix:
        assert faults[0].got == f"4 different: {', '.join(map(str, ids))}"
        assert faults[0].severity == "warning"


def test_ids_that_a_table_names_may_have_gaps(tmp_path):
    infos = tuple(ClassInfo(n, f"animal {n}", (n, 0, 0)) for n in (0, 100, 200))
    dataset = Dataset(tmp_path, "", ClassTable("toy", infos, None, "test"), (), MaskFiles())
    assert Findings(dataset, gather(dataset)[0]).of_ids() == []


def test_a_stray_colour_among_the_ignored(tmp_path):
    table = ClassTable(
        "toy",
        (ClassInfo(0, "a", (10, 0, 0)), ClassInfo(1, "b", (20, 0, 0))),
        2,
        "test",
        ignore_colours=((155, 155, 155), (1, 1, 1)),
    )
    mask = np.full((200, 300, 3), (10, 0, 0), np.uint8)
    mask[:50], mask[60:90] = (20, 0, 0), 155
    mask[0, :4] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(np.kron(photo(1), np.ones((9, 9, 1), np.uint8))[:200, :300]).save(
        tmp_path / "a.png"
    )
    dataset = Dataset(tmp_path, "toy", table, (Entry("a.png", "mask.png"),), MaskFiles("colours"))
    (fault,) = check(dataset).faults
    assert fault.what == "an ignored colour has next to no pixels"
    assert (fault.file, fault.got) == ("mask.png", "(1, 1, 1) × 4 in 1 mask")


@pytest.mark.parametrize(
    ("names", "rest", "place"),
    [
        (("soil / background", "cat"), None, 0),
        (("cat", "Background"), None, 1),
        (("cat", "dog"), None, None),
        (("cat", "dog"), 1, 1),
        (("backgrounds of cats", "dog"), None, None),
    ],
)
def test_the_background_is_known_by_name_or_as_the_rest(tmp_path, names, rest, place):
    infos = tuple(ClassInfo(n, name, (n, 0, 0)) for n, name in enumerate(names))
    table = ClassTable("toy", infos, None, "test")
    assert background_of(Dataset(tmp_path, "", table, (), MaskFiles(), rest=rest)) == place


def test_equal_rows_are_found_among_the_chosen():
    digests = np.random.default_rng(0).integers(0, 256, (7, 16), np.uint8)
    digests[[4, 6]] = digests[1]
    digests[5] = digests[2]
    digests[0, :-1] = digests[3, :-1]

    def found(places):
        return [rows.tolist() for rows in equal_rows(digests, places)]

    assert found(np.arange(7)) == [[1, 4, 6], [2, 5]]
    assert found(np.array([1, 2, 6])) == [[1, 6]]
    assert found(np.array([], np.intp)) == []
