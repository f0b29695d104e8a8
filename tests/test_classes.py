from __future__ import annotations

import json
import os
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.classes
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.errors import ClassNameError, ClassTableError

BUILTIN = ("ade20k", "camvid", "cityscapes", "coco", "voc")

words = st.text("abcdefgh", min_size=1, max_size=3)
colours = st.tuples(*[st.integers(0, 255)] * 3)


perhaps_ignoring = st.none() | st.just(65_535)


@st.composite
def tables(draw, *, ignoring=perhaps_ignoring):
    names = draw(st.lists(words, min_size=1, max_size=8, unique=True))
    ids = draw(st.lists(st.integers(0, 400), min_size=8, max_size=8, unique=True))
    aliases = draw(st.lists(words.map(lambda word: f"also {word}"), max_size=8, unique=True))
    classes = [
        ClassInfo(id_, name, draw(colours), draw(st.sampled_from(["thing", "stuff"])))
        for id_, name in zip(ids, names, strict=False)
    ]
    for alias in aliases:
        place = draw(st.integers(0, len(classes) - 1))
        classes[place] = replace(classes[place], aliases=(*classes[place].aliases, alias))
    ignore_index = draw(ignoring)
    ignored = () if ignore_index is None else tuple(draw(st.lists(colours, max_size=2)))
    return ClassTable(draw(words), tuple(classes), ignore_index, draw(words), ignored)


def table(*names, ignore_index=255, aliases=None, name="made"):
    classes = [
        ClassInfo(id_, each, (id_, id_, 7), aliases=(aliases or {}).get(each, ()))
        for id_, each in enumerate(names)
    ]
    return ClassTable(name, tuple(classes), ignore_index, "a test")


def test_public_names_are_sorted():
    names = ["ClassInfo", "ClassTable", "distinct_colours", "places_that_fit"]
    assert pixelwise.classes.__all__ == names


def test_classes_stand_in_the_order_of_their_ids():
    given_order = (ClassInfo(7, "b", (1, 2, 3)), ClassInfo(2, "a", (4, 5, 6)))
    ordered = ClassTable("made", given_order, None, "a test")
    assert ordered.ids == (2, 7)
    assert ordered.names == ("a", "b")
    assert [info.id for info in ordered] == [2, 7]
    assert len(ordered) == 2


def test_lists_and_numpy_numbers_become_plain():
    info = ClassInfo(np.int64(3), "a", [np.uint8(1), 2, 3], aliases=["b"])
    plain = ClassTable("made", [info], np.int32(9), "a test", [[1, 2, 3]])
    expected = ClassTable(
        "made", (ClassInfo(3, "a", (1, 2, 3), aliases=("b",)),), 9, "a test", ((1, 2, 3),)
    )
    assert plain == expected
    assert hash(plain) == hash(expected)
    assert type(plain.ids[0]) is int


def test_a_table_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        table("a").name = "other"


def test_a_table_survives_pickling_after_use():
    original = table("a", "b")
    original.find("a")
    assert pickle.loads(pickle.dumps(original)) == original


def test_every_fault_is_listed_at_once():
    classes = (
        ClassInfo(1, "Sky", (0, 0, 0)),
        ClassInfo(1, "sky", (0, 0, 256)),
        ClassInfo(65_535, "", (0, 0, 0)),
        "road",
    )
    with pytest.raises(ClassTableError) as caught:
        ClassTable("bad", classes, 1, "a test")
    text = str(caught.value)
    for part in ("id 1 is shared", "'Sky' of id 1 and 'sky' of id 1", "256", "65535", "is empty"):
        assert part in text
    assert "classes[3]" in text
    assert "ignore_index 1" in text
    assert "class table 'bad'" in text


def test_find_knows_names_aliases_and_ids_in_any_case():
    made = table("sky", "Road", aliases={"Road": ("Straße",)})
    assert made.find("ROAD") == made.find("strasse") == made.find(1) == made.find(np.int64(1))
    assert made.index("Sky") == 0


