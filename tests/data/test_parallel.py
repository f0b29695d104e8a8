from __future__ import annotations

import threading
import time

import pytest

from pixelwise.data.parallel import in_order


def own_threads():
    return [one for one in threading.enumerate() if one.name.startswith("pixelwise")]


@pytest.mark.parametrize("workers", [0, 1, 2, 4])
def test_answers_come_in_the_order_of_the_items(workers):
    def slow_at_first(number):
        time.sleep(0.002 * (number < 3))
        return number**2

    answers = in_order(slow_at_first, range(20), workers=workers, ahead=5)
    assert list(answers) == [number**2 for number in range(20)]
    assert own_threads() == []


@pytest.mark.parametrize(("workers", "ahead"), [(0, 5), (1, 1), (2, 5), (4, 2)])
def test_no_more_items_are_taken_than_ahead(workers, ahead):
    taken = []
    items = (taken.append(number) or number for number in range(100))
    answers = in_order(lambda number: number, items, workers=workers, ahead=ahead)
    for given_out, _ in enumerate(answers, 1):
        assert len(taken) <= given_out + (ahead if workers else 0)
    assert len(taken) == 100


@pytest.mark.parametrize("workers", [0, 2])
def test_what_work_raises_comes_at_its_place_and_ends_the_threads(workers):
    def fail_at_three(number):
        if number == 3:
            raise KeyError(number)
        return number

    answers = in_order(fail_at_three, range(20), workers=workers, ahead=6)
    assert [next(answers) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError):
        next(answers)
    assert own_threads() == []


def test_an_iterator_left_alone_frees_its_threads():
    answers = in_order(lambda number: number, range(50), workers=3, ahead=6)
    next(answers)
    assert len(own_threads()) == 3
    del answers
    assert own_threads() == []


def test_items_that_raise_end_the_threads():
    def items():
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_order(lambda number: number, items(), workers=2, ahead=4))
    assert own_threads() == []


def test_several_threads_work_at_once():
    together = threading.Barrier(2, timeout=20)
    answers = in_order(lambda _: together.wait() < 2, range(2), workers=2, ahead=2)
    assert all(answers)
