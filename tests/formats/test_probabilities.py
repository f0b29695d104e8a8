from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.errors import MaskFileError, OutOfMemoryError
from pixelwise.formats.probabilities import read_class_names, read_probabilities


def softmax(classes, height, width, seed=0):
    scores = np.exp(np.random.default_rng(seed).normal(0, 3, (classes, height, width)))
    return (scores / scores.sum(0)).astype(np.float32)


@pytest.fixture
def saved(tmp_path):
    """Writes an array as .npy, or arrays by name as .npz."""

    def save(array=None, name="x", **arrays):
        path = tmp_path / (f"{name}.npz" if arrays else f"{name}.npy")
        if arrays:
            np.savez(path, **arrays)
        else:
            np.save(path, array)
        return path

    return save


def refused(path, classes=3):
    with pytest.raises(MaskFileError) as caught:
        read_probabilities(path, classes)
    assert caught.value.where == str(path)
    assert caught.value.fix
    return f"{caught.value.what}: {caught.value.got}"


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 5), st.integers(6, 9), st.integers(6, 9), st.booleans(), st.booleans())
def test_both_orders_and_both_kinds_of_file_tell_the_same(
    tmp_path_factory, classes, height, width, last, archive
):
    layers = softmax(classes, height, width)
    array = np.moveaxis(layers, 0, 2) if last else layers
    path = tmp_path_factory.mktemp("x") / ("x.npz" if archive else "x.npy")
    np.savez_compressed(path, anything=array) if archive else np.save(path, array)
    found = read_probabilities(path, classes)
    assert (found.dtype, found.flags.c_contiguous) == (np.float32, True)
    np.testing.assert_array_equal(found, layers)


@pytest.mark.parametrize("kind", [np.float16, np.float64, ">f4"])
def test_floats_of_other_sizes(saved, kind):
    layers = softmax(19, 4, 5).astype(kind)
    np.testing.assert_array_equal(read_probabilities(saved(layers), 19), layers.astype(np.float32))


def test_columns_first_in_memory(saved):
    layers = np.asfortranarray(softmax(3, 4, 5))
    np.testing.assert_array_equal(read_probabilities(saved(layers), 3), layers)


def test_which_order_must_be_clear(saved):
    layers = softmax(3, 4, 3)
    assert "[C, H, W] as well as [H, W, C]" in refused(saved(layers))
    own = saved(probabilities=layers, ids=np.arange(3), names=np.array(["a", "b", "c"]))
    np.testing.assert_array_equal(read_probabilities(own, 3), layers)


def test_all_that_is_wrong_with_the_values_is_told_at_once(saved):
    layers = softmax(3, 4, 5)
    layers[0, 0, 0] = -0.25
    layers[1, 2, 2] += 0.5
    told = refused(saved(layers))
    assert "1 values are below 0, down to -0.25" in told
    assert "sums over the classes are not 1 at 2 pixels" in told
    layers[2, 1] = np.nan
    layers[2, 2, 1] = np.inf
    told = refused(saved(layers))
    assert "5 values are NaN" in told
    assert "1 values are infinite" in told
    assert "1 values are below 0" in told


def test_logits_are_told(saved):
    assert "sums over the classes are not 1" in refused(saved(10 * softmax(3, 4, 5)))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (softmax(4, 5, 6), "[4, 5, 6], expected [3, H, W] or [H, W, 3]"),
        (softmax(3, 5, 6)[0], "shape [5, 6]"),
        (np.zeros((3, 0, 4), np.float32), "which is empty"),
        (np.zeros((3, 5, 6), np.uint8), "uint8, expected float16"),
        (np.zeros((2, 5), np.int64), "int64, expected float16, float32 or float64; shape [2, 5]"),
        (np.zeros((3, 5, 6), np.complex64), "complex64"),
    ],
)
def test_arrays_that_hold_none(saved, array, message):
    assert message in refused(saved(array))


def test_one_layer_of_two_classes_is_told_how_to_be_two(saved):
    path = saved(softmax(2, 5, 6)[1:])
    with pytest.raises(MaskFileError) as caught:
        read_probabilities(path, 2)
    assert "1 - p and p" in caught.value.fix


class Trap:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was opened",)


def test_pickles_are_never_opened(tmp_path, saved):
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(Trap()))
    assert "cannot be read as a NumPy array" in refused(tmp_path / "raw.npy")
    objects = np.empty((3, 2, 2), object)
    objects[:] = Trap()
    assert "pickled objects" in refused(saved(objects))
    assert "pickled objects" in refused(saved(probabilities=objects))
    with pytest.raises(MaskFileError):
        read_class_names(saved(probabilities=objects, ids=objects, names=objects))


def test_damaged_files(tmp_path, saved):
    whole = saved(softmax(3, 4, 5)).read_bytes()
    archive = saved(probabilities=softmax(3, 4, 5)).read_bytes()
    contents = {
        "cut.npy": whole[:-3],
        "head.npy": whole[:30],
        "empty.npy": b"",
        "cut.npz": archive[:-30],
        "bits.npz": archive[:200] + b"\xff" + archive[201:],
        "text.npz": b"no archive",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert "cannot be read as a NumPy array" in refused(tmp_path / name)
    assert "No such file" in refused(tmp_path / "missing.npy")


def test_a_header_is_not_believed(tmp_path):
    stream = io.BytesIO()
    head = {"shape": (3, 10**6, 10**6), "fortran_order": False, "descr": "<f4"}
    np.lib.format.write_array_header_1_0(stream, head)
    (tmp_path / "huge.npy").write_bytes(stream.getvalue())
    assert "at most 200 megapixels" in refused(tmp_path / "huge.npy")
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        archive.writestr("probabilities.npy", stream.getvalue())
    assert "at most 200 megapixels" in refused(tmp_path / "huge.npz")


def test_which_array_is_meant_must_be_clear(saved):
    layers = softmax(3, 4, 5)
    assert "arrays a, b" in refused(saved(a=layers, b=layers))
    path = saved(a=layers[:1], probabilities=layers)
    np.testing.assert_array_equal(read_probabilities(path, 3), layers)


def test_names_of_the_classes(saved):
    layers = softmax(2, 4, 5)
    names = np.array(["sky", "sea"])
    path = saved(probabilities=layers, ids=np.array([1, 7], np.uint16), names=names)
    assert read_class_names(path) == ((1, "sky"), (7, "sea"))
    assert read_class_names(saved(probabilities=layers)) is None
    assert read_class_names(saved(layers)) is None
    for ids, own in ((np.arange(3), names), (np.array([0.0, 1.0]), names), (np.arange(2),) * 2):
        with pytest.raises(MaskFileError, match="do not fit each other"):
            read_class_names(saved(probabilities=layers, ids=ids, names=own))
    many = np.zeros(1 << 22, "U2")
    with pytest.raises(MaskFileError) as caught:
        read_class_names(saved(probabilities=layers, ids=np.arange(2), names=many))
    assert "holds no names" in caught.value.got


def test_too_large_for_the_memory_is_told(saved, monkeypatch):
    def none_left(*arguments, **options):
        raise MemoryError("no memory")

    path = saved(softmax(3, 4, 5))
    monkeypatch.setattr(np.lib.format, "read_array", none_left)
    with pytest.raises(OutOfMemoryError, match="not enough memory") as caught:
        read_probabilities(path, 3)
    assert caught.value.where == str(path)