def test_index_is_the_place_not_the_id():
    coco = ClassTable.builtin("coco")
    assert coco.find("toothbrush").id == 90
    assert coco.ids[coco.index("toothbrush")] == 90
    assert coco.index("toothbrush") == 79


@pytest.mark.parametrize("unknown", ["rod", 5, -1, True, None, 1.0, b"sky", 2**200])
def test_an_unknown_class_is_an_error(unknown):
    with pytest.raises(ClassNameError) as caught:
        table("sky", "road").find(unknown)
    assert "class table made" in str(caught.value)
    assert "sky" in caught.value.fix
    assert unknown not in table("sky", "road")


def test_a_misspelt_class_is_offered_the_near_one():
    with pytest.raises(ClassNameError, match=r"did you mean road\?"):
        table("sky", "road").index("raod")


def test_contains():
    made = table("sky", "road", aliases={"road": ("street",)})
    assert "Sky" in made
    assert "street" in made
    assert 1 in made
    assert 2 not in made
    assert ["sky"] not in made


def test_palette_has_the_colour_of_each_id_and_black_elsewhere():
    palette = ClassTable.builtin("camvid").palette
    assert palette.shape == (256, 3)
    assert palette.dtype == np.uint8
    assert palette[5].tolist() == [128, 128, 0]
    assert not palette[11:].any()


def test_palette_shows_the_ignored_id_in_its_colour():
    assert ClassTable.builtin("voc").palette[255].tolist() == [224, 224, 192]


def test_palette_grows_with_the_highest_id():
    made = ClassTable("made", (ClassInfo(999, "a", (1, 2, 3)),), 65_535, "a test", ((9, 9, 9),))
    assert made.palette.shape == (1000, 3)
    assert made.palette[999].tolist() == [1, 2, 3]


def test_colours_read_a_colour_coded_mask():
    colours_of = ClassTable.builtin("camvid").colours
    assert colours_of[128, 64, 128] == 3
    assert colours_of[0, 0, 0] == 11
    assert len(colours_of) == 12


def test_shared_colours_are_listed():
    with pytest.raises(ClassTableError, match=r"\(140, 140, 140\): road, skyscraper"):
        _ = ClassTable.builtin("ade20k").colours


def test_an_ignored_colour_may_not_be_a_class_too():
    made = ClassTable("made", (ClassInfo(0, "a", (1, 2, 3)),), 9, "a test", ((1, 2, 3),))
    with pytest.raises(ClassTableError, match=r"a, \(ignored\)"):
        _ = made.colours


@pytest.mark.parametrize(
    ("name", "count", "ignore_index", "last"),
    [
        ("ade20k", 150, 0, (150, "flag", (92, 0, 255))),
        ("camvid", 11, 11, (10, "bicyclist", (0, 128, 192))),
        ("cityscapes", 19, 255, (18, "bicycle", (119, 11, 32))),
        ("coco", 133, 0, (200, "rug-merged", (250, 141, 255))),
        ("voc", 21, 255, (20, "tvmonitor", (0, 64, 128))),
    ],
)
def test_builtin_tables(name, count, ignore_index, last):
    made = ClassTable.builtin(name)
    assert (len(made), made.ignore_index, made.name) == (count, ignore_index, name)
    assert (made.classes[-1].id, made.names[-1], made.classes[-1].colour) == last
    assert made.source


def test_builtin_things():
    def things(name):
        return sum(info.kind == "thing" for info in ClassTable.builtin(name))

    assert [things(name) for name in BUILTIN] == [100, 3, 8, 80, 20]


def test_builtin_aliases():
    assert ClassTable.builtin("camvid").find("people").name == "pedestrian"
    assert ClassTable.builtin("ade20k").find("couch").name == "sofa"
    assert "ground" not in ClassTable.builtin("ade20k")  # two classes have it


def test_voc_colours_follow_from_the_bits_of_the_id():
    for info in ClassTable.builtin("voc"):
        bits = [[info.id >> (3 * step + channel) & 1 for step in range(3)] for channel in range(3)]
        assert info.colour == tuple(128 * a + 64 * b + 32 * c for a, b, c in bits)


