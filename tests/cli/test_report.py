from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    true = np.zeros((40, 50), np.uint8)
    true[10:20, 10:20] = 1
    found = true.copy()
    found[10:20, 10:20] = 0
    for folder, maps in (("true", (true, true)), ("found", (true, found))):
        (tmp_path / folder).mkdir()
        for name, ids in zip("ab", maps, strict=True):
            Image.fromarray(ids).save(tmp_path / folder / f"{name}.png")
    return tmp_path


FOLDERS = ("report", "--predictions", "found", "--truth", "true", "-o", "report")


def test_the_folder_holds_page_and_numbers(folders, command):
    code, out, error = command(*FOLDERS)
    assert (code, error) == (0, "")
    assert out.splitlines()[-1] == "report: report/report.html"
    assert sorted(path.name for path in (folders / "report").iterdir()) == [
        "report.csv",
        "report.html",
        "report.json",
    ]
    page = (folders / "report" / "report.html").read_text()
    assert "<td>of a region that is not found</td>" in page.replace(' class="told"', "")
    told = json.loads((folders / "report" / "report.json").read_text())
    assert told["protocol"]["pictures"] == 2
    assert told["pictures"][1]["mean_iou"] < 0.5


def test_nothing_is_overwritten_unasked(folders, command):
    (folders / "report").mkdir()
    (folders / "report" / "report.csv").write_text("mine")
    assert command(*FOLDERS)[0] == 2
    assert [path.name for path in (folders / "report").iterdir()] == ["report.csv"]
    assert command(*FOLDERS, "--overwrite")[0] == 0


def test_pictures_that_cannot_be_judged_end_with_1(folders, command):
    Image.new("L", (3, 3)).save(folders / "found" / "b.png")
    code, out, error = command(*FOLDERS, "--json")
    assert code == 1
    assert "differ in size" in error
    assert json.loads(out)["report"] == "report/report.html"
    assert "1 picture could not be judged" in (folders / "report" / "report.html").read_text()


def test_what_is_judged_must_be_clear(folders, command):
    code, _, error = command("report", "street", "-o", "report")
    assert code == 2
    assert "not clear" in error
    assert not (folders / "report").exists()


def test_distances_have_the_unit_of_the_pixels(folders, command):
    assert command(*FOLDERS, "--distances", "--spacing", "3µm")[0] == 0
    page = (folders / "report" / "report.html").read_text()
    assert ">HD95 (µm)<" in page
    assert "a pixel is 3 × 3 µm" in page
    told = json.loads((folders / "report" / "report.json").read_text())
    assert told["units"]["hausdorff_95"] == "µm"


def test_objects_that_the_truth_tells_apart_have_their_scores(write_coco, tmp_path, command):
    masks = np.zeros((2, 20, 24), np.bool_)
    masks[0, 2:10, 2:10] = masks[1, 2:10, 14:22] = True
    root = write_coco([[(mask, 1, False) for mask in masks]] * 2)
    (tmp_path / "found").mkdir()
    for name in ("p0", "p1"):
        Image.fromarray(masks[0].astype(np.uint8)).save(tmp_path / "found" / f"{name}.png")
    code, _, error = command("report", tmp_path / "found", root, "-o", tmp_path / "report")
    assert (code, error) == (0, "")
    page = (tmp_path / "report" / "report.html").read_text()
    assert all(f">{title}<" in page for title in ("AP mask", "AP75 box", "PQ"))
    told = json.loads((tmp_path / "report" / "report.json").read_text())
    # One of two objects is found: recalls up to 0.50.
    assert told["figures"]["mean_mask_ap"]["value"] == pytest.approx(51 / 101)
    assert ",mean_box_ap_50,0.50" in (tmp_path / "report" / "report.csv").read_text()
