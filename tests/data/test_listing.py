from __future__ import annotations

import os
import sys

import pytest

from pixelwise.data.listing import Listing, stem_of
from pixelwise.errors import UsageError


def test_files_come_in_order_without_hidden_ones(tmp_path):
    for name in ("b/2.png", "b/1.png", "a/x.JPG", ".git/z.png", "b/.hidden.png", "top.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listing = Listing.of(tmp_path)
    assert list(listing.files()) == ["top.txt", "a/x.JPG", "b/1.png", "b/2.png"]
    assert list(listing.files(".png", ".jpg")) == ["a/x.JPG", "b/1.png", "b/2.png"]
    assert list(listing.files(folder="b")) == ["b/1.png", "b/2.png"]
    assert "b/1.png" in listing
    assert "top.txt" in listing
    assert "b/9.png" not in listing


def test_links_in_a_circle_end(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").touch()
    (tmp_path / "a" / "back").symlink_to(tmp_path, target_is_directory=True)
    assert list(Listing.of(tmp_path).files()) == ["a/x.png"]


def test_a_link_that_leads_nowhere_is_listed(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    assert list(Listing.of(tmp_path).files()) == ["a.png"]


def test_names_of_any_bytes_are_listed(tmp_path):
    name = os.fsdecode(b"\xff\n<b>.png")
    (tmp_path / name).touch()
    assert list(Listing.of(tmp_path).files(".png")) == [name]
    assert stem_of(f"a/{name}") == os.fsdecode(b"\xff\n<b>")


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="cannot be listed"):
        Listing.of(tmp_path / "gone")


def test_texts_are_read_whatever_their_bytes(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa\xff\n")
    assert Listing.of(tmp_path).read_text("list.txt") == os.fsdecode(b"a\xff\n")
    with pytest.raises(UsageError, match="cannot be read"):
        Listing.of(tmp_path).read_text("gone.txt")


@pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")
def test_pipes_and_links_to_themselves_are_passed_over_or_told_later(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b").symlink_to(tmp_path / "b")
    assert list(Listing.of(tmp_path).files()) == ["b"]


def test_a_folder_is_followed_before_links_to_it_and_of_these_the_first(tmp_path):
    outside = tmp_path / "outside"
    inside = tmp_path / "set" / "m"
    for folder in (outside, inside):
        folder.mkdir(parents=True)
        (folder / "x.png").touch()
    for name in "dhcfabge":
        (tmp_path / "set" / name).symlink_to(outside, target_is_directory=True)
        (tmp_path / "set" / f"{name}2").symlink_to(inside, target_is_directory=True)
    assert list(Listing.of(tmp_path / "set").files()) == ["a/x.png", "m/x.png"]
