from __future__ import annotations

import numpy as np
import pytest

from pixelwise.inference.picture_facts import picture_facts


@pytest.mark.parametrize("count", [1, 4, 64, 65, 150, 300])
@pytest.mark.parametrize("size", [(1, 1), (40, 60), (513, 7)])
def test_shares_and_boxes_are_those_of_the_pixels(make_table, count, size):
    table = make_table(*range(0, 2 * count, 2))
    draw = np.random.default_rng(count)
    kind = np.uint8 if 2 * count < 256 else np.uint16
    labels = (2 * draw.integers(0, count, size)).astype(kind)
    facts = picture_facts(labels, table)
    assert (facts.height, facts.width) == size
    assert [fact.share for fact in facts.classes] == sorted(
        (fact.share for fact in facts.classes), reverse=True
    )
    assert sorted(fact.id for fact in facts.classes) == np.unique(labels).tolist()
    for fact in facts.classes:
        ys, xs = np.nonzero(labels == fact.id)
        assert fact.share == len(xs) / labels.size
        assert fact.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert fact.name == f"class {fact.id}"
