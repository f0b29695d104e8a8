"""The machine that a figure was measured on."""

from __future__ import annotations

import platform
from datetime import date
from pathlib import Path

from pixelwise.kernels.checks import usable_cores


def describe_machine() -> str:
    """Processor, cores, Python and date in one line."""
    model = platform.processor() or platform.machine()
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        names = [line for line in facts.read_text().splitlines() if line.startswith("model name")]
        flags = facts.read_text()
        model = names[0].split(":", 1)[1].strip() if names else model
        model += ", AVX-512" if "avx512f" in flags else ""
    cores = usable_cores()
    many = "s" * (cores != 1)
    return f"{model}, {cores} core{many}, Python {platform.python_version()}, {date.today()}"
