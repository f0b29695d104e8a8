from __future__ import annotations

import heapq
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.inference.job_list import Job
from pixelwise.inference.schedule import Schedule


def jobs_of(sizes):
    return [Job(Path(f"{n}.jpg"), Path(str(n)), size) for n, size in enumerate(sizes)]


def schedule_of(*sizes):
    return Schedule(jobs_of(sizes), len(sizes))


def dealt(schedule, workers):
    blocks = []
    while block := schedule.take(workers):
        blocks.append([int(str(job.name)) for job in block])
    return blocks


@given(st.lists(st.integers(0, 10**9), max_size=200), st.integers(1, 9))
@settings(max_examples=50)
def test_each_is_dealt_once_the_largest_first(sizes, workers):
    schedule = schedule_of(*sizes)
    assert len(schedule) == len(sizes)
    order = [number for block in dealt(schedule, workers) for number in block]
    assert sorted(order) == list(range(len(sizes)))
    assert [sizes[n] for n in order] == sorted(sizes, reverse=True)
    assert len(schedule) == 0


def test_blocks_shrink_towards_the_end_and_large_pictures_are_alone():
    lengths = [len(block) for block in dealt(schedule_of(*[10] * 400), 2)]
    assert lengths[0] == 16
    assert lengths[-1] == 1
    assert lengths == sorted(lengths, reverse=True)
    assert [len(block) for block in dealt(schedule_of(*[1 << 25] * 40), 1)] == [1] * 40


def test_what_was_not_begun_comes_again_as_it_was():
    schedule = schedule_of(*range(100))
    block = schedule.take(1)
    schedule.give_back(block)
    assert len(schedule) == 100
    assert schedule.take(1) == block


def test_a_block_at_which_a_worker_died_comes_again_one_by_one():
    schedule = schedule_of(*range(100))
    block = schedule.take(1)
    assert len(block) > 1
    assert schedule.begun(block) == []
    assert [schedule.take(1) for _ in block] == [[job] for job in block]
    # Only a death at the picture alone is its own.
    first = block[:1]
    assert schedule.begun(first) == []
    assert schedule.begun(first) == []
    assert schedule.begun(first) == first


def test_the_rest():
    schedule = schedule_of(*range(100))
    taken = schedule.take(1)
    schedule.give_back(taken[:3])
    assert len(list(schedule.rest())) == 100 - len(taken) + 3
    assert len(schedule) == 0


def test_fewer_than_said():
    schedule = Schedule(jobs_of([1, 2]), 5)
    assert len(dealt(schedule, 1)) == 2
    assert len(schedule) == 0


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=120), st.integers(2, 8))
@settings(max_examples=50)
def test_no_worker_idles_long(seconds, workers):
    """Graham's bound: what blocks add at the end is no more than one picture."""
    schedule = schedule_of(*(int(1e6 * each) for each in seconds))
    free = [0.0] * workers
    while block := schedule.take(workers):
        started = heapq.heappop(free)
        heapq.heappush(free, started + sum(seconds[int(str(job.name))] for job in block))
    best = max(sum(seconds) / workers, *seconds)
    assert max(free) <= (4 / 3 + 1 / 4) * best + max(seconds)
