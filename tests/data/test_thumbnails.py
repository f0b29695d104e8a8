from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.dataset import Dataset, Entry
from pixelwise.data.targets import InstanceTarget, MultiClassTarget, MultiLabelTarget
from pixelwise.data.thumbnails import thumbnail
from pixelwise.errors import MaskFileError

TABLE = ClassTable(
    name="toy",
    classes=(
        ClassInfo(0, "background", (0, 0, 0)),
        ClassInfo(1, "red", (255, 0, 0)),
        ClassInfo(300, "green", (0, 255, 0)),
    ),
    ignore_index=65_535,
    source="made for a test",
)
SIZE = (60, 80)


class Given:
    def __init__(self, target):
        self.target = target

    def read(self, *_):
        if self.target is None:
            raise MaskFileError("no such mask")
        return self.target


@pytest.fixture
def draw(tmp_path):
    """The overlay of a truth on a grey picture, uint8 `[H, W, 3]`; None where there is none."""
    Image.new("RGB", SIZE[::-1], (128, 128, 128)).save(tmp_path / "a.png")

    def draw(target, *, side=80, background=0, only=None):
        dataset = Dataset(tmp_path, "toy", TABLE, (), Given(target))
        entry = Entry("a.png", "a.txt")
        drawn = thumbnail(dataset, entry, side=side, background=background, only=only)
        assert opened(drawn.picture).shape[2] == 3
        return opened(drawn.overlay)

    return draw


def opened(address):
    if not address:
        return None
    kind, _, data = address.partition(",")
    assert kind == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)


def quarters():
    """Background, red, green and ignored, a quarter each."""
    mask = np.zeros(SIZE, np.uint16)
    mask[:30, 40:], mask[30:, :40], mask[30:, 40:] = 1, 300, 65_535
    return mask


def middles(drawn):
    """The colours amid the four quarters."""
    return [drawn[y - 4 : y + 4, x - 4 : x + 4].reshape(-1, 3).mean(axis=0)
            for y, x in ((15, 20), (15, 60), (45, 20), (45, 60))]  # fmt: skip


def test_classes_have_their_colours_and_the_background_has_none(draw):
    none, red, green, ignored = middles(draw(MultiClassTarget(quarters())))
    assert none == pytest.approx([128, 128, 128], abs=6)
    assert red == pytest.approx([204, 51, 51], abs=12)
    assert green == pytest.approx([51, 204, 51], abs=12)
    assert np.ptp(ignored) < 12


def test_one_class_alone_is_coloured(draw):
    none, red, green, _ = middles(draw(MultiClassTarget(quarters()), only=300))
    assert none == pytest.approx([128, 128, 128], abs=6)
    assert red == pytest.approx([128, 128, 128], abs=6)
    assert green == pytest.approx([51, 204, 51], abs=12)


def test_objects_are_outlined(draw):
    mask = np.ones(SIZE, np.uint8)
    instances = np.ones(SIZE, np.int32)
    instances[:, 40:] = 2
    drawn = draw(InstanceTarget(mask, instances))
    assert drawn[10:50, 38:41].max(axis=1).min() > 180
    assert drawn[10:50, 10:30, 1].max() < 90


def test_of_several_layers_the_last_is_seen(draw):
    layers = np.zeros((3, *SIZE), np.bool_)
    layers[1, :, 40:] = layers[2, 30:] = True
    none, red, green, both = middles(draw(MultiLabelTarget(layers, np.zeros(SIZE, np.bool_))))
    assert none == pytest.approx([128, 128, 128], abs=6)
    assert red[0] > 180
    assert green[1] > 180
    assert both[1] > 180


def test_the_longest_side_is_kept_to(draw):
    assert draw(MultiClassTarget(quarters()), side=40).shape == (30, 40, 3)


def test_what_cannot_be_read_is_left_out(draw, tmp_path):
    assert draw(None) is None
    dataset = Dataset(tmp_path, "toy", TABLE, (), Given(None))
    missing = thumbnail(dataset, Entry("none.png", "a.txt"), side=9, background=None)
    assert (missing.picture, missing.overlay) == ("", "")
    lone = thumbnail(dataset, Entry("a.png", ""), side=9, background=None)
    assert lone.picture
    assert not lone.overlay


def test_a_huge_picture_is_thinned_out(tmp_path):
    Image.new("RGB", (3300, 20), (128, 128, 128)).save(tmp_path / "a.png")
    mask = np.ones((20, 3300), np.uint8)
    dataset = Dataset(tmp_path, "toy", TABLE, (), Given(MultiClassTarget(mask)))
    drawn = thumbnail(dataset, Entry("a.png", "a.txt"), side=300, background=0)
    assert opened(drawn.overlay)[0, 150] == pytest.approx([204, 51, 51], abs=12)
