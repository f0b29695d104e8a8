"""Keeping freed memory: fewer pages asked for, and never a failure."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pixelwise.training.allocator import keep_freed_memory

GLIBC = sys.platform == "linux" and "glibc" in (os.confstr("CS_GNU_LIBC_VERSION") or "")

# Pages that the system gave for eight blocks of 64 MiB, one after another.
FAULTS = """
import resource, sys
from pixelwise.training.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
import numpy as np
np.ones(8 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    np.ones(8 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str, **settings: str) -> int:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    # Large pages would hide what is counted.
    environment = {**own, "NUMPY_MADVISE_HUGEPAGE": "0", **settings}
    command = [sys.executable, "-c", FAULTS, mode]
    answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return int(answer.stdout)


@pytest.mark.skipif(not GLIBC, reason="glibc only")
def test_large_blocks_are_used_again() -> None:
    plain, kept = faults("plain"), faults("kept")
    assert plain > 1000
    assert kept < plain / 100


@pytest.mark.skipif(not GLIBC, reason="glibc only")
def test_users_own_settings_stay() -> None:
    assert faults("kept", MALLOC_MMAP_THRESHOLD_="1048576") > 1000


@pytest.mark.parametrize(
    "environment",
    [
        {"MALLOC_MMAP_MAX_": "65536"},
        {"MALLOC_TRIM_THRESHOLD_": "131072"},
        {"GLIBC_TUNABLES": "glibc.malloc.check=3"},
    ],
)
def test_says_that_it_did_nothing(environment: dict[str, str]) -> None:
    assert not keep_freed_memory(environment)


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_nothing(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert not keep_freed_memory({})


@pytest.mark.parametrize("answer", [None, OSError(22, "invalid"), ValueError("no such name")])
def test_other_libraries_nothing(answer: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def confstr(_: str) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(os, "confstr", confstr, raising=False)
    assert not keep_freed_memory({})
