from __future__ import annotations

import json
import platform

from pixelwise.training.events import Machine, parse_event
from pixelwise.training.provenance import machine_event
from pixelwise.version import VERSION


def test_the_machine_is_an_event_of_the_log():
    event = json.loads(json.dumps(machine_event("cpu", processes=2)))
    told = parse_event(event)
    assert isinstance(told, Machine)
    assert (told.device, told.processes) == ("cpu", 2)
    assert told.cores >= 1
    assert told.processor
    assert told.versions["pixelwise"] == VERSION
    assert told.versions["python"] == platform.python_version()
    assert "numpy" in told.versions


def test_it_tells_no_name_of_user_or_host():
    assert platform.node() == "" or platform.node() not in json.dumps(machine_event("cpu"))
