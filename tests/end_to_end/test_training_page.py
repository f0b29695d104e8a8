"""What docs/training.md tells to run, runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "training.md").read_text()
# These need several GPUs, data that nobody has here, or a run that went before.
LEFT_OUT = ("torchrun", "examples/nuclei_like")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("training_page")
    for name in ("examples", "recipes"):
        (place / name).symlink_to(ROOT / name)
    return place


def test_commands_run_in_their_order(folder, fork_together):
    from pixelwise.training.run_folder import RunFolder

    lines = [line for block in blocks("bash") for line in block.splitlines()]
    commands = [line for line in lines if not any(word in line for word in LEFT_OUT)]
    assert len(commands) >= 5
    # Forked from a process that has loaded PyTorch, which would take seconds each time.
    code = f"import os; os.chdir({str(folder)!r}); from pixelwise.__main__ import main; main()"
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "pixelwise"
        if "--resume" in arguments:
            # test_training_survives.py runs it; of a run that is over it would export once more.
            assert RunFolder(folder / arguments[-1]).is_over(), command
            continue
        ((done,),) = fork_together(code, [arguments], processes=1)
        assert done.code == 0, f"{command}\n{done.out}\n{done.error}"
    run = folder / "out" / "runs" / "nuclei"
    told = re.findall(r"`([a-z_]+\.[a-z]+|[a-z]+/)`", PAGE[PAGE.index("## The folder of a run") :])
    files = {name for name in told if not name.startswith("recipes")}
    for name in files & {"plan.yaml", "log.jsonl", "model.onnx", "report.html", "examples/"}:
        assert (run / name).exists(), name


def test_code_runs(folder, command_environment):
    for code in blocks("python"):
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env=command_environment,
            check=True,
            timeout=300,
            capture_output=True,
        )


def test_the_class_file_shown_can_be_read(tmp_path):
    from pixelwise.training.class_file import read_class_file

    (block,) = blocks("yaml")
    path = tmp_path / "classes.yaml"
    path.write_text(block)
    assert read_class_file(path).classes.names == ("road", "person", "bag")