@pytest.mark.parametrize("name", ["cityscape", "", "../voc", None, ["voc"]])
def test_an_unknown_builtin_is_an_error(name):
    with pytest.raises(ClassTableError, match="cityscapes"):
        ClassTable.builtin(name)


@pytest.mark.parametrize("name", BUILTIN)
def test_builtin_tables_survive_json(name):
    made = ClassTable.builtin(name)
    assert ClassTable.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@settings(max_examples=50, deadline=None)
@given(tables())
def test_dict_round_trip(made):
    assert ClassTable.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@settings(max_examples=30, deadline=None)
@given(tables())
def test_a_table_read_from_text_equals_the_one_written(tmp_path_factory, made):
    lines = ["id,name,kind,r,g,b,aliases,use"]
    for info in made:
        cells = [info.id, info.name, info.kind, *info.colour, "|".join(info.aliases), "class"]
        lines.append(",".join(map(str, cells)))
    lines += [
        f"{made.ignore_index},void,,{','.join(map(str, colour))},,ignore"
        for colour in made.ignore_colours
    ]
    path = tmp_path_factory.mktemp("table") / "made.csv"
    path.write_text("\n".join(lines) + "\n")
    read = ClassTable.from_csv(path, name=made.name)
    assert read.classes == made.classes
    assert read.ignore_colours == made.ignore_colours
    assert read.ignore_index == (made.ignore_index if made.ignore_colours else None)


def test_from_csv_names_the_table_after_the_file_or_its_folder(tmp_path):
    folder = tmp_path / "aerial"
    folder.mkdir()
    for file in ("classes.csv", "roofs.csv"):
        (folder / file).write_text("id,name,r,g,b\n0,roof,1,2,3\n")
    assert ClassTable.from_csv(folder / "classes.csv").name == "aerial"
    assert ClassTable.from_csv(str(folder / "roofs.csv")).name == "roofs"
    assert ClassTable.from_csv(folder / "roofs.csv", name="mine").name == "mine"
    assert ClassTable.from_csv(folder / "roofs.csv").source == "aerial/roofs.csv"


def test_from_csv_says_what_it_cannot_read(tmp_path):
    for path in (tmp_path / "missing.csv", tmp_path):
        with pytest.raises(ClassTableError, match="not a file"):
            ClassTable.from_csv(path)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ClassTableError, match="not in UTF-8") as caught:
        ClassTable.from_csv(tmp_path / "binary.csv")
    assert "binary.csv" in caught.value.where


def test_a_table_in_another_encoding_says_where(tmp_path):
    (tmp_path / "old.csv").write_bytes("id,name\n0,Straße\n".encode("latin-1"))
    with pytest.raises(ClassTableError, match="save it as UTF-8") as caught:
        ClassTable.from_csv(tmp_path / "old.csv")
    assert caught.value.got == "line 2: byte 0xdf"


@pytest.mark.parametrize("mark", [";", "\t"])
def test_other_marks_between_values_are_read(tmp_path, mark):
    lines = ("id,name,r,g,b", "0,roof,1,2,3")
    (tmp_path / "made.csv").write_text("\n".join(lines).replace(",", mark))
    (info,) = ClassTable.from_csv(tmp_path / "made.csv")
    assert (info.id, info.name, info.colour) == (0, "roof", (1, 2, 3))


def test_a_table_without_colours_is_given_some(tmp_path):
    (tmp_path / "made.csv").write_text("id,name\n0,roof\n1,wall\n")
    table = ClassTable.from_csv(tmp_path / "made.csv")
    assert table.names == ("roof", "wall")
    assert len({info.colour for info in table}) == 2


def test_from_csv_reads_what_a_spreadsheet_writes(tmp_path):
    text = '\ufeffID,Name,R,G,B\r\n0,"roof, flat",1,2,3\r\n\r\n,,,,\r\n'
    (tmp_path / "roofs.csv").write_bytes(text.encode())
    assert ClassTable.from_csv(tmp_path / "roofs.csv").names == ("roof, flat",)


