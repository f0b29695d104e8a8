"""`pixelwise predict` from and to object stores, in memory here."""

from __future__ import annotations

import json

import fsspec
import pytest


@pytest.fixture
def bucket(tmp_path, make_photos):
    """Photos in a store, and the same on the disk."""
    store = fsspec.filesystem("memory")
    names = ["a.png", "g/b.png", "g/h/c.png", ".hidden/d.png", "g/notes.txt"]
    make_photos(tmp_path / "f", *(name for name in names if name.endswith(".png")))
    (tmp_path / "f" / "g" / "notes.txt").write_text("no picture")
    for name in names:
        store.pipe_file(f"/photos/f/{name}", (tmp_path / "f" / name).read_bytes())
    yield store
    store.store.clear()


@pytest.fixture
def predict(tmp_path, monkeypatch, make_model, command):
    monkeypatch.chdir(tmp_path)
    make_model()

    def run(*arguments):
        return command(
            "predict",
            "--model",
            "toy.onnx",
            "--engine",
            "onnxruntime",
            "--threads",
            "2",
            *arguments,
        )

    return run


def stored(bucket, folder):
    return {
        path.removeprefix(f"/{folder}/"): bucket.cat_file(path)
        for path in bucket.find(f"/{folder}")
    }


def pixels_of(content):
    """All but the chunk that names the source."""
    return content[content.index(b"IDAT") :]


def test_the_same_as_on_the_disk(predict, bucket, tmp_path):
    more = ("--layers", "--probabilities")
    assert predict("f", "-o", "local", *more)[0] == 0
    code, out, error = predict("memory://photos/f/", "-o", "memory://out/x", *more)
    assert (code, error) == (0, "")
    assert out.splitlines()[-1] == "3 done: " + ", ".join(
        f"memory://out/x/{kind}" for kind in ("labels", "overlays", "layers", "probabilities")
    )
    ours = stored(bucket, "out/x")
    disk = tmp_path / "local"
    theirs = {str(p.relative_to(disk)): p.read_bytes() for p in disk.rglob("*") if p.is_file()}
    assert ours.keys() == theirs.keys()
    for name in ours:
        if name.endswith(".png"):
            assert pixels_of(ours[name]) == pixels_of(theirs[name])
    assert b"memory://photos/f/g/b.png" in ours["labels/g/b.png"]


def test_what_is_done_is_passed_over_and_results_are_no_photos(predict, bucket):
    assert predict("memory://photos/f", "-o", "memory://photos/f/out")[0] == 0
    before = stored(bucket, "photos/f/out")
    code, out, _ = predict("memory://photos/f", "-o", "memory://photos/f/out")
    assert code == 0
    assert "0 done, 3 already there" in out
    assert stored(bucket, "photos/f/out") == before
    bucket.rm_file("/photos/f/out/overlays/a.png")
    assert (
        "1 done, 2 already there" in predict("memory://photos/f", "-o", "memory://photos/f/out")[1]
    )
    assert stored(bucket, "photos/f/out") == before


def test_a_foreign_file_stays(predict, bucket):
    bucket.pipe_file("/out/labels/a.png", b"mine")
    code, _, error = predict("memory://photos/f", "-o", "memory://out", "--overwrite")
    assert code == 1
    assert "memory://out/labels/a.png" in error
    assert bucket.cat_file("/out/labels/a.png") == b"mine"


def test_one_file_and_a_pattern(predict, bucket):
    code, out, _ = predict("memory://photos/f/a.png", "memory://photos/f/g/**/*.png", "--json")
    assert code == 0
    pictures = json.loads(out)["pictures"]
    assert [(picture["source"], picture["outputs"]["labels"]) for picture in pictures] == [
        ("memory://photos/f/a.png", "out/labels/a.png"),
        ("memory://photos/f/g/b.png", "out/labels/b.png"),
        ("memory://photos/f/g/h/c.png", "out/labels/c.png"),
    ]


def test_file_addresses_are_paths(predict, bucket, tmp_path):
    code, out, _ = predict((tmp_path / "f").as_uri(), "-o", (tmp_path / "out").as_uri())
    assert code == 0
    assert f"3 done: {tmp_path}/out/labels" in out


def test_faults_of_pictures_name_their_address(predict, bucket):
    bucket.pipe_file("/photos/f/broken.png", b"no picture")
    code, _, error = predict("memory://photos/f", "memory://photos/absent.png")
    assert code == 1
    assert "memory://photos/f/broken.png" in error
    assert "memory://photos/absent.png" in error


def test_a_file_longer_than_its_picture_may_be(predict, bucket):
    bucket.pipe_file("/photos/f/long.png", bytes((1 << 24) + 9_000_000))
    code, _, error = predict("memory://photos/f", "--max-megapixels", "1")
    assert code == 1
    assert "long.png" in error
    assert "more than 24,777,216 bytes" in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["https://host/a.png"],
        ["memory://photos/empty/*.png"],
        ["f", "-o", "ftp://host/out"],
        ["file://f/a.png"],
        ["file://"],
    ],
)
def test_what_cannot_be_ends_before_anything_is_done(predict, bucket, tmp_path, arguments):
    code, out, error = predict(*arguments)
    assert (code, out) == (2, "")
    assert arguments[-1] in error
    assert not (tmp_path / "out").exists()
