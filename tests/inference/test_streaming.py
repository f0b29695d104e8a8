from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest

import pixelwise as pw
from pixelwise.errors import ImageFileError, UnknownModelError, UsageError


@pytest.fixture
def toy(make_model):
    return pw.load(make_model(), engine="onnxruntime", threads=1)


@pytest.fixture
def photos(tmp_path, make_photos):
    names = [f"{number}.png" for number in range(12)]
    make_photos(tmp_path / "f", *names)
    return [tmp_path / "f" / name for name in names]


def our_threads():
    names = ("pixelwise-network", "pixelwise-reader")
    return [thread for thread in threading.enumerate() if thread.name.startswith(names)]


@pytest.mark.parametrize("workers", [0, 3])
def test_results_come_in_order_and_are_those_of_predict(toy, photos, workers):
    given = list(pw.stream(iter(photos), model=toy, workers=workers))
    assert [seg.provenance.source for seg in given] == [str(path) for path in photos]
    for seg, path in zip(given, photos, strict=True):
        assert seg.encode() == toy.predict(path).encode()
    assert our_threads() == []


def test_every_kind_of_source(toy, photos):
    pixels = pw.read_image(photos[0])
    kinds = [photos[0], str(photos[0]), photos[0].read_bytes(), pixels, photos[0].as_uri()]
    given = list(pw.stream(kinds, model=toy))
    for seg in given:
        np.testing.assert_array_equal(seg.labels, given[0].labels)


def test_tiles_and_augmentation(toy, photos):
    options = {"tile": 16, "overlap": 0.5, "tta": "mirror"}
    for seg, path in zip(pw.stream(photos[:3], model=toy, **options), photos, strict=False):
        assert seg.encode() == toy.predict(path, **options).encode()
    with pytest.raises(UsageError, match="test-time augmentation"):
        pw.stream(photos, model=toy, tta="flip")


def test_rasters_for_a_model_of_other_bands(load_toy, pointwise, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    network = pointwise(np.eye(4, dtype=np.float32), shape=("B", 4, "H", "W"))
    model = load_toy(network, mean=(0.0,) * 4, std=(1.0,) * 4, dtype="uint16")
    values = np.random.default_rng(0).integers(1, 900, (4, 5, 6), np.uint16)
    shape = {"height": 5, "width": 6, "count": 4, "dtype": "uint16"}
    with rasterio.open(tmp_path / "x.tif", "w", driver="GTiff", **shape) as file:
        file.write(values)
    (seg,) = pw.stream([tmp_path / "x.tif"], model=model)
    np.testing.assert_array_equal(seg.labels, model.predict(tmp_path / "x.tif").labels)


def test_a_model_by_name_or_path(make_model, photos):
    given = list(pw.stream(photos[:3], model=make_model()))
    assert len(given) == 3
    with pytest.raises(UnknownModelError):
        pw.stream(photos, model="streat")


def test_few_are_in_flight_and_an_endless_source_ends_when_closed(toy):
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield np.full((4, 4, 3), number % 256, np.uint8)

    results = pw.stream(endless(), model=toy, workers=2, in_flight=3)
    assert taken == []
    for given in range(1, 8):
        next(results)
        time.sleep(0.005)
        assert len(taken) <= given + 3
    assert our_threads()
    results.close()
    assert our_threads() == []
    assert len(taken) <= 10


def test_a_camera_is_not_asked_before_its_last_picture_is_given(toy):
    asked = []

    def camera():
        for number in range(3):
            asked.append(number)
            yield np.zeros((4, 4, 3), np.uint8)

    for given, _ in enumerate(pw.stream(camera(), model=toy, in_flight=1), start=1):
        assert len(asked) == given


def test_an_array_may_be_reused_by_its_owner(toy):
    frame = np.zeros((4, 4, 3), np.uint8)

    def camera():
        for value in (0, 255, 0, 255):
            frame[..., 0] = value
            yield frame

    reds = [seg.image[0, 0, 0] for seg in pw.stream(camera(), model=toy, workers=2)]
    assert reds == [0, 255, 0, 255]


def test_an_error_is_raised_at_its_place(toy, photos):
    photos[4].write_bytes(b"broken")
    results = pw.stream(photos, model=toy, workers=2)
    assert [next(results).provenance.source for _ in range(4)] == [str(p) for p in photos[:4]]
    with pytest.raises(ImageFileError) as caught:
        next(results)
    assert caught.value.where == str(photos[4])
    assert list(results) == []
    assert our_threads() == []


def test_errors_are_told_and_the_others_go_on(toy, photos):
    photos[4].write_bytes(b"broken")
    photos[7].unlink()
    told = []

    def note(source, error):
        told.append((source, type(error)))

    given = list(pw.stream(photos, model=toy, workers=2, on_error=note))
    assert told == [(photos[4], ImageFileError), (photos[7], ImageFileError)]
    left = [str(path) for number, path in enumerate(photos) if number not in {4, 7}]
    assert [seg.provenance.source for seg in given] == left


def test_trouble_of_the_source_comes_after_what_it_gave(toy, photos):
    def broken():
        yield from photos[:3]
        raise ZeroDivisionError

    results = pw.stream(broken(), model=toy, workers=2)
    assert [next(results).provenance.source for _ in range(3)] == [str(p) for p in photos[:3]]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_reading_overlaps_the_network(toy, photos):
    """The second picture is read while the network has the first, also with one worker."""
    first_read, second_read = threading.Event(), threading.Event()

    class Waiting(type(toy)):
        def predict_pixels(self, pictures, names, **options):
            if first_read.is_set():
                assert second_read.wait(10)
            first_read.set()
            return super().predict_pixels(pictures, names, **options)

    class Watched:
        def __init__(self, number):
            self.number = number

        def __fspath__(self):
            if self.number == 2:
                second_read.set()
            return str(photos[self.number])

    waiting = Waiting.__new__(Waiting)
    waiting.__dict__.update(toy.__dict__)
    assert len(list(pw.stream([Watched(n) for n in range(3)], model=waiting))) == 3


@pytest.mark.parametrize(
    "arguments",
    [{"workers": -1}, {"in_flight": -1}, {"workers": 10**6}],
    ids=str,
)
def test_arguments_that_cannot_be(toy, arguments):
    with pytest.raises(UsageError, match="workers"):
        pw.stream([], model=toy, **arguments)


def test_one_picture_is_no_stream(toy):
    with pytest.raises(UsageError, match="many pictures"):
        pw.stream("photo.jpg", model=toy)
