from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pixelwise import classical
from pixelwise.cli.classical import command as command_module
from pixelwise.formats.masks import read_mask


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(work, command):
    def call(*arguments):
        return command("classical", *arguments)

    return call


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def contents(folder):
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def test_results_lie_where_those_of_predict_do(work, run, make_photos):
    make_photos(work, "a.jpg", "f/b.png", "f/g/c.webp")
    code, out, error = run("a.jpg", "f", "--method", "otsu")
    assert (code, error) == (0, "")
    assert files(work / "out") == [
        f"{kind}/{name}.png" for kind in ("labels", "overlays") for name in ("a", "b", "g/c")
    ]
    assert out.splitlines()[-1] == "3 done: out/labels, out/overlays"
    np.testing.assert_array_equal(read_mask("out/labels/a.png"), classical.otsu("a.jpg").labels)


def test_options_reach_the_method(work, run, make_photos):
    make_photos(work, "a.png", size=(30, 40))
    code, out, _ = run(
        "a.png",
        "--method",
        "slic",
        "--clusters",
        3,
        "--seed",
        2,
        "--set",
        "regions=40",
        "--set",
        "compactness=9999",
        "--probabilities",
        "--json",
    )
    assert code == 0
    (entry,) = json.loads(out)["pictures"]
    assert entry["provenance"]["model"] == (
        "slic (regions=40, compactness=9999.0, clusters=3, seed=2)"
    )
    assert entry["outputs"]["probabilities"] == "out/probabilities/a.npz"
    expected = classical.slic("a.png", regions=40, compactness=9999, clusters=3, seed=2)
    np.testing.assert_array_equal(read_mask("out/labels/a.png"), expected.labels)
    with np.load("out/probabilities/a.npz") as stored:
        assert stored["names"].tolist() == ["region 1", "region 2", "region 3"]


def test_a_second_run_leaves_all_as_it_is(work, run, make_photos):
    make_photos(work / "f", "a.png", "b.png")
    first = run("f", "--method", "kmeans")[1]
    before = contents(work / "out")
    code, out, error = run("f", "--method", "kmeans")
    assert (code, error) == (0, "")
    assert contents(work / "out") == before
    assert "0 done, 2 already there" in out
    assert out.splitlines()[:-1] == first.splitlines()[:-1]


def test_results_of_other_settings_and_files_of_others_stay(work, run, make_photos):
    make_photos(work, "a.png")
    run("a.png", "--method", "kmeans")
    before = contents(work / "out")
    code, _, error = run("a.png", "--method", "kmeans", "--seed", 1)
    assert code == 1
    assert "pass --overwrite" in error
    assert contents(work / "out") == before
    assert run("a.png", "--method", "kmeans", "--seed", 1, "--overwrite")[0] == 0
    assert contents(work / "out") != before
    Image.new("L", (3, 3)).save("out/labels/a.png")
    mine = contents(work / "out")
    code, _, error = run("a.png", "--method", "kmeans", "--overwrite")
    assert code == 1
    assert "no result of pixelwise" in error
    assert contents(work / "out") == mine


def test_seeds_are_points_a_file_or_a_folder(work, run, make_photos):
    make_photos(work, "a.png", "f/b.png", "f/c.png", size=(20, 30))
    points = ("--seeds", "2,2:sky", "--seeds", "25,15:road")
    assert run("a.png", "--method", "random-walker", *points, "-o", "points")[0] == 0
    expected = classical.random_walker("a.png", seeds=[(2, 2, "sky"), (25, 15, "road")])
    np.testing.assert_array_equal(read_mask("points/labels/a.png"), expected.labels)

    scribbles = np.zeros((20, 30), np.uint8)
    scribbles[2, 2], scribbles[15, 25] = 1, 2
    (work / "seeds").mkdir()
    Image.fromarray(scribbles).save("seeds/b.png")
    one = ("a.png", "--method", "watershed", "--seeds", "seeds/b.png", "--names", "sky,road")
    code, out, _ = run(*one, "-o", "file")
    assert code == 0
    assert "road" in out
    scribbles[9, 9] = 2
    Image.fromarray(scribbles).save("seeds/b.png")
    # Other scribbles in the same file are other seeds.
    assert run(*one, "-o", "file")[0] == 1

    code, _, error = run("f", "--method", "watershed", "--seeds", "seeds", "-o", "folder")
    assert code == 1
    assert files(work / "folder") == ["labels/b.png", "overlays/b.png"]
    assert "no scribbles of this picture" in error
    assert "c.png" in error


def test_box_circle_and_contour(work, run, make_photos):
    make_photos(work, "a.png", size=(40, 50))
    assert run("a.png", "--method", "grabcut", "--box", "5,5,30,30", "-o", "box")[0] == 0
    assert run("a.png", "--method", "snake", "--circle", "20,20,9.5", "-o", "circle")[0] == 0
    corners = ("--contour", "5,5 40,5 40,30")
    assert run("a.png", "--method", "snake", *corners, "-o", "contour")[0] == 0
    expected = classical.snake("a.png", contour=[(5, 5), (40, 5), (40, 30)])
    np.testing.assert_array_equal(read_mask("contour/labels/a.png"), expected.labels)


