"""Every form of real data through every format that holds it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pixelwise.data import open as open_dataset
from pixelwise.data.convert import convert

DATA = Path(os.environ.get("PIXELWISE_DATA") or Path(__file__).resolve().parents[4] / "shared/data")


def real(name):
    if not (DATA / name).is_dir():
        pytest.skip(f"{name} is not there: set PIXELWISE_DATA to the folder that holds it")
    return open_dataset(DATA / name)


@pytest.mark.parametrize("form", ["folder", "voc", "coco"])
@pytest.mark.parametrize("name", ["camvid", "pets600", "dsb2018", "dubai_aerial", "coco128_seg"])
def test_real_data_come_back(form, name, tmp_path, differences):
    source = real(name).subset([0, 7])
    convert(source, tmp_path / "out", to=form)
    assert differences(source, tmp_path / "out") == []


@pytest.mark.parametrize("name", ["camvid", "dsb2018", "dubai_aerial", "coco128_seg"])
def test_real_data_come_back_from_polygons(name, tmp_path, differences):
    source = real(name).subset([0, 7])
    convert(source, tmp_path / "out", to="yolo")
    assert differences(source, tmp_path / "out") == []
