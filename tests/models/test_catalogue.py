from __future__ import annotations

import pytest

from benchmarks.cost import catalogue_cost
from pixelwise.models.build import ARCHITECTURES
from pixelwise.models.catalogue import CATALOGUE


def test_every_architecture_is_in_the_catalogue():
    assert list(CATALOGUE) == sorted(ARCHITECTURES)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_catalogue_tells_the_default_encoder_and_its_cost(name):
    facts, cost = CATALOGUE[name], catalogue_cost(name)
    assert facts.encoder == ARCHITECTURES[name].config.encoder
    assert facts.parameters == round(cost.parameters, 1)
    assert facts.multiply_adds == round(cost.multiply_adds, 1)
