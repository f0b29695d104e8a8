from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pixelwise.data.camvid
from pixelwise.data.camvid import CAMVID_IGNORE_INDEX, read_camvid
from pixelwise.errors import ImageFileError, MaskFileError, UsageError


def real_camvid():
    root = os.environ.get("PIXELWISE_DATA")
    root = Path(root) if root else Path(__file__).resolve().parents[3] / "shared" / "data"
    return root / "camvid"


def save_pair(root, split, name, *, mode="L", colour=(10, 200, 30)):
    for folder in (split, f"{split}annot"):
        (root / folder).mkdir(exist_ok=True)
    mask = np.arange(6 * 8, dtype=np.uint8).reshape(6, 8) % 12
    Image.new("RGB", (8, 6), colour).save(root / split / f"{name}.png")
    picture = Image.fromarray(mask)
    if mode == "P":
        picture.putpalette([value for index in range(256) for value in (255 - index, 0, index)])
        assert picture.mode == "P"
    picture.save(root / f"{split}annot" / f"{name}.png")
    return f"{split}/{name}.png {split}annot/{name}.png", mask


def test_public_names_are_sorted():
    names = pixelwise.data.camvid.__all__
    assert names == ["CAMVID_IGNORE_INDEX", "CamVidSample", "read_camvid"]
    assert CAMVID_IGNORE_INDEX == 11


def test_samples_come_in_the_order_of_the_list(tmp_path):
    lines = [save_pair(tmp_path, "val", name)[0] for name in ("b", "a", "c")]
    (tmp_path / "val.txt").write_text("\n".join(lines) + "\n")
    assert [sample.name for sample in read_camvid(tmp_path, "val")] == ["b", "a", "c"]


@pytest.mark.parametrize("mode", ["L", "P"])
def test_photos_are_rgb_and_masks_are_ids(tmp_path, mode):
    line, mask = save_pair(tmp_path, "train", "photo", mode=mode)
    (tmp_path / "train.txt").write_text(line)
    (sample,) = read_camvid(tmp_path, "train")
    assert sample.image.shape == (6, 8, 3)
    assert sample.image.dtype == sample.mask.dtype == np.uint8
    assert (sample.image == (10, 200, 30)).all()
    np.testing.assert_array_equal(sample.mask, mask)


def test_grey_photos_become_rgb(tmp_path):
    line, _ = save_pair(tmp_path, "train", "photo")
    Image.new("L", (8, 6), 77).save(tmp_path / "train" / "photo.png")
    (tmp_path / "train.txt").write_text(line)
    image = read_camvid(tmp_path, "train")[0].image
    np.testing.assert_array_equal(image, np.full((6, 8, 3), 77))


def test_a_missing_list_is_an_error(tmp_path):
    with pytest.raises(UsageError, match=r"holds train\.txt and val\.txt") as caught:
        read_camvid(tmp_path, "val")
    assert caught.value.where == str(tmp_path / "val.txt")


@pytest.mark.skipif(
    not (real_camvid() / "val.txt").is_file(),
    reason="CamVid is not there: set PIXELWISE_DATA to the folder that holds camvid/",
)
def test_the_real_validation_split():
    samples = read_camvid(real_camvid(), "val")
    assert len(samples) == 101
    assert {sample.image.shape for sample in samples} == {(360, 480, 3)}
    assert {sample.mask.shape for sample in samples} == {(360, 480)}
    present = np.unique(np.concatenate([np.unique(sample.mask) for sample in samples]))
    assert present.tolist() == list(range(12))
    assert len((real_camvid() / "train.txt").read_text().split("\n")) >= 367


def test_a_line_that_names_no_pair_is_refused(tmp_path):
    line, _ = save_pair(tmp_path, "val", "a")
    (tmp_path / "val.txt").write_text(f"{line}\nval/alone.png\n")
    with pytest.raises(UsageError, match=r"val/alone\.png"):
        read_camvid(tmp_path, "val")


def test_a_missing_photo_is_named(tmp_path):
    line, _ = save_pair(tmp_path, "val", "a")
    (tmp_path / "val" / "a.png").unlink()
    (tmp_path / "val.txt").write_text(line)
    with pytest.raises(ImageFileError, match=r"a\.png"):
        read_camvid(tmp_path, "val")


def test_other_ids_than_camvids_are_refused(tmp_path):
    line, mask = save_pair(tmp_path, "val", "a")
    Image.fromarray(mask + 1).save(tmp_path / "valannot" / "a.png")
    (tmp_path / "val.txt").write_text(line)
    with pytest.raises(MaskFileError, match="12"):
        read_camvid(tmp_path, "val")


def test_a_mask_of_another_size_is_refused(tmp_path):
    line, mask = save_pair(tmp_path, "val", "a")
    Image.fromarray(mask[:5]).save(tmp_path / "valannot" / "a.png")
    (tmp_path / "val.txt").write_text(line)
    with pytest.raises(MaskFileError, match="differ in size"):
        read_camvid(tmp_path, "val")
