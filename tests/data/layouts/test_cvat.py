"""CVAT's XML: shapes to the pixel, and no entity is ever followed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelwise import data
from pixelwise.data.layouts.cvat import _read
from pixelwise.errors import MaskFileError

SIZE = (12, 16)
LABELS = (
    "<label><name>cat</name><color>#fa3253</color><type>any</type><attributes><attribute>"
    "<name>age</name><values>1</values></attribute></attributes></label>"
    "<label><name>dog</name><color>nonsense</color></label>"
)
SQUARE = '<polygon label="cat" occluded="0" points="2.00,2.00;6.00,2.00;6.00,6.00;2.00,6.00"/>'


@pytest.fixture
def write(tmp_path):
    """Writes a picture and annotations.xml; gives the opened data set."""

    def write(shapes=SQUARE, labels=LABELS, image='name="a.png"', head="", owner="task", **request):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", SIZE[::-1]).save(tmp_path / "images/a.png")
        (tmp_path / "annotations.xml").write_text(
            f'<?xml version="1.0" encoding="utf-8"?>\n{head}<annotations><version>1.1</version>'
            f"<meta><{owner}><name>toy</name><labels>{labels}</labels></{owner}></meta>\n"
            f'<image id="0" {image} width="16" height="12">{shapes}</image></annotations>'
        )
        return data.open(tmp_path, layout="cvat", **request)

    return write


def mask_of(dataset):
    return dataset[0].target.mask


def kinds(dataset):
    return {fault.what for fault in dataset.faults}


@pytest.mark.parametrize("owner", ["task", "project", "job"])
def test_polygons_and_labels_are_read(write, owner):
    dataset = write(owner=owner)
    assert dataset.faults == ()
    assert dataset.classes.names == ("background", "cat", "dog")
    assert dataset.classes.find("cat").colour == (0xFA, 0x32, 0x53)
    assert mask_of(dataset).sum() == 16
    assert (mask_of(dataset)[2:6, 2:6] == 1).all()


def test_the_layout_is_found_by_itself(write):
    assert data.open(write().root).layout == "cvat"


def test_boxes_turn_about_their_centre(write):
    box = '<box label="cat" xtl="4" ytl="2" xbr="10" ybr="4" rotation="{}"/>'
    assert mask_of(write(box.format("0.0")))[2:4, 4:10].all()
    upright = mask_of(write(box.format("90")))
    assert upright[0:6, 6:8].all()
    assert upright.sum() == 12


def test_ellipses_are_filled(write):
    mask = mask_of(write('<ellipse label="dog" cx="8" cy="6" rx="6" ry="3"/>'))
    y, x = np.indices(SIZE) + 0.5
    np.testing.assert_array_equal(mask == 2, ((x - 8) / 6) ** 2 + ((y - 6) / 3) ** 2 < 1)


def test_masks_are_runs_along_the_rows_of_a_box(write):
    mask = mask_of(
        write('<mask label="cat" rle="1, 2, 2, 1" left="3" top="4" width="3" height="2"/>')
    )
    assert mask[4:6, 3:6].tolist() == [[0, 1, 1], [0, 0, 1]]
    assert mask.sum() == 3


def test_the_order_of_layers_is_kept(write):
    small = SQUARE.replace("cat", "dog").replace("6.00", "4.00")
    above = SQUARE.replace("<polygon", '<polygon z_order="1"')
    assert (mask_of(write(above + small)) == 2).sum() == 0
    assert (mask_of(write(SQUARE + small)) == 2).sum() == 4


def test_shapes_of_one_group_are_one_object(write):
    grouped = SQUARE.replace("<polygon", '<polygon group_id="3"')
    dataset = write(grouped + grouped.replace("2.00", "3.00"))
    assert dataset[0].target.instances.max() == 1


@pytest.mark.parametrize(
    ("subset", "split"),
    [("Train", "train"), ("default", ""), ("Validation", "val"), ("odd", "odd")],
)
def test_subsets_are_splits(write, subset, split):
    dataset = write(image=f'name="a.png" subset="{subset}"')
    assert dataset.entries[0].split == split


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE a [<!ENTITY x "aaaaaaaaaa"><!ENTITY y "&x;&x;&x;&x;">]>',
        '<!DOCTYPE a SYSTEM "file:///etc/hostname">',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
    ],
)
def test_document_types_are_refused(write, head):
    (fault,) = (fault for fault in write(head=head).faults if fault.severity == "error")
    assert "document type" in fault.got


def test_an_encoding_that_nobody_knows_is_told(tmp_path):
    (tmp_path / "a.xml").write_text('<?xml version="1.0" encoding="foo"?><annotations/>')
    _, fault = _read(tmp_path / "a.xml", "a.xml")
    assert "encoding" in fault.got


def test_names_are_text(write):
    labels = LABELS.replace("dog", "&lt;b&gt;dog &amp; co&lt;/b&gt;")
    assert "<b>dog & co</b>" in write(labels=labels).classes


@pytest.mark.parametrize(
    ("shapes", "what"),
    [
        ('<polygon label="cat" points="1,2;3"/>', "a shape is damaged"),
        ('<polygon label="cat" points="1,2;3,x;4,5"/>', "a shape is damaged"),
        ('<polygon label="cat"/>', "a shape is damaged"),
        ('<polygon points="1,2;3,4;4,5"/>', "a shape is damaged"),
        (SQUARE.replace("<polygon", '<polygon z_order="top"'), "a shape is damaged"),
        (
            '<mask label="cat" rle="1,9" left="0" top="0" width="3" height="2"/>',
            "a shape is damaged",
        ),
        ('<mask label="cat" rle="1,9" left="0" top="0"/>', "a shape is damaged"),
        (SQUARE.replace("6.00,6.00", "nan,6.00"), "a point of an outline is no number"),
        ('<mask label="cat" rle="7,-1" left="0" top="0" width="3" height="2"/>', None),
    ],
)
def test_damaged_shapes_are_told_and_their_pictures_refused(write, shapes, what):
    dataset = write(SQUARE + shapes)
    assert kinds(dataset) == ({what} if what else set())
    with pytest.raises(MaskFileError, match="damaged"):
        dataset[0]


@pytest.mark.parametrize("kind", ["polyline", "points", "cuboid", "skeleton"])
def test_lines_and_points_are_left_out_with_a_warning(write, kind):
    dataset = write(f'<{kind} label="cat" points="1,1;2,2"/><tag label="cat"/>')
    assert [fault.severity for fault in dataset.faults] == ["warning"]
    assert not mask_of(dataset).any()


def test_labels_that_the_task_does_not_list_are_told(write):
    dataset = write(SQUARE.replace("cat", "cow"))
    assert kinds(dataset) == {"labels are used that the task does not list"}
    assert dataset.classes.names == ("background", "cat", "dog", "cow")


def test_a_missing_picture_is_told(write):
    assert "a picture of the annotation file is not there" in kinds(write(image='name="b.png"'))


def test_broken_xml_is_told_with_its_line(write):
    root = write().root
    path = root / "annotations.xml"
    path.write_text(path.read_text().replace("</image>", ""))
    errors = [fault.got for fault in data.open(root, layout="cvat").faults]
    assert any(got.startswith("line 3, column") for got in errors)


def test_tracks_of_videos_are_told(write):
    root = write().root
    (root / "annotations.xml").write_text('<annotations><track id="0" label="cat"/></annotations>')
    (fault,) = data.open(root, layout="cvat").faults
    assert "CVAT for images 1.1" in fault.got
