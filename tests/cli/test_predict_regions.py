"""`pixelwise predict --regions`: folders of annotations that open as data sets."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from pixelwise import data
from pixelwise.cli.regions_option import begin_regions, parse_size
from pixelwise.errors import UsageError
from pixelwise.formats.masks import read_mask
from pixelwise.inference.remote import RemotePath
from pixelwise.region_files import REGION_FORMS, read_regions

OUT = "out/regions"
DATA_SETS = {
    "coco": "annotations/instances.json",
    "cvat": "annotations.xml",
    "labelme": "images/f/b.json",
    "voc": "Annotations/f_b.xml",
    "yolo": "labels/f/b.txt",
}


@pytest.fixture
def work(tmp_path, monkeypatch, make_photos):
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path, "in/a.jpg", "in/f/b.png")
    return tmp_path


@pytest.fixture
def predict(work, make_model, make_table, command):
    """`pixelwise predict` of the folder `in` with a model of the ids 0, 3, 7 and 200."""
    model = make_model(table=make_table(0, 3, 7, 200))

    def run(*arguments):
        return command("predict", "--model", model, "--engine", "onnxruntime", "in", *arguments)

    run.classes = make_table(0, 3, 7, 200)
    return run


def test_the_help_names_every_form(command):
    code, out, _ = command("predict", "--help")
    assert code == 0
    told = "".join(letter if letter.isalpha() else " " for letter in out).split()
    assert set(REGION_FORMS) <= set(told)


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("form", DATA_SETS)
def test_the_folder_opens_as_one_data_set_with_the_label_maps(form, work, predict):
    code, out, error = predict("--regions", form)
    assert (code, error) == (0, "")
    assert f"{OUT}/{form}" in out
    opened = data.open(work / OUT / form)
    assert (opened.layout, len(opened.entries)) == (form, 2)
    assert [fault for fault in opened.faults if fault.severity == "error"] == []
    assert opened.classes.names == predict.classes.names
    for entry, name in zip(opened.entries, ("a", "f/b"), strict=True):
        expected = read_mask(work / f"out/labels/{name}.png")
        found = opened.read_target(entry, expected.shape).mask
        np.testing.assert_array_equal(found, expected)
        copied = (work / OUT / form / entry.image).read_bytes()
        assert copied == next(work.glob(f"in/{name}.*")).read_bytes()


@pytest.mark.parametrize("form", ["svg", "geojson"])
def test_pictures_for_people_and_maps(form, work, predict):
    assert predict("--regions", form)[0] == 0
    for name in ("a", "f/b"):
        found = read_regions(work / OUT / form / f"{name}.{form}", predict.classes)
        np.testing.assert_array_equal(found, read_mask(work / f"out/labels/{name}.png"))


@pytest.mark.parametrize("form", ["coco", "voc", "svg"])
def test_a_second_run_leaves_all_as_it_is(form, work, predict):
    predict("--regions", form)
    before = contents(work / "out")
    code, out, _ = predict("--regions", form)
    assert code == 0
    assert "0 done, 2 already there" in out
    assert contents(work / "out") == before
    assert predict("--regions", form, "--overwrite")[0] == 0
    after = contents(work / "out")
    assert {path: after[path] for path in after if path.parent.name != "overlays"} == {
        path: before[path] for path in before if path.parent.name != "overlays"
    }


def test_a_picture_that_comes_later_joins_the_others(work, predict):
    shutil.move(work / "in" / "f", work / "f")
    predict("--regions", "coco")
    assert len(data.open(work / OUT / "coco").entries) == 1
    shutil.move(work / "f", work / "in" / "f")
    code, out, _ = predict("--regions", "coco")
    assert code == 0
    assert "1 done, 1 already there" in out
    value = json.loads((work / OUT / "coco" / DATA_SETS["coco"]).read_bytes())
    assert [image["file_name"] for image in value["images"]] == ["images/a.jpg", "images/f/b.png"]
    assert [entry["id"] for entry in value["annotations"]] == [
        *range(1, len(value["annotations"]) + 1)
    ]


def test_what_a_killed_run_left_is_gone_on_with(work, predict):
    predict("--regions", "yolo")
    before = contents(work / "out")
    for path in ("labels/a.png", "regions/yolo/labels/a.txt", "regions/yolo/data.yaml"):
        (work / "out" / path).unlink()
    assert predict("--regions", "yolo")[0] == 0
    assert contents(work / "out") == before


@pytest.mark.parametrize("form", ["labelme", "coco"])
def test_a_corrected_file_is_never_replaced(form, work, predict):
    predict("--regions", form)
    path = work / OUT / form / DATA_SETS[form]
    path.write_bytes(path.read_bytes().replace(b"class 3", b"class 7"))
    corrected = path.read_bytes()
    code, _, error = predict("--regions", form, "--overwrite")
    assert code in (1, 2)
    assert "was changed since; it stays" in error
    assert path.name in error
    assert path.read_bytes() == corrected
    if form == "labelme":
        assert predict("--regions", form)[0] == 0
        assert path.read_bytes() == corrected


@pytest.mark.parametrize("where", ["a.svg", "notes.txt"])
def test_files_of_others_stay(where, work, predict):
    path = work / OUT / "svg" / where
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    code, _, error = predict("--regions", "svg")
    assert code == 2
    assert "in the way" in error
    assert where in error
    assert path.read_text() == "mine"
    assert not (work / "out" / "labels").exists()


def test_a_file_put_there_later_stays(work, predict):
    shutil.move(work / "in" / "f", work / "f")
    predict("--regions", "svg")
    shutil.move(work / "f", work / "in" / "f")
    path = work / OUT / "svg" / "f" / "b.svg"
    path.parent.mkdir()
    path.write_text("mine")
    code, _, error = predict("--regions", "svg")
    assert code == 1
    assert "f/b.svg" in error
    assert path.read_text() == "mine"


def test_regions_of_another_picture_size_or_model_are_not_mixed(
    work, predict, make_photos, make_model, make_table, command
):
    predict("--regions", "svg")
    code, _, error = predict("--regions", "svg", "--spacing", "1mm")
    assert (code, "another picture, model or setting" in error) == (1, True)
    shutil.rmtree(work / "out" / "labels")
    shutil.rmtree(work / "out" / "overlays")
    other = make_model(table=make_table(0, 3, 7, 201))
    code, _, error = command("predict", "--model", other, "in", "--regions", "svg", "--overwrite")
    assert code == 2
    assert "regions by another model" in error


def test_real_areas(work, predict):
    code, out, _ = predict("--regions", "geojson", "--spacing", "2cm", "--json")
    assert code == 0
    pictures = json.loads(out)["pictures"]
    assert pictures[1]["outputs"]["regions"] == f"{OUT}/geojson/f/b.geojson"
    (region, *_) = pictures[0]["classes"][0]["regions"]
    assert region["area_mm2"] == 400 * region["area"]
    value = json.loads((work / OUT / "geojson" / "a.geojson").read_bytes())
    assert all(
        feature["properties"]["area_mm2"] == 400 * feature["properties"]["area_px"]
        for feature in value["features"]
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--regions", "labelmee"), "did you mean labelme"),
        (("--spacing", "1mm"), "add --json or --regions"),
        (("--spacing", "0mm", "--json"), "no size of a pixel"),
        (("--spacing", "-1mm", "--json"), "cannot be read"),
        (("--regions", "svg", "--ray"), "a run on Ray writes no regions"),
        (("--spacing", "1mm", "--json", "--ray"), "a run on Ray writes no regions"),
    ],
)
def test_what_cannot_be_ends_before_anything_is_done(options, said, work, predict):
    code, _, error = predict(*options)
    assert code == 2
    assert said in error
    assert not (work / "out" / "labels").exists()


def test_names_that_meet_without_folders_and_stores_are_refused(work, predict, make_photos):
    make_photos(work, "in/f_b.jpg")
    code, _, error = predict("--regions", "voc")
    assert code == 2
    assert "Pascal VOC has no folders" in error
    assert "f_b" in error
    with pytest.raises(UsageError, match="disks alone"):
        begin_regions("svg", RemotePath("memory://out"), None, None, [])
    assert parse_size(None, used=False) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_written(work, predict):
    (work / "out").mkdir()
    (work / "out").chmod(0o500)
    assert predict("--regions", "svg")[0] == 2
