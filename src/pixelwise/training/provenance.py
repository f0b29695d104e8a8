"""What a run ran on: a line for its timing log."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

from pixelwise.kernels.checks import usable_cores
from pixelwise.version import VERSION

__all__ = ["machine_event"]

_PACKAGES = ("numpy", "pillow", "safetensors", "timm", "torch", "torchvision")


def machine_event(device: str, processes: int = 1) -> dict[str, object]:
    """The event "machine", as `pixelwise.training.events.Machine` reads it.

    Args:
        device: "cpu", or the name of the GPU.
        processes: that train together.
    """
    return {
        "event": "machine",
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": usable_cores(),
        "device": device,
        "processes": processes,
        "versions": {
            "pixelwise": VERSION,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _PACKAGES if _is_installed(name)},
        },
    }


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":") for line in lines)
    named = next((value.strip() for key, _, value in names if key.strip() == "model name"), "")
    return named or platform.processor() or platform.machine()
