"""Which pictures a run learns from: written down, and the same again."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import DatasetError, OutputError, UsageError
from pixelwise.training.plan import make_plan
from pixelwise.training.score_groups import ScoreGroups
from pixelwise.training.setup import open_sources
from pixelwise.training.splits import draw_splits, read_splits, write_splits


@pytest.fixture
def make(tmp_path):
    """Writes a data set of noise; parts are splits and their sizes."""

    def write(name="data", **parts):
        root = tmp_path / name
        generator = np.random.default_rng(0)
        for part, count in (parts or {"": 10}).items():
            for kind in ("images", "masks"):
                (root / kind / part).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                image = generator.integers(0, 256, (16, 20, 3), np.uint8)
                Image.fromarray(image).save(root / "images" / part / f"{part}{number}.png")
                mask = Image.fromarray(image[..., 0] // 128)
                mask.save(root / "masks" / part / f"{part}{number}.png")
        (root / "classes.txt").write_text("a\nb\n")
        return root

    return write


def plan_of(*roots, **choices):
    return make_plan({"data": [{"path": str(root)} for root in roots], **choices}, where="a test")


def names(dataset):
    return [entry.image for entry in dataset.entries]


def test_splits_come_back_in_their_order(make, tmp_path):
    plan = plan_of(make("a"), make("b", train=5, val=2))
    drawn = draw_splits(open_sources(plan), plan)
    write_splits(drawn, tmp_path / "splits.json")
    read = read_splits(tmp_path / "splits.json", open_sources(plan))
    for one, other in zip(
        drawn.trains + drawn.validations, read.trains + read.validations, strict=True
    ):
        assert names(one) == names(other)
    assert read.notes == drawn.notes


def test_groups_are_kept_with_the_names(make, tmp_path):
    plan = plan_of(make())
    path = tmp_path / "splits.json"
    drawn = draw_splits(open_sources(plan), plan)
    assert drawn.score_groups is None
    write_splits(replace(drawn, groups=(ScoreGroups("video", (4, 4)),)), path)
    assert read_splits(path, open_sources(plan)).score_groups == ScoreGroups("video", (4, 4))
    written = json.loads(path.read_text())
    del written["sets"][0]["groups"]
    path.write_text(json.dumps(written))
    assert read_splits(path, open_sources(plan)).groups == (None,)
    written["sets"][0]["groups"] = {"kind": "video", "of": [1]}
    path.write_text(json.dumps(written))
    with pytest.raises(DatasetError, match="cannot be read"):
        read_splits(path, open_sources(plan))


def test_no_picture_is_on_both_sides_and_the_seed_decides(make):
    root = make()
    found = set()
    for seed in range(4):
        plan = plan_of(root, seed=seed)
        drawn = draw_splits(open_sources(plan), plan)
        again = draw_splits(open_sources(plan), plan)
        train, held = names(drawn.trains[0]), names(drawn.validations[0])
        assert (train, held) == (names(again.trains[0]), names(again.validations[0]))
        assert not set(train) & set(held)
        assert len(train) + len(held) == 10
        assert len(held) == 2
        found.add(tuple(held))
    assert len(found) > 1


def test_several_splits_can_be_learned_from(make):
    plan = plan_of(make(train=3, test=2, val=2), train="train+test")
    drawn = draw_splits(open_sources(plan), plan)
    assert len(drawn.trains[0]) == 5
    assert len(drawn.validations[0]) == 2


def test_a_further_split_that_is_not_there_is_an_error(make):
    plan = plan_of(make(train=3, test=2, val=2), train="train+tset")
    with pytest.raises(UsageError) as caught:
        draw_splits(open_sources(plan), plan)
    assert "tset" in str(caught.value)
    assert "test" in str(caught.value).replace("tset", "")


def test_pictures_added_later_are_left_out(make, tmp_path):
    root = make()
    plan = plan_of(root)
    write_splits(draw_splits(open_sources(plan), plan), tmp_path / "splits.json")
    for kind in ("images", "masks"):
        (root / kind / "new.png").write_bytes((root / kind / "0.png").read_bytes())
    read = read_splits(tmp_path / "splits.json", open_sources(plan))
    assert len(read.trains[0]) + len(read.validations[0]) == 10


def test_pictures_that_are_gone_are_listed(make, tmp_path):
    root = make()
    plan = plan_of(root)
    drawn = draw_splits(open_sources(plan), plan)
    write_splits(drawn, tmp_path / "splits.json")
    gone = names(drawn.trains[0])[:2]
    for image in gone:
        (root / image).unlink()
        (root / image.replace("images", "masks")).unlink()
    with pytest.raises(DatasetError, match="2 pictures of the run are gone") as caught:
        read_splits(tmp_path / "splits.json", open_sources(plan))
    assert caught.value.got == ", ".join(gone)
    assert caught.value.where == str(root)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"sets": 3}', '{"sets": [{}]}', '{"sets": []}', "\xff"]
)
def test_a_broken_file_is_an_error_that_names_it(make, tmp_path, content):
    path = tmp_path / "splits.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(DatasetError, match="cannot be read") as caught:
        read_splits(path, open_sources(plan_of(make())))
    assert caught.value.where == str(path)


def test_labels_outside_the_table_are_listed_before_anything_is_trained(make):
    root = make()
    for number in (2, 5):
        Image.fromarray(np.full((16, 20), 9, np.uint8)).save(root / "masks" / f"{number}.png")
    plan = plan_of(root)
    with pytest.raises(DatasetError, match="2 of 10 pictures cannot be learned from") as caught:
        draw_splits(open_sources(plan), plan)
    assert "masks/2.png" in caught.value.got
    assert "masks/5.png" in caught.value.got
    assert "9" in caught.value.got
    assert "data check" in caught.value.fix


def test_one_picture_is_too_few(make):
    plan = plan_of(make(**{"": 1}))
    with pytest.raises(DatasetError) as caught:
        draw_splits(open_sources(plan), plan)
    assert caught.value.fix


def test_a_file_that_cannot_be_written_is_an_error(make, tmp_path):
    plan = plan_of(make())
    (tmp_path / "splits.json").mkdir()
    with pytest.raises(OutputError):
        write_splits(draw_splits(open_sources(plan), plan), tmp_path / "splits.json")


def test_names_in_any_script_come_back(make, tmp_path):
    root = make()
    for kind in ("images", "masks"):
        (root / kind / "0.png").rename(root / kind / "größe 写真 'x'.png")
    plan = plan_of(root)
    drawn = draw_splits(open_sources(plan), plan)
    write_splits(drawn, tmp_path / "splits.json")
    read = read_splits(tmp_path / "splits.json", open_sources(plan))
    assert names(read.trains[0]) == names(drawn.trains[0])
    assert "größe" in json.dumps(
        json.loads((tmp_path / "splits.json").read_bytes()), ensure_ascii=False
    )
