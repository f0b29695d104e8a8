"""The end of a run, where what it needs is gone; the rest is in the end-to-end tests."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from pixelwise.errors import WeightsError
from pixelwise.models.build import build
from pixelwise.training.finish import _load_best
from pixelwise.training.run_folder import RunFolder


@pytest.mark.parametrize("content", [None, b"123"])
def test_lost_weights_are_told_with_what_helps(tmp_path, content):
    folder = RunFolder(tmp_path)
    if content is not None:
        folder.best.write_bytes(content)
    network = build("unet", classes=2, encoder="test_efficientnet", decoder_channels=[8, 8, 8, 8])
    with pytest.raises(WeightsError) as caught:
        _load_best(network, folder)
    assert caught.value.where == str(folder.best)
    assert f"pixelwise train --plan {folder.plan}" in caught.value.fix
