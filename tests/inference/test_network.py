from __future__ import annotations

import numpy as np
import pytest

from pixelwise.errors import EngineError
from pixelwise.inference.tile_axis import ScoreGrid


@pytest.mark.parametrize(
    ("network", "card", "expected"),
    [
        ({}, {}, (1, 1, 0, False)),
        ({"pool": 4}, {}, (4, 4, 0, False)),
        ({"pool": 4}, {"multiple": 32}, (4, 32, 0, False)),
        ({"pool": 8}, {"multiple": 4}, (8, 8, 0, False)),
        ({"stride": 4}, {"alignment": "corners"}, (4, 4, 1, True)),
        ({}, {"multiple": 32, "remainder": 1, "alignment": "corners"}, (1, 32, 1, True)),
        ({"stride": 2}, {"multiple": 32, "remainder": 1, "alignment": "corners"}, (2, 32, 1, True)),
    ],
)
def test_the_grid_is_found_by_a_run(pointwise, load_toy, network, card, expected):
    model = load_toy(pointwise(**network), **card)
    assert model.probe.grid == ScoreGrid(*expected)


@pytest.mark.parametrize(
    ("network", "card"),
    [
        ({"stride": 3}, {}),
        ({"stride": 2}, {"alignment": "corners", "multiple": 2}),
        ({"pool": 512}, {"alignment": "corners", "multiple": 512}),
    ],
)
def test_scores_that_lie_between_pixels_cannot_be_tiled(pointwise, load_toy, network, card):
    model = load_toy(pointwise(**network), **card)
    with pytest.raises(EngineError, match="whole number of pixels apart") as caught:
        _ = model.probe
    assert "whole pictures" in caught.value.fix
    # Whole pictures still work.
    picture = np.zeros((512, 512, 3), np.uint8)
    assert model.predict(picture).size == (512, 512)
