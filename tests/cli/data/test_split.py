from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import pixelwise.data
from pixelwise.cli import main


@pytest.fixture
def scenes(tmp_path):
    """Six scenes of six pictures; each mask has two of three classes."""
    root = tmp_path / "aerial"
    random = np.random.default_rng(4)
    for scene in range(6):
        for part in range(6):
            for kind in ("images", "masks"):
                (root / f"Tile {scene}" / kind).mkdir(parents=True, exist_ok=True)
            coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
            coarse.resize((32, 24)).save(root / f"Tile {scene}" / "images" / f"p{part}.png")
            mask = np.full((24, 32), part % 3, np.uint8)
            mask[: 4 + scene] = (part + 1) % 3
            Image.fromarray(mask).save(root / f"Tile {scene}" / "masks" / f"p{part}.png")
    return root


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs the command in an empty folder; exit code and what it wrote."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["pixelwise", "data", "split", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code, *capsys.readouterr()

    return call


def test_a_split_is_shown_and_written(run, scenes, tmp_path):
    code, out, _ = run(scenes, "--by", "tile", "--val", "0.17", "--test", "0.17")
    assert code == 0
    assert [line.split() for line in out.splitlines()[:4]] == [
        ["split", "pictures", "groups", "share", "asked"],
        ["train", "24", "4", "66.7", "%", "66.0", "%"],
        ["val", "6", "1", "16.7", "%", "17.0", "%"],
        ["test", "6", "1", "16.7", "%", "17.0", "%"],
    ]
    assert "class" in out
    assert "'Tile 0'" in out
    dataset = pixelwise.data.open(scenes, splits=tmp_path / "here" / "splits")
    assert dataset.faults == ()
    assert [len(dataset.split(name)) for name in ("train", "val", "test")] == [24, 6, 6]


def test_the_same_command_gives_the_same_split(run, scenes):
    first = json.loads(run(scenes, "--json", "-o", "one")[1])
    second = json.loads(run(scenes, "--json", "-o", "two")[1])
    other = json.loads(run(scenes, "--json", "-o", "three", "--seed", 1)[1])
    assert first["hash"] == second["hash"] != other["hash"]
    assert first["files"] == [
        f"one/{n}" for n in ("train.txt", "val.txt", "test.txt", "split.json")
    ]


def test_nothing_is_replaced_unasked(run, scenes):
    assert run(scenes)[0] == 0
    code, _, err = run(scenes)
    assert code == 2
    assert "in the way" in err
    assert run(scenes, "--overwrite")[0] == 0


def test_the_data_folder_is_left_alone_unless_named(run, scenes, monkeypatch):
    monkeypatch.chdir(scenes)
    code, _, err = run(scenes)
    assert code == 2
    assert "own folder" in err
    assert not (scenes / "splits").exists()
    assert run(scenes, "-o", "splits")[0] == 0
    assert (scenes / "splits" / "split.json").is_file()


def test_all_faults_of_a_request_are_named(run, scenes, tmp_path):
    code, _, err = run(scenes, "--val", "2", "--test", "-1", "--seed", "-3")
    assert code == 2
    for words in ("val = 2", "test = -1", "seed = -3"):
        assert words in err
    assert list((tmp_path / "here").iterdir()) == []


def test_a_split_may_be_left_out(run, scenes):
    assert list(json.loads(run(scenes, "--test", "0", "--json")[1])["splits"]) == ["train", "val"]


def test_the_user_tells_the_groups(run, scenes):
    code, out, _ = run(
        scenes, "--by", "group", "--groups", "Tile */images/p{}", "--test", "0", "--json"
    )
    assert code == 0
    document = json.loads(out)
    assert document["groups"]["kind"] == "named"
    assert sum(facts["groups"] for facts in document["splits"].values()) == 6
    code, _, err = run(scenes, "--by", "group", "--groups", "Dog", "-o", "other")
    assert code == 2
    assert "has no {}" in err


def test_groups_without_by_group_are_refused(run, scenes, tmp_path):
    code, _, err = run(scenes, "--groups", "Tile {}/*")
    assert code == 2
    assert "fix: add --by group" in err
    assert not (tmp_path / "here" / "splits").exists()
    assert run(scenes, "--groups", "Tile {}/*", "--by", "group")[0] == 0


def test_notes_are_wrapped_and_say_what_was_moved(run, scenes):
    for tile in range(6):
        name = f"p{tile}.png"
        picture = (scenes / "Tile 0" / "images" / "p0.png").read_bytes()
        (scenes / f"Tile {tile}" / "images" / name).write_bytes(picture)
    code, out, _ = run(scenes)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "5 pictures were moved to the side of their copies" in out
    assert "--by group keeps them" in " ".join(out.split())


def test_a_set_with_fewer_pictures_than_splits_is_not_sent_to_by_image(run, tmp_path):
    for kind, values in (("images", (90, 200)), ("masks", (0, 1))):
        (tmp_path / "two" / kind).mkdir(parents=True)
        for number, value in enumerate(values):
            pixels = np.full((8, 8), value, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "two" / kind / f"{number}.png")
    code, _, err = run(tmp_path / "two")
    assert code == 2
    assert "--test 0" in err
    assert "--by image" not in err


def test_help_shows_where_the_lists_go(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    out = run("--help")[1]
    assert "splits)" in out or "default: splits" in out
