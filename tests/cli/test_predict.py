from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.formats.masks import read_mask


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def predict(work, make_model, make_table, command):
    """`pixelwise predict` with a model of the ids 0, 3, 7 and 200."""
    model = make_model(table=make_table(0, 3, 7, 200))

    def run(*arguments):
        return command("predict", "--model", model, "--engine", "onnxruntime", *arguments)

    run.model = model
    return run


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def contents(folder):
    """What lies below the folder, and when it was written."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_a_file_a_folder_and_a_pattern(work, predict, make_photos):
    make_photos(work, "a.jpg", "f/b.png", "f/g/c.webp", "p/d.bmp", "p/e.tif")
    code, out, error = predict("a.jpg", "f", "p/*.bmp")
    assert (code, error) == (0, "")
    assert files(work / "out") == [
        f"{kind}/{name}.png" for kind in ("labels", "overlays") for name in ("a", "b", "d", "g/c")
    ]
    assert out.splitlines()[-1] == "4 done: out/labels, out/overlays"


def test_the_label_map_is_indexed_by_id_in_the_colours_of_the_classes(
    work, predict, make_photos, make_table, expected_labels
):
    make_photos(work, "a.png")
    assert predict("a.png")[0] == 0
    table = make_table(0, 3, 7, 200)
    ids = np.array(table.ids)[expected_labels(pixels("a.png"))]
    with Image.open("out/labels/a.png") as picture:
        assert picture.mode == "P"
        assert picture.size == (16, 12)
        np.testing.assert_array_equal(np.asarray(picture), ids)
        palette = picture.getpalette()
    for info in table:
        assert tuple(palette[3 * info.id : 3 * info.id + 3]) == info.colour
    np.testing.assert_array_equal(read_mask("out/labels/a.png"), ids)
    np.testing.assert_array_equal(pixels("out/labels/a.png"), table.palette[ids])


def test_the_overlay_is_larger_by_its_legend(work, predict, make_photos):
    make_photos(work, "a.png", size=(120, 200))
    assert predict("a.png")[0] == 0
    height, width = pixels("out/overlays/a.png").shape[:2]
    assert width == 200
    assert height > 120


def test_the_table_of_shares(work, predict, make_photos, expected_labels):
    make_photos(work, "a.png", "b.png")
    both = np.stack([expected_labels(pixels(name)) for name in ("a.png", "b.png")])
    code, out, _ = predict("a.png", "b.png")
    rows = [line.split() for line in out.splitlines()[1:-1]]
    shares = {row[1]: float(row[2]) for row in rows}
    assert code == 0
    assert rows == sorted(rows, key=lambda row: -float(row[2]))
    for channel, id_ in enumerate((0, 3, 7, 200)):
        assert shares[str(id_)] == pytest.approx(100 * (both == channel).mean(), abs=0.06)
    assert {row[4] for row in rows} == {"2"}


def test_one_picture_names_its_two_files(work, predict, make_photos):
    make_photos(work, "a.png")
    out = predict("a.png", "-o", "x/y")[1]
    assert out.splitlines()[-1] == "1 done: x/y/labels/a.png, x/y/overlays/a.png"


def test_a_second_run_leaves_all_as_it_is(work, predict, make_photos):
    make_photos(work / "f", "a.png", "b.png")
    first = predict("f", "--layers", "--probabilities")[1]
    before = contents(work / "out")
    code, out, error = predict("f", "--layers", "--probabilities")
    assert (code, error) == (0, "")
    assert contents(work / "out") == before
    assert "0 done, 2 already there" in out
    assert out.splitlines()[:-1] == first.splitlines()[:-1]


def test_overwriting_makes_all_anew(work, predict, make_photos):
    make_photos(work / "f", "a.png", "b.png")
    predict("f")
    before = contents(work / "out")
    code, out, _ = predict("f", "--overwrite")
    after = contents(work / "out")
    assert code == 0
    assert "2 done:" in out
    assert after.keys() == before.keys()
    for path, (content, time) in after.items():
        assert content == before[path][0]
        assert time > before[path][1]


def test_only_what_is_missing_is_made(work, predict, make_photos):
    make_photos(work / "f", "a.png", "b.png", "c.png")
    predict("f")
    before = contents(work / "out")
    Path("out/labels/b.png").unlink()
    Path("out/overlays/c.png").unlink()
    code, out, _ = predict("f")
    after = contents(work / "out")
    assert code == 0
    assert "2 done, 1 already there" in out
    assert after.keys() == before.keys()
    # The overlay of b is written again, as its label map no longer said that it was whole.
    for name in ("labels/a", "overlays/a", "labels/c"):
        assert after[str(work / "out" / f"{name}.png")] == before[str(work / "out" / f"{name}.png")]


@pytest.mark.parametrize("change", ["photo", "model", "foreign labels", "foreign overlay"])
def test_what_others_made_is_kept(work, predict, make_photos, make_model, change):
    make_photos(work / "f", "a.png", "b.png")
    options = []
    if change.startswith("foreign"):
        kind = "labels" if change == "foreign labels" else "overlays"
        (work / "out" / kind).mkdir(parents=True)
        Image.new("L", (3, 3)).save(work / "out" / kind / "a.png")
        blamed = f"out/{kind}/a.png"
    else:
        predict("f")
        blamed = "out/labels/a.png"
        if change == "photo":
            make_photos(work / "f", "a.png", size=(5, 5))
        else:
            options = ["--model", make_model("other.onnx", scale=0.5)]
    before = contents(work / "out")
    code, out, error = predict("f", *options)
    assert code == 1
    assert blamed in error
    ours = change in {"photo", "model"}
    assert ("--overwrite" in error) == ours
    after = contents(work / "out")
    assert before.items() <= after.items()
    if change != "model":
        assert (work / "out" / "labels" / "b.png").is_file()
        assert "1 failed" in out
    # What is no result of ours stays, whatever is asked for.
    assert predict("f", *options, "--overwrite")[0] == (0 if ours else 1)
    replaced = contents(work / "out")[str(work / blamed)] != before[str(work / blamed)]
    assert replaced == ours


def test_a_bad_picture_among_good_ones(work, predict, make_photos):
    make_photos(work / "f", "a.png", "b.jpg", "c.png", "d.png", "e.png")
    cut = (work / "f" / "b.jpg").read_bytes()
    (work / "f" / "b.jpg").write_bytes(cut[: len(cut) // 2])
    (work / "f" / "d.png").write_bytes(b"")
    code, out, error = predict("f", "absent.png")
    assert code == 1
    assert [path for path in files(work / "out") if path.startswith("labels")] == [
        f"labels/{name}.png" for name in "ace"
    ]
    for name in ("f/b.jpg", "f/d.png", "absent.png"):
        assert error.count(name) >= 1
    assert error.count("error:") == 3
    assert "3 done, 3 failed" in out
    assert "Traceback" not in error


def test_names_that_meet_are_all_listed(work, predict, make_photos):
    make_photos(work, "f/a.jpg", "f/a.png", "g/b.jpg", "h/b.jpg")
    code, out, error = predict("f", "g", "h")
    assert (code, out) == (2, "")
    assert "f/a.jpg and f/a.png: both results would be named a" in error
    assert "g/b.jpg and h/b.jpg: both results would be named b" in error
    assert not (work / "out").exists()


@pytest.mark.parametrize("photos", [["empty"], ["*.gif"], ["empty", "*.gif"]])
def test_nothing_to_do_is_an_error(work, predict, photos):
    (work / "empty").mkdir()
    code, _, error = predict(*photos)
    assert code == 2
    assert all(photo in error for photo in photos)


def test_the_class_scores_at_a_pixel(work, predict, make_photos, expected_labels):
    make_photos(work, "a.png")
    code, out, _ = predict("a.png", "--at", "15,2")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "a.png at x=15, y=2"
    rows = [line.rsplit(maxsplit=1) for line in lines[2:6]]
    best = (0, 3, 7, 200)[expected_labels(pixels("a.png"))[2, 15]]
    assert rows[0][0].strip() == f"class {best}"
    assert sum(float(value) for _, value in rows) == pytest.approx(1, abs=0.003)
    assert predict("a.png", "--at", "15,2")[1].splitlines()[:6] == lines[:6]


def test_a_pixel_outside_the_picture(work, predict, make_photos):
    make_photos(work, "a.png")
    code, _, error = predict("a.png", "--at", "16,2")
    assert code == 1
    assert "  a.png\n" in error
    assert "x=16, y=2 in a picture 16 wide and 12 high" in error
    assert "x from 0 to 15, y from 0 to 11" in error


@pytest.mark.parametrize("text", ["5", "5,", "a,b", "1,2,3", "1.5,2", ""])
def test_a_pixel_that_is_none(work, predict, make_photos, text):
    make_photos(work, "a.png")
    code, _, error = predict("a.png", "--at", text)
    assert code == 2
    assert f"--at {text}" in error
    assert "120,48" in error


@pytest.mark.parametrize("again", [False, True])
def test_json_says_all_of_every_picture(work, predict, make_photos, expected_labels, again):
    make_photos(work / "f", "a.png", "b.png")
    (work / "f" / "c.png").write_text("broken")
    if again:
        assert predict("f")[0] == 1
    before = contents(work / "out")
    code, out, error = predict("f", "--json", "--at", "1,2")
    document = json.loads(out)
    assert code == 1
    assert before.items() <= contents(work / "out").items()
    assert [picture["source"] for picture in document["pictures"]] == ["f/a.png", "f/b.png"]
    first = document["pictures"][0]
    ids = np.array([0, 3, 7, 200])[expected_labels(pixels("f/a.png"))]
    assert (first["height"], first["width"]) == (12, 16)
    assert first["outputs"] == {"labels": "out/labels/a.png", "overlay": "out/overlays/a.png"}
    assert sum(first["at"].values()) == pytest.approx(1, abs=1e-5)
    assert first["tags"] == [entry["name"] for entry in first["classes"]]
    assert first["provenance"]["model"] == "toy"
    for entry in first["classes"]:
        ys, xs = np.nonzero(ids == entry["id"])
        assert entry["share"] == pytest.approx(len(xs) / ids.size)
        assert entry["box"] == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        assert entry["centroid"] == pytest.approx([xs.mean(), ys.mean()])
    (failed,) = document["failed"]
    assert failed["source"] == "f/c.png"
    assert failed["error"] == "ImageFileError"
    assert failed["what"]
    assert "f/c.png" in error


def test_layers_and_probabilities(work, predict, make_photos, expected_labels):
    make_photos(work, "a.png")
    assert predict("a.png", "--layers", "--probabilities")[0] == 0
    best = expected_labels(pixels("a.png"))
    for channel, id_ in enumerate((0, 3, 7, 200)):
        stem = f"out/layers/a/{id_:03d}_class_{id_}"
        mask = np.asarray(Image.open(f"{stem}.mask.png"))
        np.testing.assert_array_equal(mask, np.where(best == channel, 255, 0))
        assert pixels(f"{stem}.heat.png").shape == (12, 16, 3)
    stored = np.load("out/probabilities/a.npz")
    assert stored["names"].tolist() == ["class 0", "class 3", "class 7", "class 200"]
    assert stored["ids"].tolist() == [0, 3, 7, 200]
    assert stored["probabilities"].dtype == np.float32
    np.testing.assert_array_equal(stored["probabilities"].argmax(0), best)


def test_tiles_and_augmentation(work, predict, make_photos, expected_labels):
    make_photos(work, "a.png", size=(40, 61))
    options = ("--tile", 16, "--overlap", 0.5, "--tta", "flips")
    assert predict("a.png", *options)[0] == 0
    ids = np.array([0, 3, 7, 200])[expected_labels(pixels("a.png"))]
    np.testing.assert_array_equal(read_mask("out/labels/a.png"), ids)
    code, out, _ = predict("a.png", *options)
    assert code == 0
    assert "1 already there" in out
    for others in ((), ("--tile", 16), ("--tile", 16, "--overlap", 0.5), ("--tta", "flips")):
        code, _, error = predict("a.png", *others)
        assert code == 1
        assert "another picture, model or setting" in error


def test_an_unknown_model_offers_the_known_ones(work, make_photos, command):
    make_photos(work, "a.png")
    code, out, error = command("predict", "a.png", "--model", "streat")
    assert (code, out) == (2, "")
    assert "did you mean street?" in error
    assert not (work / "out").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--engine", "tensorrt"],
        ["--device", "tpu"],
        ["--threads", "-1"],
        ["--model", "a.png"],
        ["--model", "."],
        ["--max-megapixels", "-1"],
        ["--tile", "0"],
        ["--overlap", "0.25"],
        ["--tile", "16", "--overlap", "0.75"],
        ["--tta", "turns"],
        ["--surprise"],
    ],
)
def test_what_cannot_be_ends_before_anything_is_done(work, predict, make_photos, options):
    make_photos(work, "a.png")
    code, out, error = predict("a.png", *options)
    assert (code, out) == (2, "")
    assert error
    assert "Traceback" not in error
    assert not (work / "out").exists()


@pytest.mark.parametrize("place", ["out", "out/labels", "out/overlays"])
def test_a_file_in_the_place_of_a_folder(work, predict, make_photos, place):
    make_photos(work / "f", "a.png", "b.png")
    (work / place).parent.mkdir(exist_ok=True)
    (work / place).write_text("mine")
    code, _, error = predict("f")
    assert code == (2 if place == "out" else 1)
    assert place in error
    assert "Traceback" not in error
    assert (work / place).read_text() == "mine"


def test_a_pixel_limit_is_kept(work, predict, make_photos):
    make_photos(work, "a.png", size=(300, 300))
    code, _, error = predict("a.png", "--max-megapixels", "0.05")
    assert code == 1
    assert "a.png" in error


def test_decoding_apart(work, predict, make_photos):
    make_photos(work, "a.png")
    assert predict("a.png", "--decode-timeout", "30")[0] == 0
    assert (work / "out" / "labels" / "a.png").is_file()


def test_names_of_any_script(work, predict, make_photos):
    names = ["ä ö [1]", "[b]bold", "☂.v2", "-dash", "%s {x}"]
    make_photos(work / "f", *(f"{name}.png" for name in names))
    code, out, error = predict("f", "--json")
    assert (code, error) == (0, "")
    assert sorted(path.stem for path in Path("out/labels").iterdir()) == sorted(names)
    sources = [picture["source"] for picture in json.loads(out)["pictures"]]
    assert sorted(sources) == sorted(f"f/{name}.png" for name in names)


def test_a_name_that_is_no_text(work, predict, make_photos, run_pixelwise):
    """File names are bytes on Linux, of any kind."""
    make_photos(work / "f", "a.png")
    try:
        Path("f/a.png").rename(os.fsdecode(b"f/\xe9.png"))
    except OSError:
        pytest.skip("this file system takes no such name")
    options = ["--model", predict.model, "--json", "--at", "1,1"]
    done = run_pixelwise("predict", "f", *options)
    assert done.returncode == 0, done.stderr
    (picture,) = json.loads(done.stdout)["pictures"]
    assert picture["source"] == os.fsdecode(b"f/\xe9.png")
    assert Path(os.fsdecode(b"out/labels/\xe9.png")).exists()


def test_a_folder_of_results_can_be_moved(work, predict, make_photos):
    make_photos(work / "f", "a.png")
    predict("f")
    shutil.move(work / "out", work / "elsewhere")
    assert "1 already there" in predict("f", "-o", "elsewhere")[1]


def test_results_inside_the_folder_are_no_photos(work, predict, make_photos):
    make_photos(work / "f", "a.png")
    for _ in range(2):
        assert predict(work / "f", "-o", "f/out")[0] == 0
    assert files(work / "f" / "out") == ["labels/a.png", "overlays/a.png"]


def test_leftovers_of_killed_runs_are_swept(work, predict, make_photos):
    make_photos(work / "f", "g/a.png")
    folder = work / "out" / "labels" / "g"
    folder.mkdir(parents=True)
    (folder / f".pixelwise-{2**22 - 1}-0123456789abcdef.tmp").write_bytes(b"half")
    assert predict("f")[0] == 0
    assert [path.name for path in folder.iterdir()] == ["a.png"]


def test_a_new_process_does_it_too_and_says_nothing_else(work, predict, make_photos, run_pixelwise):
    """No progress bar where standard error is no terminal."""
    make_photos(work / "f", *(f"{number}.png" for number in range(6)))
    done = run_pixelwise("predict", "f", "--model", predict.model)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "6 done: out/labels, out/overlays"
    assert len(files(work / "out")) == 12


def test_a_bar_is_shown_on_a_terminal(work, predict, make_photos, command_environment):
    pty = pytest.importorskip("pty")
    make_photos(work / "f", "a.png", "b.png")
    ours, theirs = pty.openpty()
    arguments = [sys.executable, "-m", "pixelwise", "predict", "f", "--model", str(predict.model)]
    with subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=command_environment | {"TERM": "xterm"},
    ) as process:
        out = process.communicate(timeout=60)[0]
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert process.returncode == 0
    assert "2/2" in shown
    assert b"2/2" not in out


HEAVY = ["numba", "onnx", "openvino", "scipy", "torch", "transformers", "timm", "torchvision"]
HEAVY += ["fsspec", "pyarrow", "ray"]


@pytest.mark.parametrize("what", ["import", "predict"])
def test_nothing_heavy_is_loaded(work, predict, make_photos, run_python, what):
    make_photos(work, "a.png")
    code = f"""
import sys
import pixelwise
if {what == "predict"}:
    from pixelwise.cli import main
    options = ["--model", sys.argv[1], "--engine", "onnxruntime", "--layers", "--probabilities"]
    sys.argv = ["pixelwise", "predict", "a.png", *options]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code
loaded = {{name.partition(".")[0] for name in sys.modules}}
print(sorted(loaded & set({HEAVY!r})), "numpy" in loaded)
"""
    done = run_python(code, predict.model)
    assert done.stdout.splitlines()[-1] == f"[] {what == 'predict'}", done.stderr
