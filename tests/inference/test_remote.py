from __future__ import annotations

import fsspec
import pytest

from pixelwise.errors import ImageFileError, MissingExtraError, OutputError, UsageError
from pixelwise.inference.remote import (
    RemotePath,
    is_address,
    place_of,
    read_source,
    write_whole,
)


@pytest.fixture
def store(request):
    """A bucket of this test's own, in memory."""
    name = "".join(letter for letter in request.node.name if letter.isalnum())
    yield f"memory://{name}"
    fsspec.filesystem("memory").store.clear()


def test_an_address_is_one_only_where_it_says_so(tmp_path):
    assert is_address("s3://bucket/a.jpg")
    assert not is_address("s3:/bucket/a.jpg")
    assert not is_address(tmp_path)
    assert place_of("a/b.jpg") == tmp_path.__class__("a/b.jpg")
    assert place_of((tmp_path / "ä b.jpg").as_uri()) == tmp_path / "ä b.jpg"
    assert place_of("s3://bucket/f/") == RemotePath("s3://bucket/f")


@pytest.mark.parametrize(
    "text", ["http://host/a.jpg", "https://host/a.jpg", "ftp://h/a", "s3://", "vrt://x", "://a"]
)
def test_other_addresses_are_refused_with_a_word(text):
    with pytest.raises(UsageError, match="object stores") as caught:
        place_of(text)
    assert "download it first" in caught.value.fix
    with pytest.raises(UsageError):
        read_source(text, max_megapixels=1, timeout=None)


def test_parts_of_an_address(store):
    place = RemotePath(store) / "f" / "a.v1.png"
    assert (str(place), place.name, place.suffix) == (f"{store}/f/a.v1.png", "a.v1.png", ".png")
    assert str(place.parent) == f"{store}/f"


def test_what_is_written_is_there_whole(store):
    place = RemotePath(store) / "f" / "a.bin"
    assert not place.exists()
    assert place.entry() is None
    write_whole(place, memoryview(b"12345"))
    assert place.exists()
    assert place.read_bytes() == b"12345"
    assert place.entry().size == 5
    before = place.entry().stamp
    write_whole(place, b"67")
    assert place.entry().stamp != before
    place.remove()
    assert not place.exists()


def test_reading_stops_at_the_limit(store):
    place = RemotePath(store) / "a.bin"
    write_whole(place, bytes(100))
    assert len(place.read_bytes(limit=100)) == 100
    with pytest.raises(ImageFileError, match="longer") as caught:
        place.read_bytes(limit=99)
    assert caught.value.where == str(place)


def test_listing(store):
    root = RemotePath(store)
    for name in ("b.jpg", "a/c.jpg", "a/a/d.jpg", "[1].jpg"):
        write_whole(root / name, b"1")
    assert [(e.name, e.is_folder) for e in root.entries()] == [
        ("[1].jpg", False),
        ("a", True),
        ("b.jpg", False),
    ]
    assert [e.name for e in (root / "a").entries()] == ["a", "c.jpg"]
    found = [str(path) for path, _ in (root / "**" / "*.jpg").matches()]
    assert f"{store}/a/a/d.jpg" in found
    assert all(path.startswith(f"{store}/") for path in found)


def test_what_is_not_there_is_told_by_its_address(store):
    place = RemotePath(store) / "absent.jpg"
    with pytest.raises(ImageFileError) as caught:
        place.read_bytes()
    assert caught.value.where == str(place)
    with pytest.raises(UsageError):
        place.entries()
    with pytest.raises(OutputError):
        place.remove()


def test_a_driver_that_is_not_installed(monkeypatch):
    def missing(*arguments, **options):
        raise ImportError("Please install gcsfs")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(MissingExtraError, match="gcsfs") as caught:
        RemotePath("gs://bucket/a.jpg").read_bytes()
    assert caught.value.fix == "pip install gcsfs"


def test_trouble_of_a_driver_becomes_ours(monkeypatch):
    def refuse(store, path, content):
        raise RuntimeError("no\ncredentials")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "pipe_file", refuse)
    with pytest.raises(OutputError, match="cannot be written") as caught:
        RemotePath("memory://bucket/a.png").write_bytes(b"")
    assert caught.value.got == "RuntimeError: no credentials"


def test_a_path_loads_no_driver(run_python, tmp_path):
    code = """
import sys
from pathlib import Path
from pixelwise.inference.remote import place_of
from pixelwise.inference.collecting import collect_jobs
import pixelwise.api
collect_jobs([sys.argv[1]], Path("out"))
print(sorted({"fsspec", "ray", "pyarrow"} & set(sys.modules)))
"""
    done = run_python(code, tmp_path / "absent.jpg")
    assert done.stdout == "[]\n", done.stderr
