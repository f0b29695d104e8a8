from __future__ import annotations

import pytest

from pixelwise.inference import bench
from pixelwise.inference.bench import measure, picture_size, processor, settings_of
from pixelwise.inference.card import Resize
from pixelwise.inference.model_file import read_model


@pytest.fixture
def toy(make_model):
    return read_model(make_model())


@pytest.mark.parametrize(
    ("cores", "threads"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_threads_are_powers_of_two_up_to_all_cores(toy, monkeypatch, cores, threads):
    monkeypatch.setattr(bench, "usable_cores", lambda: cores)
    found = settings_of(toy, engines=["onnxruntime"])
    assert [each.threads for each in found if each.batch == 1] == threads


def test_what_is_chosen_is_measured(toy):
    found = settings_of(toy, engines=["onnxruntime"], threads=[3, 1], batches=[2, 2])
    assert [(each.threads, each.batch) for each in found] == [(1, 2), (3, 2)]


def test_a_network_of_one_picture_gets_one(make_model, pointwise):
    file = read_model(make_model(network=pointwise(shape=(1, 3, "H", "W"))))
    found = settings_of(file, engines=["onnxruntime"], threads=[1], batches=[4])
    assert [each.batch for each in found] == [1]


def test_the_picture_is_the_cards_own(make_card):
    exact = make_card(resize=Resize(rule="exact", size=(7, 9))).preprocessing
    assert picture_size(None, exact) == (7, 9)
    assert picture_size((3, 4), exact) == (3, 4)
    assert picture_size(None, make_card().preprocessing) == (480, 640)


def test_each_setting_is_run_and_told_once(toy):
    settings = settings_of(toy, engines=["onnxruntime"], threads=[1], batches=[1, 2])
    told = []
    rows = measure(settings, size=(9, 9), seconds=0, progress=told.append)
    assert sum(told) == len(rows) == 2
    assert [row.batch for row in rows] == [1, 2]
    for row in rows:
        assert row.runs >= 3
        assert row.throughput == pytest.approx(1000 * row.batch / row.median)


def test_the_processor_is_named():
    assert processor()
