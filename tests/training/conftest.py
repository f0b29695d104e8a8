"""What tests of several processes share."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def start_together(command_environment):
    """Starts a program text in several processes by torchrun, which finds a free port itself."""

    def start(code, *arguments, processes=2, **options):
        return subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", "--standalone"]
            + ["--nproc-per-node", str(processes), "--no-python"]
            + [sys.executable, "-c", code, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **{"env": command_environment | {"OMP_NUM_THREADS": "1"}} | options,
        )

    return start


@pytest.fixture(scope="session")
def run_together(start_together):
    """Runs a program text in several processes; gives what the first printed last, as JSON."""

    def run(code, *arguments, processes=2):
        process = start_together(code, *arguments, processes=processes)
        try:
            out, error = process.communicate(timeout=100)
        finally:
            process.kill()
        assert process.returncode == 0, error[-5000:]
        return json.loads(out.splitlines()[-1])

    return run
