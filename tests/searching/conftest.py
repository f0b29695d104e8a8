from __future__ import annotations

import json
import os

import numpy as np
import pytest

from pixelwise.formats.files import write_atomic
from pixelwise.formats.masks import encode_mask
from pixelwise.presence import Presence

NAMES = {0: "road", 1: "car", 2: "Traffic light", 300: "sky"}


def map_bytes(labels, names=NAMES, source="photo.jpg", **facts):
    """A label map as predict writes it."""
    said = {
        "source": source,
        "classes": json.dumps(names),
        "presence": Presence.of(labels).encode(),
    }
    said = {key: value for key, value in (said | facts).items() if value is not None}
    return encode_mask(labels, text={"pixelwise": json.dumps(said)})


@pytest.fixture
def write_map():
    """Writes a label map; its time is that of the last one and a second, long ago."""
    clock = [1_000_000_000]

    def write(path, labels, **options):
        write_atomic(path, map_bytes(np.asarray(labels), **options))
        clock[0] += 1
        os.utime(path, (clock[0], clock[0]))

    return write
