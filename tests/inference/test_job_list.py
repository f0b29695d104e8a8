from __future__ import annotations

import os
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.inference.job_list import Job, JobList, repeated
from pixelwise.inference.remote import RemotePath


def made(number):
    path = Path(f"photos/2024-{number // 5000:04d}/IMG_{number:08d}.jpg")
    return Job(path, path.with_suffix(""), 1000 + number, 1_700_000_000_000_000_000 + number)


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 3000])
def test_jobs_come_back_as_they_were(count):
    jobs = [made(number) for number in range(count)]
    packed = JobList.of(jobs)
    assert len(packed) == count
    assert list(packed) == jobs
    for place in {0, 1, 1023, 1024, count // 2, count - 1} & set(range(count)):
        assert packed[place] == jobs[place]
        assert packed[place - count] == jobs[place]
    assert list(packed[1:4]) == jobs[1:4]


def test_addresses_and_names_of_any_bytes():
    jobs = [
        Job(RemotePath("s3://bucket/a b.jpg"), Path("a b"), 3, 2**63 - 1),
        Job(Path(os.fsdecode(b"\xe9\n.png")), Path(os.fsdecode(b"\xe9\n"))),
        Job(Path("☂/ä.png"), Path("☂/ä")),
    ]
    assert list(JobList.of(jobs)) == jobs


def test_a_job_takes_few_bytes(run_python):
    """Ten million must not need gigabytes.

    Apart, since threads of other tests are counted, too; and without the table of names that
    pathlib has Python keep, which grows in leaps and forgets.
    """
    code = """
import pathlib
import tracemalloc
from pathlib import Path
from pixelwise.inference.job_list import Job, JobList

def made(number):
    path = Path(f"photos/2024-{number // 5000:04d}/IMG_{number:08d}.jpg")
    return Job(path, path.with_suffix(""), 1000 + number, 1_700_000_000_000_000_000 + number)

tracemalloc.start()
packed = JobList.of(made(number) for number in range(20_480))
others = tracemalloc.Filter(False, pathlib.__file__)
kept = tracemalloc.take_snapshot().filter_traces([others]).traces
print(sum(trace.size for trace in kept) / len(packed))
"""
    assert float(run_python(code).stdout) < 60


@given(st.lists(st.integers(-3, 3), max_size=30))
def test_equal_numbers_are_found(numbers):
    groups = repeated(array("q", numbers))
    expected = {
        value: [place for place, each in enumerate(numbers) if each == value]
        for value in set(numbers)
        if numbers.count(value) > 1
    }
    assert sorted(groups) == sorted(expected.values())
