from __future__ import annotations

from pathlib import Path

import pytest

from pixelwise.errors import UsageError
from pixelwise.inference.collecting import collect_jobs


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def named(photos, output="out"):
    jobs = collect_jobs(photos, Path(output))
    return {str(job.source): str(job.name) for job in jobs}


def test_files_folders_and_patterns(work, make_photos):
    make_photos(work, "a.jpg", "f/b.PNG", "f/g/c.webp", "p/d.png", "p/e.png", "p/e.jpg")
    assert named(["a.jpg", "f", "p/*.png"]) == {
        "a.jpg": "a",
        "f/b.PNG": "b",
        "f/g/c.webp": "g/c",
        "p/d.png": "d",
        "p/e.png": "e",
    }
    assert list(named(["f/"])) == ["f/b.PNG", "f/g/c.webp"]


def test_each_picture_is_taken_once(work, make_photos):
    make_photos(work, "f/a.jpg", "f/b.jpg")
    assert list(named(["f/a.jpg", "./f/a.jpg", "f", "f/*.jpg"])) == ["f/a.jpg", "f/b.jpg"]


def test_only_pictures_are_taken_from_a_folder(work, make_photos):
    make_photos(work, "f/a.jpg", "f/.hidden.png", "f/.cache/b.png")
    (work / "f" / "notes.txt").write_text("no picture")
    (work / "f" / "folder.png").mkdir()
    assert list(named(["f"])) == ["f/a.jpg"]


def test_zarr_in_folders_and_patterns(work, make_photos):
    make_photos(work, "f/a.jpg")
    for name in ("f/scene.zarr", "f/g/deep"):
        (work / name).mkdir(parents=True)
        (work / name / "zarr.json").write_text("{}")
    found = {"f/a.jpg": "a", "f/g/deep": "g/deep", "f/scene.zarr": "scene"}
    assert named(["f"]) == found
    assert named(["f/*.zarr"]) == {"f/scene.zarr": "scene"}


def test_a_name_with_brackets_is_no_pattern_where_it_exists(work, make_photos):
    make_photos(work, "a [1].png", "ä ö/☂.png")
    assert named(["a [1].png", "ä ö"]) == {"a [1].png": "a [1]", "ä ö/☂.png": "☂"}


def test_dots_in_names_stay(work, make_photos):
    make_photos(work, "a.v1.png", "a.v2.png", "a.png")
    assert sorted(named(["a.v1.png", "a.v2.png", "a.png"]).values()) == ["a", "a.v1", "a.v2"]


def test_a_file_that_is_missing_is_a_job_and_fails_by_itself(work):
    assert named(["absent.jpg"]) == {"absent.jpg": "absent"}


@pytest.mark.parametrize("photos", [".", "{here}", "f/..", "**/*.png", "{here}/**/*.png"])
@pytest.mark.parametrize("output", ["out", "./out", "{here}/out", "f/../out", "."])
def test_earlier_results_are_passed_over(work, make_photos, photos, output):
    folder = "out/" if output != "." else ""
    make_photos(work, "f/a.png", f"{folder}labels/a.png", f"{folder}overlays/f/a.png")
    make_photos(work, f"{folder}layers/a/000_sky.mask.png")
    jobs = collect_jobs([photos.format(here=work)], Path(output.format(here=work)))
    assert [job.source.resolve() for job in jobs] == [work / "f" / "a.png"]


def test_all_faults_are_listed_at_once(work, make_photos):
    make_photos(work, "f/a.jpg", "f/a.png", "g/a.png")
    (work / "empty").mkdir()
    with pytest.raises(UsageError) as caught:
        named(["f", "g", "empty", "h/*.png"])
    got = caught.value.got
    assert "empty: no picture in this folder" in got
    assert "h/*.png: the pattern matches no file" in got
    assert "f/a.jpg and f/a.png: both results would be named a" in got
    assert "f/a.jpg and g/a.png: both results would be named a" in got


def test_what_names_no_file_is_told(work):
    with pytest.raises(UsageError) as caught:
        named(["", "absent/.."])
    assert caught.value.got == "a name that is empty; absent/..: no picture in this folder"


def test_many_faults_are_counted(work, make_photos):
    with pytest.raises(UsageError) as caught:
        named([f"{number}/*.png" for number in range(33)])
    assert caught.value.got.endswith("; and 13 more")
