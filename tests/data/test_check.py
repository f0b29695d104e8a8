"""Every row of the list of faults that a data set can meet, each with a real bad file."""

from __future__ import annotations

import os
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

import pixelwise.data
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.check import check
from pixelwise.data.dataset import Dataset, Entry
from pixelwise.data.layouts.mask_files import MaskFiles

TABLE = ClassTable(
    name="toy",
    classes=(
        ClassInfo(0, "background", (0, 0, 0)),
        ClassInfo(1, "cat", (200, 30, 30)),
        ClassInfo(2, "dog", (30, 200, 30)),
    ),
    ignore_index=None,
    source="made for a test",
)
SIZE = (24, 36)


def photo(seed, size=SIZE):
    """A picture with structure of its own, so that no two look alike."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices(size) / max(size)
    waves = [
        np.sin(2 * np.pi * (a * rows + b * columns + c))
        for a, b, c in random.uniform(0.5, 6, (6, 3))
    ]
    layers = np.stack([waves[0] + waves[1], waves[2] + waves[3], waves[4] + waves[5]], axis=-1)
    return (127 + 60 * layers).astype(np.uint8)


def blobs(seed, size=SIZE):
    """A mask of all three classes."""
    mask = np.random.default_rng(seed).integers(0, 3, (4, 6), np.uint8)
    mask[0, :3] = 0, 1, 2
    return np.kron(mask, np.ones((size[0] // 4, size[1] // 6), np.uint8))


@pytest.fixture
def sound(tmp_path):
    """Six good pairs in images/ and masks/."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(6):
        Image.fromarray(photo(number)).save(tmp_path / f"images/{number}.png")
        Image.fromarray(blobs(number)).save(tmp_path / f"masks/{number}.png")
    return tmp_path


def by_hand(root, *, truth=None, classes=TABLE, splits=None):
    entries = tuple(
        Entry(f"images/{number}.png", f"masks/{number}.png", (splits or [""] * 6)[number])
        for number in range(6)
    )
    return Dataset(root, "by hand", classes, entries, truth or MaskFiles())


def encoded(array, kind, **options):
    from io import BytesIO

    stream = BytesIO()
    Image.fromarray(array).save(stream, kind, **options)
    return stream.getvalue()


def only_fault(report):
    (fault,) = report.faults
    return fault


def test_a_sound_data_set_has_no_faults(sound):
    report = check(by_hand(sound))
    assert report.faults == ()
    assert not report.failed
    assert report.complete


