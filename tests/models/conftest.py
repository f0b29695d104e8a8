"""What the tests of networks share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pixelwise.inference.card import CARD_KEY
from pixelwise.inference.engines import make_engine
from pixelwise.inference.model_file import check_model
from pixelwise.inference.onnx_file import with_metadata


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def make_runner(make_card, make_table):
    """An exported network in an engine, as prediction runs it."""

    def make(content, engine, *, classes):
        card = make_card(make_table(*range(classes)))
        file = check_model(with_metadata(content, {CARD_KEY: card.to_json()}), Path("toy.onnx"))
        return make_engine(file, engine=engine, threads=1)

    return make