def test_from_csv_lists_faults_of_text_and_table_together(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("id,name,r,g,b,use\n0,a,1,2,3,clas\nx,b,1,2,999,class\n2,c\n")
    with pytest.raises(ClassTableError) as caught:
        ClassTable.from_csv(path)
    for part in ("line 2: use 'clas'", "id 'x'", "(1, 2, 999)", "line 4: 2 values"):
        assert part in str(caught.value)
    assert caught.value.where == str(path)


def test_equal_names_map_by_themselves_and_the_rest_is_ignored():
    lookup = ClassTable.builtin("camvid").map_to(
        ClassTable.builtin("cityscapes"),
        {"tree": "vegetation", "SignSymbol": "traffic sign", "bicyclist": None},
    )
    assert lookup.dtype == np.uint16
    assert lookup[:12].tolist() == [10, 2, 5, 0, 1, 8, 7, 4, 13, 11, 255, 255]
    assert set(lookup[12:].tolist()) == {255}
    assert len(lookup) == 256


def test_two_classes_may_map_to_one():
    target = table("vegetation", ignore_index=None)
    mapping = {"tree": "vegetation", "grass": "vegetation"}
    lookup = table("tree", "grass", ignore_index=None).map_to(target, mapping)
    assert lookup[:2].tolist() == [0, 0]
    assert lookup[2] == 65_535


def test_a_name_goes_before_an_alias():
    target = table("lamp", "light", aliases={"lamp": ("torch",)})
    own = table("light", aliases={"light": ("torch",)})
    assert own.map_to(target)[0] == 1


def test_aliases_that_find_two_classes_are_an_error():
    own = table("light", aliases={"light": ("torch", "lamp")})
    with pytest.raises(ClassTableError, match="'light' fits torch and lamp"):
        own.map_to(table("torch", "lamp"))
    assert own.map_to(table("torch", "lamp"), {"light": "lamp"})[0] == 1


def test_what_goes_nowhere_is_listed_where_nothing_is_ignored():
    with pytest.raises(ClassTableError, match=r"has none for id 255 \(ignored\), sky, tree"):
        table("sky", "road", "tree").map_to(table("road", ignore_index=None))


def test_every_wrong_name_of_a_mapping_is_listed():
    with pytest.raises(ClassTableError) as caught:
        table("tree", "sky", aliases={"tree": ("trees",)}).map_to(
            table("vegetation", "sky"),
            {"tre": "vegetation", "sky": "skies", "tree": "sky", "Trees": "vegetation", 3: None},
        )
    text = str(caught.value)
    for part in ("no 'tre' (did you mean tree?", "no 'skies' (did you mean sky?", "no 3"):
        assert part in text
    assert "'tree' is sent to two classes" in text


def test_an_ignored_id_above_255_has_an_entry():
    made = table("a", ignore_index=65_535)
    assert made.map_to(made)[65_535] == 65_535


@settings(max_examples=50, deadline=None)
@given(tables(), tables(ignoring=st.just(401)))
def test_map_to_follows_name_then_aliases(own, target):
    expected = {}
    for info in own:
        names = [info.name] if info.name in target else info.aliases
        expected[info.id] = {target.find(name).id for name in names if name in target} or {401}
    if max(map(len, expected.values())) > 1:
        with pytest.raises(ClassTableError, match=" fits "):
            own.map_to(target)
    else:
        lookup = own.map_to(target)
        assert {id_: {int(lookup[id_])} for id_ in own.ids} == expected


@settings(max_examples=30, deadline=None)
@given(tables())
def test_a_table_maps_to_itself(made):
    ids = [*made.ids, *([] if made.ignore_index is None else [made.ignore_index])]
    assert made.map_to(made)[ids].tolist() == ids


def test_merge_keeps_the_first_and_adds_the_new():
    sky, person = ClassInfo(5, "sky", (1, 1, 1)), ClassInfo(9, "person", (2, 2, 2), "thing")
    tree = ClassInfo(0, "tree", (4, 4, 4))
    pedestrian = ClassInfo(1, "pedestrian", (3, 3, 3), aliases=("person", "walker"))
    lake = ClassInfo(2, "lake", (1, 1, 1))
    first = ClassTable("first", (sky, person), 0, "x", ((7, 7, 7), (4, 4, 4)))
    second = ClassTable("second", (tree, pedestrian, lake), None, "y")
    merged = first.merge(second, name="both")
    assert merged.name == "both"
    assert merged.names == ("sky", "person", "tree", "lake")
    assert merged.ids == (0, 1, 2, 3)
    assert merged.ignore_index == 255
    assert merged.ignore_colours == ((7, 7, 7),)
    assert merged.classes[1] == ClassInfo(
        1, "person", (2, 2, 2), "thing", aliases=("pedestrian", "walker")
    )
    assert merged.source == "first (x) merged with second (y); new colours for lake"
    assert merged.find("lake").colour != (1, 1, 1)
    assert len(merged.colours) == 5


def test_merge_drops_an_alias_that_another_class_has():
    first = table("lamp", "light")
    second = table("lamp", aliases={"lamp": ("light", "torch")})
    merged = first.merge(second, name="both")
    assert merged.find("light").id == 1
    assert merged.find("torch").id == 0


def test_merge_without_an_ignored_id_has_none():
    plain = table("a", ignore_index=None)
    assert plain.merge(table("b", ignore_index=None), name="both").ignore_index is None


def test_merge_of_many_classes_ignores_a_higher_id():
    many = table(*(f"class {number}" for number in range(255)), ignore_index=None)
    assert many.merge(table("class 0"), name="both").ignore_index == 255
    assert many.merge(table("one more"), name="both").ignore_index == 65_535


def test_merge_lists_every_class_that_fits_twice():
    first = table("person", "rider", "car", aliases={"car": ("van", "taxi")})
    second = table("human", "van", "taxi", aliases={"human": ("person", "rider")})
    with pytest.raises(ClassTableError) as caught:
        first.merge(second, name="both")
    assert "'human' of made fits person and rider" in str(caught.value)
    assert "'van' and 'taxi' of made fit car" in str(caught.value)


@pytest.mark.parametrize("first", BUILTIN)
@pytest.mark.parametrize("second", BUILTIN)
def test_builtin_tables_merge(first, second):
    one, two = ClassTable.builtin(first), ClassTable.builtin(second)
    merged = one.merge(two, name="both")
    assert merged.names[: len(one)] == one.names
    assert all(name in merged for name in two.names)
    assert len(set(merged.colours.values())) >= len(merged)


@settings(max_examples=30, deadline=None)
@given(tables(), tables())
def test_both_tables_map_into_their_merger(one, two):
    try:
        merged = one.merge(two, name="both")
    except ClassTableError:
        return
    for source in (one, two):
        lookup = source.map_to(merged)
        assert len({int(lookup[id_]) for id_ in source.ids}) == len(source)
        assert all(int(lookup[id_]) in merged for id_ in source.ids)
    assert merged.merge(two, name="both").names == merged.names
    assert merged.colours


def shared_tables():
    root = os.environ.get("PIXELWISE_DATA")
    root = Path(root) if root else Path(__file__).resolve().parents[2] / "shared" / "data"
    return sorted(root.glob("*/classes.csv"))


@pytest.mark.skipif(not shared_tables(), reason="no data sets: set PIXELWISE_DATA to their folder")
def test_tables_of_real_data_sets_are_read():
    made = {path.parent.name: ClassTable.from_csv(path) for path in shared_tables()}
    assert all(len(each.colours) >= len(each) for each in made.values())
    if "camvid" in made:
        ours = ClassTable.builtin("camvid")
        assert made["camvid"].colours == ours.colours
        assert made["camvid"].map_to(ours)[:12].tolist() == list(range(12))
    if "dubai_aerial" in made:
        assert made["dubai_aerial"].ignore_colours == ((155, 155, 155), (0, 0, 0))
