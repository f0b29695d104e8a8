from __future__ import annotations

import importlib
import pkgutil
from importlib import resources

import numpy as np
import pytest

import pixelwise
import pixelwise.api


def test_the_public_names_are_pinned():
    assert pixelwise.__all__ == [
        "ClassInfo",
        "ClassTable",
        "Model",
        "MultiLabelSegmentation",
        "PixelwiseError",
        "Segmentation",
        "Window",
        "__version__",
        "build",
        "classical",
        "data",
        "load",
        "metrics",
        "model_cards",
        "read_image",
        "read_mask",
        "refine",
        "search",
        "stream",
    ]
    assert sorted(pixelwise.__all__) == pixelwise.__all__
    assert {*pixelwise.__all__} - {"__version__", "classical", "data", "metrics", "refine"} == {
        *pixelwise.api.__all__
    }


def test_every_public_name_loads():
    for name in pixelwise.__all__:
        assert getattr(pixelwise, name) is not None
    assert set(pixelwise.__all__) <= set(dir(pixelwise))


def test_no_public_name_is_that_of_a_module():
    """Importing the module would put it in the place of the name; but for those that they are."""
    modules = {module.name for module in pkgutil.iter_modules(pixelwise.__path__)}
    assert modules & {*pixelwise.__all__} == {"classical", "data", "metrics", "refine"}
    assert pixelwise.classical is importlib.import_module("pixelwise.classical")
    assert pixelwise.data is importlib.import_module("pixelwise.data")
    assert pixelwise.metrics is importlib.import_module("pixelwise.metrics")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'segment'"):
        pixelwise.segment  # noqa: B018 - reading it is the test


def test_the_package_carries_its_types():
    assert resources.files("pixelwise").joinpath("py.typed").is_file()


def test_the_import_loads_nothing_but_itself(run_python):
    code = """
import sys
before = set(sys.modules)
import pixelwise
new = {name for name in set(sys.modules) - before if not name.startswith("pixelwise")}
print(sorted(new & {"numpy", "PIL", "pydantic", "onnxruntime", "typer", "rich"}))
print(pixelwise.__version__)
"""
    done = run_python(code)
    assert done.stdout == f"[]\n{pixelwise.__version__}\n", done.stderr


def test_models_are_listed_with_their_cards():
    cards = pixelwise.model_cards()
    assert set(cards) >= {"cells", "aerial", "crops", "people", "street", "vessels"}
    assert all(card.name == name for name, card in cards.items())


def test_the_street_model_segments_photos_of_any_size():
    model = pixelwise.load("street", engine="onnxruntime", threads=1)
    assert len(model.classes) == 13
    for size in ((1, 1), (3, 200), (61, 47)):
        picture = np.full((*size, 3), 90, np.uint8)
        seg = model.predict(picture)
        assert seg.labels.shape == size
        assert seg.labels.max() < 13


def test_one_error_catches_all():
    for work_out in (lambda: pixelwise.load("streat"), lambda: pixelwise.read_image("absent.jpg")):
        with pytest.raises(pixelwise.PixelwiseError):
            work_out()
