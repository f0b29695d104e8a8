from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pixelwise.data
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.statistics import gather
from pixelwise.errors import DatasetError
from pixelwise.training.fingerprint import fingerprint

CLASSES = ClassTable(
    "toy",
    tuple(ClassInfo(n, name, (n, 0, 0)) for n, name in enumerate(["soil", "weed", "crop"])),
    255,
    "a test",
)


@pytest.fixture
def make_data(tmp_path):
    """A data set of these masks, under grey pictures."""

    def make(*masks, colour=(40, 90, 160)):
        for number, mask in enumerate(masks):
            for folder, array in (
                ("images", np.broadcast_to(np.uint8(colour), (*mask.shape, 3))),
                ("masks", mask),
            ):
                (tmp_path / folder).mkdir(exist_ok=True)
                Image.fromarray(np.ascontiguousarray(array)).save(
                    tmp_path / folder / f"{number}.png"
                )
        return pixelwise.data.open(tmp_path, classes=CLASSES)

    return make


def take(dataset, **options):
    return fingerprint(dataset, gather(dataset)[0], **{"validation": 1, **options})


def mask(size, weed=0, ignored=0):
    """Soil, the first so many pixels weed, the last so many ignored."""
    made = np.zeros(size, np.uint8).ravel()
    made[:weed] = 1
    made[len(made) - ignored :] = 255
    return made.reshape(size)


def test_facts_of_a_small_set(make_data):
    seen = take(make_data(mask((20, 30), weed=60), mask((20, 30), ignored=60), mask((40, 30))))
    assert (seen.train, seen.validation, seen.looked_at) == (3, 1, 3)
    assert (seen.smallest, seen.median, seen.largest) == ((20, 30), (20, 30), (40, 30))
    assert not seen.alike
    assert seen.photos
    soil, weed, crop = seen.classes
    total = 600 + 600 + 1200 - 60
    assert weed.share == pytest.approx(60 / total)
    assert soil.share == pytest.approx(1 - 60 / total)
    assert (soil.pictures, weed.pictures, crop.pictures) == (3, 1, 0)
    assert seen.ignored == pytest.approx(60 / 2400)
    assert seen.absent == ("crop",)
    assert [facts.name for facts in seen.present] == ["weed", "soil"]
    assert seen.imbalance == pytest.approx((total - 60) / 60)
    np.testing.assert_allclose(seen.mean, np.array([40, 90, 160]) / 255)
    assert not seen.instances


def test_pictures_of_one_size_are_alike(make_data):
    assert take(make_data(mask((20, 30), weed=9), mask((20, 30)))).alike


def test_union_rows_are_no_classes(make_data):
    made = mask((20, 30), weed=60)
    made[10:, :] = 2
    seen = take(make_data(made), classes=2)
    assert [facts.name for facts in seen.classes] == ["soil", "weed"]
    assert seen.open_share == pytest.approx(0.5)
    assert sum(facts.share for facts in seen.classes) == pytest.approx(1)


def test_a_class_in_one_picture_of_many_is_not_the_thinnest(make_data):
    line = mask((20, 30))
    line[10] = 2
    block = mask((20, 30))
    block[:, :15] = 1
    seen = take(make_data(line, *[block] * 11))
    assert seen.thinnest.name != "crop"
    assert math.isfinite(seen.smallest_side)


def test_everything_that_forbids_a_training_is_told_at_once(make_data):
    with pytest.raises(DatasetError) as refused:
        take(make_data(mask((20, 30)), mask((20, 30))), validation=0)
    assert "only 'soil' occurs" in refused.value.got
    assert "no picture to score on" in refused.value.got


def test_ignored_pixels_alone_teach_nothing(make_data):
    with pytest.raises(DatasetError) as refused:
        take(make_data(mask((20, 30), ignored=600)))
    assert "every pixel is ignored" in refused.value.got


def test_pictures_of_different_bands_are_refused(make_data, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    dataset = make_data(mask((20, 30), weed=9), mask((20, 30), weed=9))
    (tmp_path / "images" / "1.png").unlink()
    with rasterio.open(
        tmp_path / "images" / "1.tif", "w", width=30, height=20, count=13, dtype="uint16"
    ) as file:
        file.write(np.ones((13, 20, 30), np.uint16))
    dataset = pixelwise.data.open(tmp_path, classes=CLASSES)
    with pytest.raises(DatasetError) as refused:
        take(dataset)
    assert "1 of 3, 1 of 13" in refused.value.got


def test_rasters_of_many_bands(make_data, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    make_data(mask((20, 30), weed=9), mask((20, 30), weed=9))
    for number in range(2):
        (tmp_path / "images" / f"{number}.png").unlink()
        with rasterio.open(
            tmp_path / "images" / f"{number}.tif",
            "w",
            width=30,
            height=20,
            count=13,
            dtype="uint16",
        ) as file:
            file.write(np.full((13, 20, 30), 6553, np.uint16))
    seen = take(pixelwise.data.open(tmp_path, classes=CLASSES))
    assert (seen.bands, seen.photos, seen.full_scale) == (13, False, 65_535)
    np.testing.assert_allclose(seen.mean, 6553 / 65_535)


def test_the_sample_follows_from_the_seed(make_data):
    random = np.random.default_rng(0)
    masks = [random.integers(0, 3, (16, 16), np.uint8) for _ in range(5)]
    dataset = make_data(*masks)
    # What is not known is not equal to itself.
    assert str(take(dataset, workers=1)) == str(take(dataset, workers=3))


def real(name):
    root = os.environ.get("PIXELWISE_DATA")
    root = Path(root) if root else Path(__file__).resolve().parents[3] / "shared" / "data"
    if not (root / name).is_dir():
        pytest.skip(f"the data set {name} is not there")
    return pixelwise.data.open(root / name)


@pytest.mark.parametrize(("name", "upright"), [("camvid", True), ("dubai_aerial", False)])
def test_real_pictures_have_an_upper_side_or_not(name, upright):
    dataset = real(name)
    dataset = dataset.subset(range(0, len(dataset), len(dataset) // 26))
    assert take(dataset).has_upper_side == upright


def test_nuclei_touch():
    dataset = real("dsb2018")
    seen = take(dataset.subset(range(0, 300, 12)))
    assert seen.instances
    assert 0.1 < seen.touching < 0.6


def test_of_several_classes_shares_are_of_all_that_counts_and_one_class_is_enough(tmp_path):
    for folder in ("images", "masks/weed"):
        (tmp_path / folder).mkdir(parents=True)
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(tmp_path / "images/0.png")
    Image.fromarray(mask((20, 30), weed=60)).save(tmp_path / "masks/weed/0.png")
    data = pixelwise.data.open(tmp_path)
    seen = take(data, multi_label=True)
    assert seen.multi_label
    assert [(facts.name, facts.share) for facts in seen.classes] == [("weed", pytest.approx(0.1))]
    with pytest.raises(DatasetError, match="nothing can be learned"):
        take(data)