def bomb():
    """A PNG whose header tells 3,600 megapixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + encoded(photo(1), "PNG")[33:]
    )


BAD_PICTURES = {
    "truncated JPEG": (
        encoded(photo(9, (96, 144)), "JPEG")[:900],
        "the picture is cut off",
        "copy or download the file again",
    ),
    "JPEG filled up with zeros": (
        encoded(photo(9, (96, 144)), "JPEG")[:900] + bytes(4000),
        "the picture is cut off",
        "copy or download the file again",
    ),
    "truncated PNG": (
        encoded(photo(9), "PNG")[:400],
        "the picture is cut off",
        "copy or download the file again",
    ),
    "empty file": (b"", "the file is empty", "copy or download it again"),
    "text": (b"not found\n", "not a picture that pixelwise reads", "export it as PNG or JPEG"),
    "zip": (b"PK\3\4" + bytes(99), "not a picture that pixelwise reads", "export it as PNG"),
    "bomb": (bomb(), "the picture is larger than allowed", "raise max_megapixels"),
}


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_a_picture_that_cannot_be_read(sound, kind):
    content, what, fix = BAD_PICTURES[kind]
    (sound / "images/2.png").write_bytes(content)
    report = check(by_hand(sound))
    fault = only_fault(report)
    assert (fault.what, fault.file, fault.severity) == (what, "images/2.png", "error")
    assert fix in fault.fix
    assert report.failed
    assert report.statistics.labelled.tolist() == [True, True, False, True, True, True]


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_a_mask_that_cannot_be_read(sound, kind):
    content, what, fix = BAD_PICTURES[kind]
    (sound / "masks/4.png").write_bytes(content)
    fault = only_fault(check(by_hand(sound)))
    assert (fault.what, fault.file) == (f"the mask cannot be read: {what}", "masks/4.png")
    assert fix in fault.fix


def colours_of(mask):
    return TABLE.palette[mask]


def shown_as_palette(mask):
    """What becomes of a palette mask that is converted to grey."""
    return np.array([0, 38, 75], np.uint8)[mask]


BAD_MASKS = {
    "RGB without table": (
        encoded(colours_of(blobs(1)), "PNG"),
        "the mask holds colours, and what they mean is not said",
        "3 colours: (",
        "pass the colour table",
    ),
    "JPEG": (
        encoded(blobs(1), "JPEG"),
        "the file cannot hold class ids",
        "JPEG does not keep values exactly",
        "indexed or grey PNG",
    ),
    "label outside the table": (
        encoded(blobs(1) + np.uint8(4) * (blobs(2) == 2), "PNG"),
        "the mask holds values that are no class ids",
        "expected 0 … 2",
        "map these values to class ids",
    ),
    "0 and 255": (
        encoded(np.where(blobs(1) > 0, np.uint8(255), np.uint8(0)), "PNG"),
        "the mask holds values that are no class ids",
        "255 × ",
        "a mask of 0 and 255",
    ),
    "stretched to greys": (
        encoded(blobs(1) * np.uint8(100), "PNG"),
        "the mask holds values that are no class ids",
        "200 × ",
        "divide it by 100",
    ),
    "palette turned to grey": (
        encoded(shown_as_palette(blobs(1)), "PNG"),
        "the mask holds values that are no class ids",
        "75 × ",
        "a palette mask was turned to grey",
    ),
    "16 bits outside the table": (
        encoded(blobs(1).astype(np.uint16) * 1000, "PNG"),
        "the mask holds values that are no class ids",
        "2000 × ",
        "divide it by 1000",
    ),
    "other size": (
        encoded(blobs(1, (16, 36)), "PNG"),
        "mask and picture differ in size",
        "picture 36×24 · mask 36×16",
        "export the mask again at the picture's size",
    ),
    "fractions": (
        encoded(blobs(1).astype(np.float32), "TIFF"),
        "the file cannot hold class ids",
        "fractional numbers",
        "indexed or grey PNG",
    ),
}


@pytest.mark.parametrize("kind", BAD_MASKS)
def test_a_mask_without_class_ids(sound, kind):
    content, what, got, fix = BAD_MASKS[kind]
    (sound / "masks/3.png").write_bytes(content)
    fault = only_fault(check(by_hand(sound)))
    assert (fault.what, fault.file, fault.severity) == (what, "masks/3.png", "error")
    assert got in fault.got
    assert fix in fault.fix


def test_colours_outside_the_table_are_counted(sound):
    for number in range(6):
        mask = colours_of(blobs(number))
        if number == 5:
            mask[:2, :5] = 60, 61, 62
            mask[0, 35] = 1, 2, 3
        Image.fromarray(mask).save(sound / f"masks/{number}.png")
    fault = only_fault(check(by_hand(sound, truth=MaskFiles("colours"))))
    assert (fault.what, fault.file) == ("the mask holds colours outside the table", "masks/5.png")
    assert fault.got == "2 colours: (60, 61, 62) × 10, (1, 2, 3) × 1"
    assert fault.fix == "add them to the colour table, or correct the mask"


def test_indices_of_a_palette_and_16_bits_are_ids(sound):
    indexed = Image.fromarray(blobs(3))
    indexed.putpalette(TABLE.palette.tobytes())
    indexed.save(sound / "masks/3.png")
    Image.fromarray(blobs(4).astype(np.uint16)).save(sound / "masks/4.png")
    report = check(by_hand(sound))
    assert report.faults == ()
    for number in (3, 4):
        counts = np.bincount(blobs(number).ravel(), minlength=3)
        np.testing.assert_array_equal(report.statistics.counts[number], counts)


def test_all_faults_are_told_at_once(sound):
    for number, kind in enumerate(BAD_MASKS):
        if number < 5:
            (sound / f"masks/{number}.png").write_bytes(BAD_MASKS[kind][0])
    (sound / "images/5.png").write_bytes(b"")
    files = [fault.file for fault in check(by_hand(sound)).faults]
    assert files == [*(f"masks/{number}.png" for number in range(5)), "images/5.png"]


def test_a_folder_and_a_dangling_link_where_pictures_are_needed(sound):
    (sound / "images/1.png").unlink()
    (sound / "images/1.png").mkdir()
    (sound / "images/2.png").unlink()
    (sound / "images/2.png").symlink_to("nowhere.png")
    first, second = check(by_hand(sound)).faults
    assert (first.file, first.what) == (
        "images/1.png",
        "a folder, where one picture is needed",
    )
    assert (second.file, second.what) == ("images/2.png", "there is no such file")


@pytest.mark.skipif(
    sys.platform == "win32" or (hasattr(os, "geteuid") and os.geteuid() == 0),
    reason="needs a user whom permissions bind",
)
def test_a_file_that_may_not_be_read(sound):
    (sound / "images/1.png").chmod(0)
    fault = only_fault(check(by_hand(sound)))
    assert fault.what == "reading the file is not permitted"


def test_a_turned_picture_and_a_mask_that_is_not(sound):
    exif = Image.Exif()
    exif[274] = 8
    (sound / "images/1.png").write_bytes(encoded(photo(1), "JPEG", exif=exif))
    fault = only_fault(check(by_hand(sound)))
    assert fault.what == "the mask lacks the turn that the picture's EXIF orientation asks for"
    assert "the picture carries an EXIF orientation (8" in fault.got


def test_a_turn_that_the_size_does_not_tell_is_a_warning(sound):
    exif = Image.Exif()
    exif[274] = 3
    (sound / "images/1.png").write_bytes(encoded(photo(1), "JPEG", exif=exif))
    fault = only_fault(check(by_hand(sound)))
    assert fault.severity == "warning"
    assert "turned by 180°" in fault.got


def test_a_quarter_turn_that_the_size_confirms_is_no_fault(sound):
    exif = Image.Exif()
    exif[274] = 6
    (sound / "images/1.png").write_bytes(encoded(photo(1, SIZE[::-1]), "JPEG", exif=exif))
    assert check(by_hand(sound)).faults == ()


# What the names show, found by opening the folder.


def test_tiles_of_one_scene_in_two_splits(sound):
    entries = []
    for number in range(6):
        tile = sound / f"Tile {number // 3}"
        tile.mkdir(exist_ok=True)
        (sound / f"images/{number}.png").rename(tile / f"part_{number}.png")
        split = "val" if number in {2, 4} else "train"
        entries.append(Entry(f"{tile.name}/part_{number}.png", f"masks/{number}.png", split))
    report = check(Dataset(sound, "by hand", TABLE, tuple(entries), MaskFiles()))
    assert {fault.what for fault in report.faults} == {"a split cuts through a group (tiles)"}
    assert [fault.got[:40] for fault in report.faults] == [
        "3 pictures of one group: 2 in train, 1 i"
    ] * 2


def test_masks_stretched_to_greys_without_a_table(sound):
    for number in range(6):
        Image.fromarray(blobs(number) * np.uint8(120)).save(sound / f"masks/{number}.png")
    fault = only_fault(check(pixelwise.data.open(sound)))
    assert fault.what == "the numbers in the masks are hardly class ids"
    assert "divide it by 120" in fault.fix


def test_pictures_and_masks_without_partner(sound):
    (sound / "masks/1.png").unlink()
    (sound / "images/4.png").unlink()
    faults = {fault.file: fault.what for fault in check(pixelwise.data.open(sound)).faults}
    assert faults["images/1.png"] == "the picture has no mask"
    assert faults["masks/4.png"] == "the mask has no picture"


def test_two_pictures_of_one_stem(sound):
    Image.fromarray(photo(1)).save(sound / "images/1.jpg")
    faults = [fault.what for fault in check(pixelwise.data.open(sound)).faults]
    assert "two pictures have the same name but for their suffix" in faults


ODD_NAMES = ("a\nb", "<script>alert(1)</script>".replace("/", "_"), "ü ∂", "a;rm -rf", "\x1b[31m")


def test_odd_names_stay_names(sound):
    for number, name in enumerate(ODD_NAMES):
        for folder in ("images", "masks"):
            (sound / f"{folder}/{number}.png").rename(sound / folder / f"{name}.png")
    (sound / "images" / f"{ODD_NAMES[0]}.png").write_bytes(b"")
    report = check(pixelwise.data.open(sound, classes=TABLE))
    fault = only_fault(report)
    assert fault.file == "images/a\nb.png"


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux only")
def test_a_name_of_bytes_that_are_no_text(sound):
    name = os.fsdecode(b"\xff\xfe.png")
    for folder in ("images", "masks"):
        (sound / folder / "0.png").rename(sound / folder / name)
    (sound / "masks" / name).write_bytes(b"")
    report = check(pixelwise.data.open(sound, classes=TABLE))
    assert only_fault(report).file == f"masks/{name}"


def test_nothing_of_the_users_is_changed(sound):
    (sound / "masks/3.png").write_bytes(b"no mask")
    before = {path: path.read_bytes() for path in sound.rglob("*.png")}
    check(by_hand(sound))
    assert {path: path.read_bytes() for path in sound.rglob("*") if path.is_file()} == before


def test_the_report_is_plain_data(sound):
    import json

    (sound / "masks/3.png").write_bytes(b"no mask")
    dataset = by_hand(sound, splits=["train"] * 4 + ["val"] * 2)
    facts = json.loads(json.dumps(check(dataset).to_dict()))
    assert (facts["pictures"], facts["readable"], facts["labelled"]) == (6, 6, 5)
    assert facts["splits"] == {"train": 4, "val": 2}
    assert facts["sizes"]["least"] == [36, 24]
    assert facts["sizes"]["distinct"] == 1
    pixels = sum(row["pixels"] for row in facts["classes"])
    assert pixels == facts["counted_pixels"] == 5 * 24 * 36
    for row in facts["classes"]:
        assert row["pixels"] == sum(part["pixels"] for part in row["splits"].values())
    assert sum(row["share"] for row in facts["classes"]) == pytest.approx(1)
    assert facts["faults"][0]["file"] == "masks/3.png"
    assert facts["near_duplicate_pairs"] == len(facts["near_duplicates"]) == 0
    assert ClassTable.from_dict(facts["class_table"]) == TABLE


def test_nothing_at_all_is_reported_on(tmp_path):
    report = check(Dataset(tmp_path, "by hand", TABLE, (), MaskFiles()))
    assert report.faults == ()
    assert report.to_dict()["sizes"]["distinct"] == 0


def test_pictures_that_look_alike_are_paired_with_their_distance(sound):
    (sound / "images/3.png").write_bytes(encoded(photo(0), "JPEG", quality=60))
    report = check(by_hand(sound))
    assert [(one, other) for one, other, _ in report.near.tolist()] == [(0, 3)]
    assert 0 <= report.near[0, 2] <= 6
    assert report.copies == ()


def test_copies_are_grouped_and_not_paired(sound):
    for number in (2, 5):
        (sound / f"images/{number}.png").write_bytes((sound / "images/0.png").read_bytes())
    report = check(by_hand(sound))
    assert [places.tolist() for places in report.copies] == [[0, 2, 5]]
    assert report.near.shape == (0, 3)
