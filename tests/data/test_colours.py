from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import pixelwise.data.colours
from pixelwise.classes import ClassTable
from pixelwise.data.colours import count_colours

RED, GREEN, BLUE = (200, 30, 40), (30, 190, 60), (20, 40, 210)


def real(pattern):
    root = os.environ.get("PIXELWISE_DATA")
    root = Path(root) if root else Path(__file__).resolve().parents[3] / "shared" / "data"
    files = sorted(path.relative_to(root).as_posix() for path in root.glob(pattern))
    if not files:
        pytest.skip(f"there are no files {pattern}")
    return root, files


def save(path, pixels, mode=None, palette=None):
    image = Image.fromarray(np.asarray(pixels, np.uint8))
    if palette is not None:
        image.putpalette([channel for colour in palette for channel in colour])
    (image.convert(mode) if mode else image).save(path)


def by_colour(counts):
    return {count.colour or count.value: count for count in counts.found}


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), workers=st.sampled_from([1, 3]))
def test_every_pixel_is_counted_once(tmp_path_factory, seed, workers):
    root = tmp_path_factory.mktemp("masks")
    random = np.random.default_rng(seed)
    palette = random.integers(0, 256, (5, 3), dtype=np.uint8)
    masks = palette[random.integers(0, 5, (4, 9, 13))]
    for number, mask in enumerate(masks):
        save(root / f"{number}.png", mask)
    counts = count_colours(root, [f"{n}.png" for n in range(4)], workers=workers)
    assert sum(count.pixels for count in counts.found) == counts.pixels == masks[..., 0].size
    for count in counts.found:
        here = (masks == count.colour).all(axis=-1).sum(axis=(1, 2))
        assert count.pixels == here.sum()
        assert count.files == (here > 0).sum()
        assert count.example == f"{here.argmax()}.png"


def test_palettes_count_as_the_colours_that_they_show(tmp_path):
    mask = np.array([[0, 0, 1], [2, 2, 2]])
    save(tmp_path / "a.png", mask, palette=[RED, GREEN, BLUE])
    save(tmp_path / "b.png", mask, palette=[BLUE, GREEN, RED])
    mixed = count_colours(tmp_path, ["a.png", "b.png"])
    assert {c: (f.pixels, f.indices) for c, f in by_colour(mixed).items()} == {
        RED: (5, (0, 2)),
        BLUE: (5, (0, 2)),
        GREEN: (2, (1,)),
    }
    assert not mixed.indices_are_ids
    alone = count_colours(tmp_path, ["a.png"])
    assert alone.indices_are_ids
    assert [line.split(",")[0] for line in alone.to_csv().splitlines()] == ["id", "0", "1", "2"]


def test_two_indices_of_one_colour_are_one_colour_in_one_file(tmp_path):
    save(tmp_path / "a.png", [[0, 1, 2]], palette=[RED, RED, BLUE])
    found = by_colour(count_colours(tmp_path, ["a.png"]))[RED]
    assert (found.pixels, found.files, found.indices) == (2, 1, (0, 1))


def test_grey_masks_are_of_values(tmp_path):
    save(tmp_path / "a.png", [[0, 7, 7, 255]])
    Image.fromarray(np.array([[0, 300, 300]], np.uint16)).save(tmp_path / "b.png")
    counts = count_colours(tmp_path, ["a.png", "b.png"])
    assert {c.value: (c.pixels, c.ignored) for c in counts.found} == {
        0: (2, False),
        7: (2, False),
        255: (1, False),
        300: (2, False),
    }
    assert by_colour(count_colours(tmp_path, ["a.png"]))[255].ignored


def test_masks_of_black_and_white_become_two_classes(tmp_path):
    save(tmp_path / "a.png", [[0, 255, 255]])
    counts = count_colours(tmp_path, ["a.png"])
    assert counts.binary
    rows = [line.split(",") for line in counts.to_csv().splitlines()[1:]]
    assert [(row[0], row[2:]) for row in rows] == [
        ("0", ["0", "0", "0", "class"]),
        ("1", ["255", "255", "255", "class"]),
    ]


def test_smoothed_edges_are_strays(tmp_path):
    mask = np.zeros((200, 200, 3), np.uint8)
    mask[:, :100], mask[:, 100:] = RED, BLUE
    mask[:30, 100] = (np.array(RED) + BLUE) // 2
    mask[:20, 60] = np.array(RED) + 3
    save(tmp_path / "a.png", mask)
    counts = count_colours(tmp_path, ["a.png"])
    assert {c.colour for c in counts.classes} == {RED, BLUE}
    assert sorted(c.stray.split()[0] for c in counts.strays) == ["between", "close"]


