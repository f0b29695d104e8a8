from __future__ import annotations

import pytest

from pixelwise.data.split_files import check_split_names, read_split, sha256_of, write_split_files
from pixelwise.errors import OutputExistsError, UsageError

LISTS = {
    "train": ("Tile 1/päth 1.jpg", "Tile 1/päth 2.jpg", "caf\udce9.jpg"),
    "val": ("b/c.jpg",),
    "test": ("b/d.jpg", "b/e.jpg"),
}


def test_what_is_written_is_read(tmp_path):
    files = write_split_files(LISTS, {"seed": 0}, tmp_path / "splits")
    assert [file.name for file in files] == ["train.txt", "val.txt", "test.txt", "split.json"]
    assert read_split(tmp_path / "splits") == LISTS
    assert (tmp_path / "splits" / "test.txt").read_bytes() == b"b/d.jpg\nb/e.jpg\n"


def test_the_hash_is_that_of_the_file(tmp_path):
    write_split_files(LISTS, {}, tmp_path)
    assert sha256_of(LISTS["val"]) in (tmp_path / "split.json").read_text()
    assert sha256_of(["a", "b"]) != sha256_of(["b", "a"])


def test_names_of_splits_are_file_names():
    assert check_split_names(["train", "fold_1", "my-test"]) == []
    assert len(check_split_names(["", "../up", "a b", ".hidden", "x" * 65])) == 5


def test_names_with_line_breaks_are_refused(tmp_path):
    with pytest.raises(UsageError, match="line breaks"):
        write_split_files(LISTS | {"val": ("a\nb.jpg",)}, {}, tmp_path / "splits")
    assert not (tmp_path / "splits").exists()


def test_nothing_is_replaced_unasked(tmp_path):
    (tmp_path / "val.txt").write_text("mine\n")
    with pytest.raises(OutputExistsError, match="in the way"):
        write_split_files(LISTS, {}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["val.txt"]
    assert (tmp_path / "val.txt").read_text() == "mine\n"
    write_split_files(LISTS, {}, tmp_path, overwrite=True)
    assert read_split(tmp_path) == LISTS


def test_replaced_splits_take_their_lists_along(tmp_path):
    write_split_files(LISTS, {}, tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    two = {name: LISTS[name] for name in ("train", "val")}
    write_split_files(two, {}, tmp_path, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {
        "train.txt",
        "val.txt",
        "split.json",
        "notes.txt",
    }


def test_edited_lists_are_refused_all_at_once(tmp_path):
    write_split_files(LISTS, {}, tmp_path)
    (tmp_path / "val.txt").write_text("Tile 1/images/p0.jpg\n")
    (tmp_path / "test.txt").unlink()
    with pytest.raises(UsageError, match="not as they were written") as caught:
        read_split(tmp_path)
    assert "val.txt has another SHA-256" in caught.value.got
    assert "test.txt is missing" in caught.value.got
    assert "--overwrite" in caught.value.fix


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1, 2]",
        "{}",
        '{"format": "pixelwise split", "version": 99, "sha256": {"train": "0"}}',
        '{"format": "pixelwise split", "version": 1}',
        '{"format": "pixelwise split", "version": 1, "sha256": {"../../secret": "0"}}',
        "[" * 100_000,
    ],
)
def test_foreign_summaries_are_refused(tmp_path, content):
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(UsageError, match=r"no split\.json"):
        read_split(tmp_path)


def test_folders_without_a_split_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no split"):
        read_split(tmp_path / "nowhere")