def test_motion_takes_a_folder_as_a_film(work, run, make_photos):
    make_photos(work / "film", *(f"{number}.png" for number in range(4)), size=(20, 30))
    code, _, error = run("film", "--method", "motion", "--set", "threshold=60")
    assert (code, error) == (0, "")
    frames = [f"film/{number}.png" for number in range(4)]
    for number, expected in enumerate(classical.motion(frames, threshold=60)):
        np.testing.assert_array_equal(read_mask(f"out/labels/{number}.png"), expected.labels)
    code, _, error = run("film/1.png", "--method", "motion", "-o", "one")
    assert code == 2
    assert "one photo has no motion" in error
    assert not (work / "one").exists()


def test_a_frame_that_cannot_be_read_is_told_and_the_others_go_on(work, run, make_photos):
    make_photos(work / "film", *(f"{number}.png" for number in range(4)), size=(20, 30))
    (work / "film" / "2.png").write_bytes(b"no picture")
    code, out, error = run("film", "--method", "motion")
    assert code == 1
    assert "3 done, 1 failed" in out
    assert "film/2.png" in error


def test_what_was_done_before_an_interrupt_is_told(work, run, make_photos, monkeypatch):
    make_photos(work / "f", "a.png", "b.png")
    right = classical.METHODS["otsu"].run

    def stops(photo, *, dark=False):
        if photo.name.endswith("b.png"):
            raise KeyboardInterrupt
        return right(photo, dark=dark)

    stopping = replace(classical.METHODS["otsu"], run=stops)
    monkeypatch.setattr(command_module, "find_method", lambda _: stopping)
    code, out, error = run("f", "--method", "otsu")
    assert code == 130
    assert "1 done" in out
    assert "interrupted: 1 of 2 pictures" in error
    assert files(work / "out") == ["labels/a.png", "overlays/a.png"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a.png"], "0 methods, expected one"),
        (["a.png", "--method", "otzu"], "did you mean otsu?"),
        (["a.png", "--method", "otsu", "--method", "gmm"], "2 methods, expected one"),
        (["a.png", "--method", "otsu", "--model", "cells"], "--model scores methods, with"),
        (["a.png", "--benchmark", "--dark"], "--dark segments pictures, without"),
        (["a.png", "b.png", "--benchmark"], "2 data sets, expected one"),
        (["a.png", "--method", "otsu", "--clusters", "3"], "clusters: no option of otsu"),
        (["a.png", "--method", "otsu", "--set", "drak=yes"], "did you mean dark?"),
        (["a.png", "--method", "otsu", "--set", "dark"], "expected NAME=VALUE"),
        (["a.png", "--method", "random-walker", "--set", "seeds=b.png"], "of its own, --seeds"),
        (["a.png", "--benchmark", "--clusters", "0"], "--clusters segments pictures"),
        (["a.png", "--method", "random-walker", "--seeds", "1,1:a", "--names", "b,c"], "no such"),
        (["a.png", "--method", "grabcut", "--box", "1,2,x,3"], "expected X1,Y1,X2,Y2"),
        (["a.png", "--method", "random-walker"], "seeds: needed, and not given"),
        (["a.png", "--method", "random-walker", "--seeds", "none.png"], "seeds are a file"),
        (["a.png", "--method", "adaptive", "--set", "block=many"], "block='many'"),
    ],
)
def test_what_cannot_start_is_told_and_writes_nothing(work, run, make_photos, arguments, told):
    make_photos(work, "a.png", "b.png")
    code, out, error = run(*arguments)
    assert (code, out) == (2, "")
    assert told in error
    assert not [path for path in files(work) if path.startswith("out/")]


def test_all_faults_of_the_flags_are_told_at_once(work, run, make_photos):
    make_photos(work, "a.png")
    code, _, error = run(
        "a.png", "--method", "kmeans", "--box", "1,2", "--set", "cluster=3", "--set", "x"
    )
    assert code == 2
    for told in ("--set 'x'", "--box '1,2'", "cluster: no option", "box: no option"):
        assert told in error


def test_a_picture_that_cannot_be_done_is_told_and_the_others_go_on(work, run, make_photos):
    make_photos(work / "f", "a.png", "c.png")
    Image.new("RGB", (8, 8), (9, 9, 9)).save("f/b.png")
    code, out, error = run("f", "--method", "kmeans")
    assert code == 1
    assert "2 done, 1 failed" in out
    assert "f/b.png" in error
    assert "1 colours alone" in error
    code, out, _ = run("f", "--method", "kmeans", "--json")
    document = json.loads(out)
    assert [entry["source"] for entry in document["pictures"]] == ["f/a.png", "f/c.png"]
    assert document["failed"][0]["source"] == "f/b.png"