def test_small_objects_are_no_strays(tmp_path):
    for number in range(30):
        mask = np.full((100, 100, 3), RED, np.uint8)
        mask[50:, :] = BLUE
        if number == 3:
            mask[10:15, 10:15] = GREEN
        save(tmp_path / f"{number}.png", mask)
    counts = count_colours(tmp_path, [f"{n}.png" for n in range(30)])
    assert {c.colour for c in counts.classes} == {RED, GREEN, BLUE}
    assert counts.strays == ()


def test_single_wrong_pixels_are_strays(tmp_path):
    mask = np.full((150, 150, 3), RED, np.uint8)
    mask[3, 4] = GREEN
    save(tmp_path / "a.png", mask)
    assert [c.stray for c in count_colours(tmp_path, ["a.png"]).strays] == ["rare"]


def test_known_tables_give_names_but_voc_alone_does_not(tmp_path):
    camvid, voc = ClassTable.builtin("camvid"), ClassTable.builtin("voc")
    for name, table in (("camvid", camvid), ("voc", voc)):
        colours = np.array([info.colour for info in table][:6], np.uint8)
        save(tmp_path / f"{name}.png", np.repeat(colours[None], 4, axis=0))
    named = count_colours(tmp_path, ["camvid.png"])
    assert {c.title for c in named.found} == set(camvid.names[:6])
    unnamed = count_colours(tmp_path, ["voc.png"])
    assert all(c.title.startswith("colour #") for c in unnamed.found)
    assert any("voc: aeroplane" in c.known_as for c in unnamed.found)


def test_the_own_table_gives_names_and_what_is_ignored(tmp_path):
    (tmp_path / "classes.csv").write_text(
        "id,name,r,g,b,use\n0,roof,200,30,40,class\n9,void,20,40,210,ignore\n"
    )
    save(tmp_path / "a.png", [[RED, BLUE, GREEN]])
    counts = count_colours(tmp_path, ["a.png"], table=ClassTable.from_csv(tmp_path / "classes.csv"))
    titles = {c.colour: (c.title, c.ignored) for c in counts.found}
    assert titles == {
        RED: ("roof", False),
        BLUE: ("unlabelled", True),
        GREEN: ("colour #1ebe3c", False),
    }


def test_the_table_written_is_a_class_table(tmp_path):
    save(tmp_path / "a.png", [[RED, RED, BLUE, GREEN]])
    (tmp_path / "table.csv").write_text(count_colours(tmp_path, ["a.png"]).to_csv())
    table = ClassTable.from_csv(tmp_path / "table.csv")
    assert table.ids == (0, 1, 2)
    assert set(table.colours) == {RED, GREEN, BLUE}
    save(tmp_path / "b.png", [[0, 3, 3, 255]])
    (tmp_path / "table.csv").write_text(count_colours(tmp_path, ["b.png"]).to_csv())
    table = ClassTable.from_csv(tmp_path / "table.csv")
    assert table.ids == (0, 3)
    assert table.ignore_index == 255


def test_unreadable_masks_are_told_and_stop_nothing(tmp_path):
    save(tmp_path / "a.png", [[1, 2]])
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    (tmp_path / "c.png").write_bytes(b"")
    counts = count_colours(tmp_path, ["b.png", "a.png", "c.png", "d.png"])
    assert counts.files == 1
    assert [fault.file for fault in counts.faults] == ["b.png", "c.png", "d.png"]


def test_memory_for_colours_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(pixelwise.data.colours, "_MOST_KEPT", 10)
    noise = np.random.default_rng(1).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    save(tmp_path / "a.png", noise)
    counts = count_colours(tmp_path, ["a.png"])
    assert len(counts.found) == 10
    assert counts.unlisted == 390


def test_strays_of_dubai_are_found():
    root, files = real("dubai_aerial/Tile */masks/*.png")
    counts = count_colours(root, files)
    assert len(counts.classes) == 6
    assert [(c.colour, c.pixels, c.files) for c in counts.strays] == [((0, 0, 0), 1675, 5)]
    assert not counts.indices_are_ids


def test_fields_have_three_colours():
    root, files = real("cwfid/annotations/*.png")
    counts = count_colours(root, files[:8])
    assert {c.colour for c in counts.classes} == {(0, 0, 0), (255, 0, 0), (0, 255, 0)}
