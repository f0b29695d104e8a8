from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelwise import classical
from pixelwise.classical.methods import METHODS, check_installed, find_method
from pixelwise.errors import ArrayError, MissingExtraError, SettingsError, UsageError

NAMES = [
    "otsu",
    "multi-otsu",
    "adaptive",
    "kmeans",
    "gmm",
    "slic",
    "watershed",
    "felzenszwalb",
    "chan-vese",
    "snake",
    "grabcut",
    "random-walker",
    "edges",
    "motion",
]


def run(name, picture):
    """The method on the picture, shown what it must be shown."""
    height, width = picture.shape[:2]
    if name == "motion":
        return classical.motion([picture, picture])[0]
    shown = {
        "snake": {"circle": ((width - 1) / 2, (height - 1) / 2, (min(height, width) - 1) / 2)},
        "grabcut": {"box": (0, 0, width - 1, height)},
        "random-walker": {"seeds": [(0, 0, "a"), (width - 1, height - 1, "b")]},
    }
    return classical.segment(picture, name, **shown.get(name, {}))


def test_the_methods_are_pinned():
    assert list(METHODS) == NAMES
    for name, method in METHODS.items():
        assert method.run is getattr(classical, name.replace("-", "_"))
        assert method.run.__name__ in classical.__all__
        kinds = {option.kind for option in method.options.values()}
        assert kinds == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("name", NAMES)
@given(height=st.integers(1, 12), width=st.integers(1, 12), seed=st.integers(0, 5))
@settings(max_examples=6)
def test_size_out_is_size_in_and_ids_are_in_the_table(name, height, width, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    try:
        found = run(name, picture)
    except UsageError:
        # Too small for two seeds, or to have as many colours as clusters.
        return
    assert found.size == found.labels.shape == (height, width)
    assert set(np.unique(found.labels).tolist()) <= set(found.classes.ids)
    np.testing.assert_allclose(found.probabilities().sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_one_pixel_is_answered_or_refused_in_words(name):
    pixel = np.full((1, 1, 3), 7, np.uint8)
    if name in {"multi-otsu", "kmeans", "gmm", "snake", "grabcut", "random-walker"}:
        with pytest.raises(UsageError):
            run(name, pixel)
    else:
        assert run(name, pixel).labels.shape == (1, 1)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_twice(name):
    picture = np.random.default_rng(9).integers(0, 256, (24, 30, 3), np.uint8)
    first, again = run(name, picture), run(name, picture)
    np.testing.assert_array_equal(first.scores, again.scores)
    assert first.provenance == again.provenance


@pytest.mark.parametrize("name", NAMES)
def test_the_caller_may_write_on(name):
    picture = np.random.default_rng(9).integers(0, 256, (24, 30, 3), np.uint8)
    before = picture.copy()
    found = run(name, picture)
    np.testing.assert_array_equal(picture, before)
    picture[:] = 0
    np.testing.assert_array_equal(found.image, before)


def test_pictures_are_read_upright_and_grey_ones_too(tmp_path):
    grey = np.tile(np.linspace(0, 255, 20).astype(np.uint8), (8, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(grey).save(tmp_path / "turned.png", exif=exif)
    found = classical.otsu(tmp_path / "turned.png")
    assert found.size == (20, 8)
    assert found.labels[-1].all()
    assert not found.labels[0].any()
    assert found.provenance.source.endswith("turned.png")
    with pytest.raises(ArrayError):
        classical.otsu(grey.astype(float))


def test_a_result_says_how_it_came_about(disc):
    picture, _ = disc
    told = classical.kmeans(picture, clusters=2, seed=7).provenance
    assert told.model == "kmeans (clusters=2, seed=7)"
    assert told.engine.startswith("scikit-learn ")
    assert told.network_size == (64, 80)
    other = classical.kmeans(picture, clusters=2, seed=8).provenance
    assert told.model_hash != other.model_hash


def test_unknown_methods_and_options_are_refused(disc):
    picture, _ = disc
    with pytest.raises(UsageError) as caught:
        classical.segment(picture, "k-means")
    assert caught.value.fix.startswith("did you mean kmeans")
    assert find_method("Random_Walker").name == "random-walker"
    with pytest.raises(SettingsError) as caught:
        classical.segment(picture, "random-walker", betta=3)
    assert "betta: no option of random-walker (did you mean beta?" in caught.value.got
    assert "seeds: needed, and not given" in caught.value.got


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("pixelwise.classical.methods.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError) as caught:
        check_installed()
    assert caught.value.fix == 'pip install "pixelwise[classical]"'


def test_the_import_loads_none_of_the_packages(run_python):
    code = """
import sys
import pixelwise
pixelwise.classical.METHODS
print(*sorted({"cv2", "scipy", "skimage", "sklearn", "torch"} & set(sys.modules)))
"""
    assert run_python(code).stdout.strip() == ""
