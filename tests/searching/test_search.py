from __future__ import annotations

import json
import os
import signal
import struct
import sys
import tempfile
import zlib
from pathlib import Path
from xml.sax import saxutils as xml

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import pixelwise as pw
from pixelwise.errors import ClassNameError, UsageError
from pixelwise.searching import index as indexing
from pixelwise.searching.blocks import DamagedError
from pixelwise.searching.index import INDEX_NAME, find_files, read_index, update_index

from .conftest import NAMES, map_bytes

QUERIES = {
    "car > 30%": lambda labels: (labels == 1).mean() > 0.3,
    "sky and not car": lambda labels: (labels == 300).any() and not (labels == 1).any(),
    "'traffic LIGHT' <= .25 or road >= 50%": lambda labels: (
        (labels == 2).mean() <= 0.25 or (labels == 0).mean() >= 0.5
    ),
    "car > 40% in bottom": lambda labels: (labels[len(labels) // 2 :] == 1).mean() > 0.4,
    "road < 20% in cell 1,2 of 2": lambda labels: (
        (
            (part := labels[: len(labels) // 2, labels.shape[1] // 2 :] == 0).size
            and part.mean() < 0.2
        )
        or not part.size
    ),
}


def picture(seed):
    random = np.random.default_rng(seed)
    shape = random.integers(1, 20, 2)
    ids = random.permutation([*NAMES])[: random.integers(1, 4)].astype(np.uint16)
    return ids[random.integers(0, len(ids), shape)]


def by_hand(maps, query):
    return sorted(path for path, labels in maps.items() if QUERIES[query](labels))


def by_search(folder, query):
    answer = pw.search(folder, query)
    assert answer.matches == len(answer.found)
    return sorted(found.labels.relative_to(folder).as_posix() for found in answer.found)


@st.composite
def changes(draw):
    """What is done between two searches: files written, removed, or made something else."""
    names = st.sampled_from(["a.png", "b.png", "f/a.png", "f/g/c.png", "z.png"])
    kinds = st.sampled_from(["write", "write", "write", "remove", "spoil"])
    one = st.tuples(kinds, names, st.integers(0, 10_000))
    return draw(st.lists(st.lists(one, min_size=1, max_size=4), min_size=1, max_size=4))


@settings(max_examples=25, deadline=None)
@given(steps=changes(), block=st.sampled_from([1, 2, 4096]))
def test_whatever_changes_the_answer_is_that_of_the_pixels(steps, block):
    maps, time = {}, 1_000_000_000
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexing, "_BLOCK", block)
        folder = Path(name)
        for step in steps:
            for kind, path, seed in step:
                place = folder / path
                place.parent.mkdir(parents=True, exist_ok=True)
                maps.pop(path, None)
                place.unlink(missing_ok=True)
                if kind == "write":
                    maps[path] = picture(seed)
                    place.write_bytes(map_bytes(maps[path]))
                elif kind == "spoil":
                    place.write_bytes(b"no picture")
                if kind != "remove":
                    time += 1
                    os.utime(place, (time, time))
            for query in QUERIES:
                if maps:
                    assert by_search(folder, query) == by_hand(maps, query)
                else:
                    with pytest.raises(UsageError, match="no results"):
                        pw.search(folder, query)


def test_largest_shares_come_first_and_equal_ones_by_path(tmp_path, write_map):
    for name, cars in (("b", 3), ("a", 3), ("c", 9), ("d", 0), ("e", 5)):
        labels = np.zeros((10, 10), np.uint8)
        labels[0, :cars] = 1
        write_map(tmp_path / f"{name}.png", labels, source=f"{name}.jpg")
    answer = pw.search(tmp_path, "car >= 3%")
    assert [found.source for found in answer.found] == ["c.jpg", "e.jpg", "a.jpg", "b.jpg"]
    assert answer.found[0].shares == {"car": 0.09}
    few = pw.search(tmp_path, "car >= 3%", limit=3)
    assert few.found == answer.found[:3]
    assert (few.matches, few.pictures, few.skipped) == (4, 5, {})
    assert few.classes == tuple(sorted(NAMES.values()))


def test_a_picture_without_a_name_goes_by_its_label_map(tmp_path, write_map):
    write_map(tmp_path / "a.png", np.ones((2, 2), np.uint8), source="")
    assert pw.search(tmp_path, "car").found[0].name == str(tmp_path / "a.png")


def test_headers_are_read_once(tmp_path, write_map):
    for name in "abc":
        write_map(tmp_path / f"{name}.png", np.ones((4, 4), np.uint8))
    index = tmp_path / INDEX_NAME
    paths = find_files(tmp_path)
    assert update_index(tmp_path, paths, index).read == 3
    content = index.read_bytes()
    assert not update_index(tmp_path, paths, index).written
    # A file that says the same of itself is not opened again.
    before = (tmp_path / "b.png").stat()
    (tmp_path / "b.png").write_bytes(b"\0" * before.st_size)
    os.utime(tmp_path / "b.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert pw.search(tmp_path, "car").matches == 3
    assert index.read_bytes() == content
    write_map(tmp_path / "b.png", np.zeros((4, 4), np.uint8))
    write_map(tmp_path / "d.png", np.ones((4, 4), np.uint8))
    assert update_index(tmp_path, find_files(tmp_path), index).read == 2
    assert pw.search(tmp_path, "car").matches == 3


def test_a_young_file_is_looked_at_again(tmp_path):
    labels = np.ones((4, 4), np.uint8)
    (tmp_path / "a.png").write_bytes(map_bytes(labels))
    assert pw.search(tmp_path, "car").matches == 1
    state = (tmp_path / "a.png").stat()
    (tmp_path / "a.png").write_bytes(map_bytes(0 * labels))
    os.utime(tmp_path / "a.png", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert pw.search(tmp_path, "car").matches == 0


@pytest.mark.parametrize("places", [False, True])
def test_a_damaged_index_is_made_anew(tmp_path, write_map, places):
    for seed in range(6):
        write_map(tmp_path / f"{seed}.png", picture(seed))
    query = "car in left" if places else "car"
    expected = pw.search(tmp_path, query)
    index = tmp_path / INDEX_NAME
    content = index.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(10):
        spoiled = bytearray(content)
        spoiled[random.integers(len(content))] ^= 1 << random.integers(8)
        cut = spoiled[: random.integers(len(content))]
        for damaged in (spoiled, cut, content + cut[:20], b""):
            index.write_bytes(damaged)
            assert pw.search(tmp_path, query) == expected
    assert pw.search(tmp_path, "car in left").pictures == 6
    assert index.read_bytes() == content


def test_an_index_made_by_hand_is_made_anew(tmp_path, write_map):
    """Its checksums are right, and what they are of is not what a search writes."""
    for seed in range(4):
        write_map(tmp_path / f"{seed}.png", picture(seed))
    expected = pw.search(tmp_path, "car in left")
    index = tmp_path / INDEX_NAME
    content = index.read_bytes()
    sections, place = [], 8
    while place < len(content):
        (length,) = struct.unpack_from("<I", content, place)
        sections.append(zlib.decompress(content[place + 8 : place + 8 + length]))
        place += 8 + length

    def written(number, plain):
        parts = [zlib.compress(plain if n == number else old) for n, old in enumerate(sections)]
        heads = [struct.pack("<II", len(part), zlib.crc32(part)) for part in parts]
        return content[:8] + b"".join(map(b"".join, zip(heads, parts, strict=True)))

    for number, section in enumerate(sections):
        (told,) = struct.unpack_from("<I", section)
        head, rest = json.loads(section[4 : 4 + told]), section[4 + told :]
        for field in range(len(head)):
            for place, value in [(0, 9), (1, "<U1"), (1, ""), (1, "|u1"), (1, "<i8"), (2, 1)]:
                changed = [list(each) for each in head]
                changed[field][place] = value
                text = json.dumps(changed).encode()
                index.write_bytes(written(number, struct.pack("<I", len(text)) + text + rest))
                assert pw.search(tmp_path, "car in left").pictures == expected.pictures
    index.write_bytes(written(2, bytes(1 << 30)))
    assert pw.search(tmp_path, "car in left") == expected


def test_results_of_several_classes_per_pixel_are_one_picture_each(layered, command, monkeypatch):
    monkeypatch.chdir(layered)
    assert command("predict", "--model", "sigmoid.onnx", "data/images", "-o", "out")[0] == 0
    answer = pw.search("out", "red")
    assert (answer.pictures, answer.skipped) == (12, {})
    assert answer.matches == len({found.source for found in answer.found})
    for found in pw.search("out", "red > 0% in left half").found:
        mask = np.asarray(Image.open(Path("out/masks/red") / Path(found.labels).name))
        left = mask[:, : mask.shape[1] // 2]
        assert (left > 0).mean() == pytest.approx(next(iter(found.shares.values())))


def test_a_size_that_no_raster_has_is_no_result(tmp_path, write_map):
    result = json.dumps({"size": [10**30, 4], "classes": [], "nodata_pixels": 4})
    said = xml.quoteattr(json.dumps({"source": "scene.tif", "result": result}))[1:-1]
    items = f'<Item name="pixelwise">{said}</Item><Item name="CLASS_1">car</Item>'
    items = f"<GDALMetadata>{items}</GDALMetadata>"
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "a.tif", tiffinfo={42112: items})
    write_map(tmp_path / "b.png", np.ones((4, 4), np.uint8))
    assert pw.search(tmp_path, "car").skipped == {"not a label map of pixelwise": 1}


def test_an_index_that_is_none_is_told(tmp_path):
    (tmp_path / "index").write_bytes(b"something else")
    with pytest.raises(DamagedError):
        list(read_index(tmp_path / "index", places=True))


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_a_kill_while_the_index_is_written_leaves_the_old_one(tmp_path, write_map, run_python):
    write_map(tmp_path / "a.png", np.ones((4, 4), np.uint8))
    assert pw.search(tmp_path, "car").matches == 1
    content = (tmp_path / INDEX_NAME).read_bytes()
    write_map(tmp_path / "b.png", np.ones((4, 4), np.uint8))
    code = f"""
import os, signal
import pixelwise as pw
from pixelwise.formats import files
files._sync = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
pw.search({str(tmp_path)!r}, "car")
"""
    assert run_python(code).returncode == -signal.SIGKILL
    assert (tmp_path / INDEX_NAME).read_bytes() == content
    assert len(list(tmp_path.glob(".pixelwise-*.tmp"))) == 1
    assert pw.search(tmp_path, "car").matches == 2
    assert not list(tmp_path.glob(".pixelwise-*.tmp"))


def test_a_folder_that_cannot_be_written_is_searched_all_the_same(tmp_path, write_map):
    write_map(tmp_path / "a.png", np.ones((4, 4), np.uint8))
    (tmp_path / INDEX_NAME).mkdir()
    answer = pw.search(tmp_path, "car")
    assert answer.matches == 1
    assert "every search reads all" in answer.notes[0]


def test_other_files_are_counted(tmp_path, write_map):
    write_map(tmp_path / "labels" / "a.png", np.ones((4, 4), np.uint8))
    (tmp_path / "labels" / "photo.png").write_bytes(b"\x89PNG")
    (tmp_path / "labels" / "notes.txt").write_text("no picture")
    (tmp_path / "labels" / "raster.tif").write_bytes(b"II*\0")
    # What predict writes beside labels is none of them.
    for folder in ("overlays", "layers/a", "summary"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.png").write_bytes(map_bytes(np.ones((4, 4), np.uint8)))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "labels" / "pipe.png")
    answer = pw.search(tmp_path, "car")
    assert (answer.matches, answer.pictures) == (1, 1)
    others = 3 if hasattr(os, "mkfifo") else 2
    assert answer.skipped == {"not a label map of pixelwise": others}


@pytest.mark.parametrize(
    "facts",
    [
        {"presence": "no"},
        {"presence": None},
        {"presence": None, "shares": "[3]"},
        {"presence": None, "shares": '{"car": "much"}'},
        {"presence": None, "result": "{}"},
        {"classes": "[1]"},
        {"classes": '{"a": "b"}'},
        {"classes": '{"1": "a\\u0000b"}'},
        {"classes": '{"1": 5}'},
        {"classes": 7},
        {"classes": "[" * 100_000},
        {"source": ["a"]},
    ],
)
def test_facts_that_make_no_sense_are_no_result(tmp_path, write_map, facts):
    write_map(tmp_path / "a.png", np.ones((4, 4), np.uint8))
    write_map(tmp_path / "b.png", np.ones((4, 4), np.uint8), **facts)
    assert pw.search(tmp_path, "car").skipped == {"not a label map of pixelwise": 1}


def test_a_class_that_is_nowhere_is_an_error_and_one_that_only_might_be_is_not(tmp_path, write_map):
    write_map(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    assert pw.search(tmp_path, "sky").matches == 0
    with pytest.raises(ClassNameError) as caught:
        pw.search(tmp_path, "skye > 1% or road or cat")
    assert caught.value.got == "'skye', 'cat'"
    assert caught.value.fix.startswith("did you mean sky? known: Traffic light, car")


def test_another_name_for_a_class(tmp_path, write_map):
    write_map(tmp_path / "a.png", np.ones((4, 4), np.uint8))
    # ADE20K calls its car "auto" too.
    assert pw.search(tmp_path, "auto > 50%").matches == 1


def test_older_results_tell_shares_but_no_places(tmp_path, write_map):
    labels = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], np.uint8)
    shares = json.dumps({"road": 0.625, "car": 0.375})
    older = {"presence": None, "classes": None}
    write_map(tmp_path / "a.png", labels, shares=shares, **older)
    write_map(tmp_path / "b.png", labels)
    write_map(tmp_path / "c.png", labels, **older)
    answer = pw.search(tmp_path, "car > 30%")
    assert [found.shares for found in answer.found] == [{"car": 0.375}] * 2
    assert answer.skipped == {"not a label map of pixelwise": 1}
    assert answer.found[0].size == (2, 4)
    placed = pw.search(tmp_path, "not sky in left")
    assert [found.labels.name for found in placed.found] == ["b.png"]
    assert placed.pictures == 1
    assert placed.skipped["does not tell where classes are: predict it again"] == 1


def test_older_rasters_tell_what_has_data(tmp_path, write_map):
    classes = [{"name": "car", "pixels": 2}, {"name": "road", "pixels": 6}]
    result = json.dumps({"size": [3, 4], "classes": classes, "nodata_pixels": 4})
    said = xml.quoteattr(json.dumps({"source": "scene.tif", "result": result}))[1:-1]
    for name, more in (("labels.tif", '<Item name="CLASS_1">car</Item>'), ("confidence.tif", "")):
        items = f'<GDALMetadata><Item name="pixelwise">{said}</Item>{more}</GDALMetadata>'
        Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / name, tiffinfo={42112: items})
    write_map(tmp_path / "overlay.png", np.zeros((3, 4), np.uint8), presence=None, result=result)
    answer = pw.search(tmp_path, "car >= 25%")
    assert [found.shares for found in answer.found] == [{"car": 0.25}]
    assert answer.skipped == {"not a label map of pixelwise": 2}


def test_ignored_pixels_are_part_of_the_picture_but_no_class(tmp_path, write_map):
    write_map(tmp_path / "a.png", np.array([[1, 255, 255, 0]], np.uint8))
    assert pw.search(tmp_path, "car >= 25%").found[0].shares == {"car": 0.25}
    assert pw.search(tmp_path, "car > 25%").matches == 0


def test_a_part_without_pixels_holds_nothing(tmp_path, write_map):
    write_map(tmp_path / "a.png", np.ones((1, 1), np.uint8))
    assert pw.search(tmp_path, "car in cell 1,1 of 8").matches == 0
    assert pw.search(tmp_path, "car >= 100% in cell 8,8 of 8").matches == 1


def test_names_that_are_no_text(tmp_path, write_map):
    if sys.platform != "linux":
        pytest.skip("file names are text there")
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    write_map(place, np.ones((4, 4), np.uint8), source="\udcff.jpg")
    for _ in range(2):
        assert pw.search(tmp_path, "car").found[0].labels == place


def test_what_cannot_be_searched(tmp_path):
    for folder, what in ((tmp_path, "no results"), (tmp_path / "absent", "cannot be listed")):
        with pytest.raises(UsageError, match=what):
            pw.search(folder, "car")
    with pytest.raises(UsageError, match="empty"):
        pw.search("", "car")
    with pytest.raises(UsageError, match="on a disk"):
        pw.search("s3://bucket/out", "car")
    for limit in (0, 1.5, "3"):
        with pytest.raises(UsageError, match="limit"):
            pw.search(tmp_path, "car", limit=limit)
    (tmp_path / "photo.png").write_bytes(b"")
    with pytest.raises(UsageError, match="no results") as caught:
        pw.search(tmp_path, "car")
    assert caught.value.got == "1 × not a label map of pixelwise"
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]
