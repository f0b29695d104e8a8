from __future__ import annotations

import numpy as np
import pytest

from pixelwise import classical
from pixelwise.classical.motion import background_of, moving, spread_frames
from pixelwise.errors import UsageError


@pytest.fixture
def film():
    """A square that goes over a ground of noise, and where it is."""
    ground = np.random.default_rng(0).integers(0, 100, (30, 60, 3), np.uint8)
    frames, masks = [], []
    for left in range(2, 50, 10):
        mask = np.zeros((30, 60), bool)
        mask[10:18, left : left + 8] = True
        frames.append(np.where(mask[..., None], np.uint8(220), ground))
        masks.append(mask)
    return frames, masks


def test_what_moves_is_found_in_every_frame(film):
    frames, masks = film
    for found, mask in zip(classical.motion(frames), masks, strict=True):
        # The opening takes the four corners.
        assert (found.labels.astype(bool) != mask).sum() == 4
    for found, mask in zip(classical.motion(frames, opening=0), masks, strict=True):
        np.testing.assert_array_equal(found.labels, mask)


def test_the_rim_is_no_border(film):
    frames, _ = film
    frames[2] = frames[2].copy()
    frames[2][:6, :6] = 220
    found = classical.motion(frames)[2].labels[:8, :8].astype(bool)
    # Of its corners the one that lies within.
    np.testing.assert_array_equal(np.argwhere(found[:6, :6] == 0), [[5, 5]])


def test_nothing_moves_where_all_frames_are_one(film):
    frames, _ = film
    assert not any(found.labels.any() for found in classical.motion([frames[0]] * 3))


def test_one_photo_has_no_motion_and_frames_have_one_size(film):
    frames, _ = film
    for photos in ([], frames[:1]):
        with pytest.raises(UsageError) as caught:
            classical.motion(photos)
        assert "one photo has no motion" in caught.value.got
    with pytest.raises(UsageError) as caught:
        classical.segment(frames[0], "motion")
    assert "one photo has no motion" in caught.value.got
    with pytest.raises(UsageError) as caught:
        classical.motion([frames[0], frames[1][:20]])
    assert caught.value.got == "frames of several sizes: 60×20, 60×30 (width × height)"
    with pytest.raises(UsageError) as caught:
        moving(frames[0][:20], background_of(frames), threshold=-3)
    assert "a frame of 60×20, the others have 60×30" in caught.value.got
    assert "threshold=-3" in caught.value.got


def test_a_long_film_is_sampled_evenly():
    assert spread_frames(3) == [0, 1, 2]
    places = spread_frames(1000)
    assert len(places) == 64
    assert (places[0], places[-1]) == (0, 999)
    assert set(np.diff(places)) <= {15, 16}
