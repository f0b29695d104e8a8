"""What the machine has that a training can use: cores, memory, GPUs, fast bfloat16."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pixelwise.kernels.checks import usable_cores

if TYPE_CHECKING:
    import torch

__all__ = ["Gpu", "Machine", "free_memory", "machine"]

_MEASURED_SECONDS = 0.1
_MEASURED_SIZE = (2, 64, 96, 96)
_UNLIMITED = 1 << 60


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        name: as its maker calls it.
        memory: bytes that are free on it.
        bfloat16: it computes in bfloat16.
    """

    name: str
    memory: int
    bfloat16: bool


@dataclass(frozen=True)
class Machine:
    """What there is to train on.

    Attributes:
        cores: that this process may use.
        memory: bytes that this process can still take; 0 where that cannot be told.
        gpus: in the order of their numbers.
        bfloat16_speed: how many times faster than float32 a convolution in bfloat16 is on the
            processor, forward and backward, as measured; 0 where it was not.
        torch: version of PyTorch.
    """

    cores: int
    memory: int
    gpus: tuple[Gpu, ...]
    bfloat16_speed: float
    torch: str

    @property
    def room(self) -> int:
        """Bytes free where the network will be: on the first GPU, or in main memory."""
        return self.gpus[0].memory if self.gpus else self.memory


def machine() -> Machine:
    """Looks, and on a machine without GPU measures for some 0.2 s how fast bfloat16 is."""
    import torch

    gpus = tuple(_gpu(number) for number in range(torch.cuda.device_count()))
    return Machine(
        cores=usable_cores(),
        memory=free_memory(),
        gpus=gpus,
        bfloat16_speed=0.0 if gpus else _bfloat16_speed(),
        torch=torch.__version__,
    )


def free_memory(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that this process can take: what the system has left, and its control groups allow.

    Of the groups above, too; memory of cached files counts as free. 0 where nothing can be told.

    Args:
        proc: where the kernel tells of processes.
        cgroups: where it tells of control groups, of both versions.
    """
    system = _system_memory(proc / "meminfo")
    limits = [
        limit - used + cached
        for group in _groups(proc / "self" / "cgroup", cgroups)
        for limit, used, cached in [_limit(group)]
        if limit < _UNLIMITED
    ]
    return max(0, min([*limits, *([system] if system else [])], default=0))


def _system_memory(meminfo: Path) -> int:
    for line in _text(meminfo).splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        # Windows has no sysconf.
        return 0


def _groups(memberships: Path, cgroups: Path) -> list[Path]:
    """Folders of the memory groups that this process is in, and of those above them."""
    folders = []
    for line in _text(memberships).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        root = cgroups / "memory" if controllers else cgroups
        # In a container the path may be that of the host, while its own group is mounted here.
        group = root / path.lstrip("/")
        folders += [folder for folder in (group, *group.parents) if folder.is_relative_to(root)]
        folders.append(root)
    return list(dict.fromkeys(folders))


def _limit(group: Path) -> tuple[int, int, int]:
    """Bytes allowed, bytes used, and bytes of those that are cached files."""
    limit = _number(group / "memory.max") or _number(group / "memory.limit_in_bytes")
    used = _number(group / "memory.current") or _number(group / "memory.usage_in_bytes")
    cached = 0
    for line in _text(group / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == "inactive_file":
            cached = int(value)
    return limit or _UNLIMITED, used or 0, cached


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _gpu(number: int) -> Gpu:
    import torch

    free, _ = torch.cuda.mem_get_info(number)
    name = torch.cuda.get_device_name(number)
    # Before Ampere bfloat16 is emulated, which is slower than float32.
    fast = torch.cuda.get_device_capability(number) >= (8, 0)
    return Gpu(name, free, fast)


def _bfloat16_speed() -> float:
    """Measured, since processors that have the instructions differ widely in what they gain."""
    import torch

    layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(memory_format=torch.channels_last)
    image = torch.ones(_MEASURED_SIZE).contiguous(memory_format=torch.channels_last)
    return _rate(layer, image, bfloat16=True) / _rate(layer, image, bfloat16=False)


def _rate(layer: torch.nn.Module, image: torch.Tensor, *, bfloat16: bool) -> float:
    """Passes per second, forward and backward: of the fastest one, so that others do not matter."""
    import torch

    best = float("inf")
    ends = time.perf_counter() + _MEASURED_SECONDS
    passes = 0
    # The first passes choose and prepare the kernels.
    while passes < 3 or time.perf_counter() < ends:
        begun = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            result = layer(image)
        torch.autograd.grad(result.float().sum(), list(layer.parameters()))
        best = min(best, time.perf_counter() - begun)
        passes += 1
    return 1 / best
