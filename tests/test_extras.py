from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

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


def test_building_without_torch_names_the_extra(command_environment):
    code = """if True:
        import sys
        sys.modules["torch"] = None
        import pixelwise
        try:
            pixelwise.build("unet", classes=2)
        except pixelwise.PixelwiseError as error:
            print(type(error).__name__, error.fix)
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=command_environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == 'MissingExtraError pip install "pixelwise[train]"'
