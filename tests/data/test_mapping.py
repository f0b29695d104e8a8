from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

import pixelwise as pw
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data import InstanceTarget, MultiLabelTarget
from pixelwise.data.mapping import Around, candidates, mapped, relabelled
from pixelwise.errors import ClassTableError


def table(name, *names, ignore_index=255):
    return ClassTable(
        name,
        tuple(ClassInfo(i, text, (i, 0, 9)) for i, text in enumerate(names)),
        ignore_index,
        "",
    )


OWN = table("own", "null", "person", "bag")
ALL = table("all", "road", "person", "bag", "null")
STORED = np.array([[0, 1, 2, 255]], np.uint8)


@pytest.fixture
def open_own(tmp_path):
    for folder, pixels in (("images", np.zeros((1, 4, 3), np.uint8)), ("masks", STORED)):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "a.png")
    return lambda **options: pw.data.open(tmp_path, classes=OWN, **options)


def test_ids_follow_the_names(open_own):
    dataset = mapped(open_own(), ALL)
    np.testing.assert_array_equal(dataset[0].mask, [[3, 1, 2, 255]])
    assert dataset.classes is ALL


def test_a_mapping_goes_before_the_names(open_own):
    dataset = mapped(open_own(), ALL, {"bag": "person", "null": None})
    np.testing.assert_array_equal(dataset[0].mask, [[255, 1, 1, 255]])


def test_classes_that_go_nowhere_are_told(open_own):
    with pytest.raises(ClassTableError, match="cannot be mapped"):
        mapped(open_own(), table("few", "road", ignore_index=None))


def test_objects_of_classes_that_are_ignored_are_gone(open_own):
    dataset = mapped(open_own(), ALL, {"bag": None})
    inner = InstanceTarget(STORED, np.array([[0, 7, 8, 0]], np.int32))

    class Given:
        def read(self, *arguments):
            assert arguments[2] is OWN
            return inner

    truth = dataset.truth.__class__(Given(), OWN, dataset.truth.lookup)
    target = truth.read(dataset.root, dataset.entries[0], ALL, (1, 4))
    np.testing.assert_array_equal(target.mask, [[3, 1, 255, 255]])
    np.testing.assert_array_equal(target.instances, [[0, 7, 0, 0]])


def test_layers_of_joined_classes_are_joined(open_own):
    dataset = mapped(open_own(kind="multi_label"), ALL, {"bag": "person", "null": None})
    target = dataset[0].target
    assert isinstance(target, MultiLabelTarget)
    np.testing.assert_array_equal(target.layers[:, 0], [[0] * 4, [0, 1, 1, 0], [0] * 4, [0] * 4])
    np.testing.assert_array_equal(target.ignore, [[False, False, False, True]])


def test_wide_ids_stay_wide(open_own):
    wide = ClassTable(
        "wide", (ClassInfo(1, "person", (1, 1, 1)), ClassInfo(900, "bag", (2, 2, 2))), 65_535, ""
    )
    dataset = mapped(open_own(), wide)
    np.testing.assert_array_equal(dataset[0].mask, [[65_535, 1, 900, 65_535]])


def test_pixels_of_the_rest_may_be_any_class_but_the_labelled(open_own):
    rows = candidates(open_own(rest="null"), ALL)
    np.testing.assert_array_equal(rows[0], [True, False, False, True])
    np.testing.assert_array_equal(rows[1], [False, True, False, False])
    np.testing.assert_array_equal(rows[2], [False, False, True, False])
    assert not rows[255].any()
    assert mapped(open_own(rest="null"), ALL).rest == 3


def test_without_a_rest_every_id_is_one_class(open_own):
    rows = candidates(open_own(), ALL)
    np.testing.assert_array_equal(rows[:3].sum(axis=1), [1, 1, 1])
    assert rows[0, 3]


@settings(max_examples=80, deadline=None)
@given(
    arrays.arrays(
        np.uint8,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.integers(0, 4),
    ),
    st.integers(1, 12),
)
def test_around_changes_what_is_as_near_to_an_object(mask, pixels):
    changed = Around(pixels, (1, 2), {0: 7, 3: 8}).apply(mask)
    for (y, x), number in np.ndenumerate(mask):
        window = mask[max(0, y - pixels) : y + pixels + 1, max(0, x - pixels) : x + pixels + 1]
        near = np.isin(window, (1, 2)).any()
        assert changed[y, x] == ({0: 7, 3: 8}.get(number, number) if near else number)


def test_around_looks_at_the_new_ids(open_own):
    lookup = np.full(256, 255, np.uint16)
    lookup[:3] = 3, 1, 2
    dataset = relabelled(open_own(), ALL, lookup, around=Around(1, (1,), {3: 0, 2: 0}))
    np.testing.assert_array_equal(dataset[0].mask, [[0, 1, 0, 255]])
