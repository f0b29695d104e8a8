from __future__ import annotations

import importlib
import sys

import pytest

import pixelwise as pw
from pixelwise.errors import MissingExtraError
from pixelwise.extras import extra


def test_a_missing_package_is_named_with_its_extra():
    with pytest.raises(MissingExtraError, match="no_such is not") as caught, extra("train"):
        importlib.import_module("no_such.part")
    assert caught.value.fix == 'pip install "pixelwise[train]"'


def test_a_fault_of_our_own_is_no_missing_extra():
    with pytest.raises(ModuleNotFoundError) as caught, extra("train"):
        importlib.import_module("pixelwise.no_such")
    assert not isinstance(caught.value, MissingExtraError)


def test_building_without_torch_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "pixelwise.models.build", raising=False)
    monkeypatch.delitem(sys.modules, "pixelwise.models.unet", raising=False)
    monkeypatch.delattr("pixelwise.models.build", raising=False)
    with pytest.raises(MissingExtraError) as caught:
        pw.build("unet", classes=2)
    assert "pixelwise[train]" in caught.value.fix
