from __future__ import annotations

import pytest

from pixelwise.kernels.checks import usable_cores
from pixelwise.training.machine import Gpu, Machine, free_memory, machine

MIB = 1024 * 1024


@pytest.fixture
def make_system(tmp_path):
    """Folders such as the kernel shows them: memory free in MiB, groups of this process, files."""

    def make(available, groups="", **files):
        proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
        (proc / "self").mkdir(parents=True)
        (proc / "meminfo").write_text(
            f"MemTotal: 99999999 kB\nMemAvailable: {available * 1024} kB\n"
        )
        (proc / "self" / "cgroup").write_text(groups)
        for place, content in files.items():
            path = cgroups.joinpath(*place.split("__"))
            path = path.with_name(path.name.replace("_dot_", "."))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return free_memory(proc, cgroups)

    return make


def test_without_groups_it_is_what_the_system_has(make_system):
    assert make_system(500) == 500 * MIB


def test_a_group_limits(make_system):
    free = make_system(
        500,
        "0::/job\n",
        job__memory_dot_max=f"{300 * MIB}\n",
        job__memory_dot_current=f"{250 * MIB}\n",
        job__memory_dot_stat=f"anon 1\ninactive_file {100 * MIB}\n",
    )
    assert free == 150 * MIB


def test_so_do_the_groups_above(make_system):
    free = make_system(
        500,
        "0::/outer/inner\n",
        outer__memory_dot_max=f"{80 * MIB}",
        outer__memory_dot_current="0",
        outer__inner__memory_dot_max="max",
    )
    assert free == 80 * MIB


def test_in_a_container_the_root_is_its_own_group(make_system):
    free = make_system(500, "0::/../elsewhere\n", memory_dot_max=f"{60 * MIB}")
    assert free == 60 * MIB


def test_groups_of_the_first_version(make_system):
    free = make_system(
        500,
        "4:memory:/job\n3:cpu:/job\n",
        memory__job__memory_dot_limit_in_bytes=f"{200 * MIB}",
        memory__job__memory_dot_usage_in_bytes=f"{50 * MIB}",
        memory__memory_dot_limit_in_bytes=str(2**63 - 4096),
    )
    assert free == 150 * MIB


def test_more_used_than_allowed_is_nothing_free(make_system):
    files = {"memory_dot_max": f"{10 * MIB}", "memory_dot_current": f"{20 * MIB}"}
    assert make_system(500, "0::/\n", **files) == 0


def test_what_is_here_is_found():
    here = machine()
    assert here.cores == usable_cores()
    assert here.room > MIB
    assert here.gpus or here.bfloat16_speed > 0
    assert here.torch


def test_the_room_is_that_of_the_first_gpu():
    gpus = (Gpu("one", 5, True), Gpu("two", 7, True))
    assert Machine(1, 3, gpus, 0.0, "").room == 5
    assert Machine(1, 3, (), 0.0, "").room == 3


def test_looking_at_the_module_does_not_load_torch(run_python):
    done = run_python("import pixelwise.training.machine, sys; print('torch' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr
