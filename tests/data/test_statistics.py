from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data import statistics as module
from pixelwise.data.dataset import Dataset, Entry
from pixelwise.data.layouts.mask_files import MaskFiles
from pixelwise.data.statistics import Gathering, gather
from pixelwise.data.targets import InstanceTarget, MultiClassTarget, MultiLabelTarget
from pixelwise.errors import MaskFileError

TABLE = ClassTable(
    name="toy",
    classes=(
        ClassInfo(0, "background", (0, 0, 0)),
        ClassInfo(2, "cat", (200, 30, 30)),
        ClassInfo(7, "dog", (30, 200, 30)),
    ),
    ignore_index=255,
    source="made for a test",
)


class Given:
    """A truth that is there already: targets by the name of the truth."""

    def __init__(self, targets):
        self.targets = targets

    def read(self, _root, entry, *_):
        return self.targets[entry.truth]


def write_picture(path, seed, size=(12, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def make(root, masks, *, truth=None, classes=TABLE):
    """Pictures of noise with these masks, as files unless `truth` has them."""
    entries = []
    for number, mask in enumerate(masks):
        name = f"{number:03}.png"
        write_picture(root / "images" / name, number, mask.shape[-2:])
        if truth is None:
            (root / "masks").mkdir(exist_ok=True)
            Image.fromarray(mask).save(root / "masks" / name)
        entries.append(Entry(f"images/{name}", f"masks/{name}", ("train", "val")[number % 2]))
    return Dataset(root, "toy", classes, tuple(entries), truth or MaskFiles())


def random_masks(number, seed=0, values=(0, 2, 7, 255)):
    random = np.random.default_rng(seed)
    return [
        random.choice(np.array(values, np.uint8), tuple(random.integers(5, 30, 2)))
        for _ in range(number)
    ]


def arrays(statistics):
    return {name: value for name, value in vars(statistics).items() if hasattr(value, "dtype")}


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_counts_are_the_pixels_of_each_class(tmp_path_factory, seed):
    masks = random_masks(4, seed)
    statistics, faults = gather(make(tmp_path_factory.mktemp("set"), masks), workers=1)
    assert faults == ()
    expected = [[int((mask == number).sum()) for number in (0, 2, 7)] for mask in masks]
    np.testing.assert_array_equal(statistics.counts, expected)
    np.testing.assert_array_equal(statistics.ignored, [(mask == 255).sum() for mask in masks])
    np.testing.assert_array_equal(statistics.sizes, [mask.shape for mask in masks])
    np.testing.assert_array_equal(statistics.areas, [(mask != 255).sum() for mask in masks])
    assert statistics.counts.sum(axis=1).tolist() == statistics.areas.tolist()


def test_classes_that_a_mask_lacks_take_no_memory(tmp_path):
    masks = [np.full((4, 4), 2, np.uint8), np.full((4, 4), 255, np.uint8)]
    statistics, _ = gather(make(tmp_path, masks))
    assert statistics.places.tolist() == [1]
    assert statistics.offsets.tolist() == [0, 1, 1]


def test_sums_by_class_are_over_the_chosen_samples(tmp_path):
    masks = random_masks(6)
    statistics, _ = gather(make(tmp_path, masks))
    chosen = np.array([True, False, True, True, False, False])
    pixels, pictures = statistics.per_class(chosen)
    np.testing.assert_array_equal(pixels, statistics.counts[chosen].sum(axis=0))
    np.testing.assert_array_equal(pictures, (statistics.counts[chosen] > 0).sum(axis=0))


def test_any_number_of_workers_gives_the_same(tmp_path):
    dataset = make(tmp_path, random_masks(23))
    (tmp_path / "images/004.png").write_bytes(b"")
    (tmp_path / "masks/011.png").write_bytes(b"no mask")
    alone, faults = gather(dataset, workers=1)
    assert [fault.file for fault in faults] == ["images/004.png", "masks/011.png"]
    for workers in (2, 5):
        others, same_faults = gather(dataset, workers=workers)
        assert same_faults == faults
        for name, value in arrays(alone).items():
            np.testing.assert_array_equal(value, arrays(others)[name], err_msg=name)


def test_what_cannot_be_read_leaves_an_empty_row(tmp_path):
    dataset = make(tmp_path, random_masks(3))
    (tmp_path / "images/000.png").write_bytes(b"")
    (tmp_path / "masks/002.png").unlink()
    statistics, _ = gather(dataset)
    assert statistics.readable.tolist() == [False, True, True]
    assert statistics.labelled.tolist() == [False, True, False]
    assert statistics.sizes[0].tolist() == [0, 0]
    assert statistics.areas.tolist()[::2] == [0, 0]
    assert statistics.hashes[0] == 0
    assert statistics.hashes[1] != 0


def test_a_picture_without_truth_is_no_fault(tmp_path):
    write_picture(tmp_path / "a.png", 1)
    dataset = Dataset(tmp_path, "toy", TABLE, (Entry("a.png", ""),), MaskFiles())
    statistics, faults = gather(dataset)
    assert faults == ()
    assert statistics.readable.all()
    assert not statistics.labelled.any()


def test_progress_tells_each_sample_once(tmp_path):
    told = []
    gather(make(tmp_path, random_masks(11)), progress=told.append)
    assert sum(told) == 11


def test_an_interrupted_pass_keeps_what_it_has_seen(tmp_path):
    dataset = make(tmp_path, random_masks(20))

    def stop_at_seven(number):
        if gathering.seen == 7:
            raise KeyboardInterrupt

    gathering = Gathering(dataset)
    with pytest.raises(KeyboardInterrupt):
        gathering.run(workers=2, progress=stop_at_seven)
    whole, _ = gather(dataset)
    part = gathering.statistics()
    assert len(part) == 7
    np.testing.assert_array_equal(part.counts, whole.counts[:7])


def test_objects_are_counted_once_each(tmp_path):
    instances = np.zeros((6, 8), np.int32)
    instances[0, :3], instances[2, :], instances[5, 7] = 1, 4, 9
    mask = np.where(instances > 0, 2, 0).astype(np.uint8)
    none = np.zeros((6, 8), np.int32)
    huge = np.full((6, 8), 2**31 - 1, np.int32)
    truth = Given(
        {
            "masks/000.png": InstanceTarget(mask, instances),
            "masks/001.png": InstanceTarget(mask, none),
            "masks/002.png": InstanceTarget(mask, huge),
            "masks/003.png": MultiClassTarget(mask),
        }
    )
    statistics, faults = gather(make(tmp_path, [mask] * 4, truth=truth))
    assert faults == ()
    assert statistics.objects.tolist() == [3, 0, 1, -1]


def test_layers_are_counted_each_for_itself(tmp_path):
    layers = np.zeros((3, 4, 5), np.bool_)
    layers[0], layers[1, :2], layers[2, 0] = True, True, True
    ignore = np.zeros((4, 5), np.bool_)
    ignore[:, 0] = True
    truth = Given({"masks/000.png": MultiLabelTarget(layers, ignore)})
    statistics, _ = gather(make(tmp_path, [ignore], truth=truth))
    assert statistics.counts.tolist() == [[16, 8, 4]]
    assert statistics.ignored.tolist() == [4]


def test_equal_truths_have_equal_digests_and_others_not(tmp_path):
    mask = np.zeros((4, 6), np.uint8)
    other = mask.copy()
    other[0, 0] = 2
    statistics, _ = gather(make(tmp_path, [mask, other, mask, mask.reshape(6, 4)]))
    digests = [row.tobytes() for row in statistics.truth_digests]
    assert digests[0] == digests[2]
    assert len(set(digests)) == 3


def test_copies_of_a_file_share_their_digest(tmp_path):
    dataset = make(tmp_path, random_masks(1) * 3)
    (tmp_path / "images/002.png").write_bytes((tmp_path / "images/000.png").read_bytes())
    statistics, _ = gather(dataset)
    assert (statistics.digests[0] == statistics.digests[2]).all()
    assert (statistics.digests[0] != statistics.digests[1]).any()
    assert statistics.hashes[0] == statistics.hashes[2]


def test_forms_are_those_of_the_files(tmp_path):
    dataset = make(tmp_path, random_masks(3))
    Image.new("L", (9, 8), 7).save(tmp_path / "images/001.png")
    Image.new("L", (9, 8), 0).save(tmp_path / "masks/001.png")
    statistics, _ = gather(dataset)
    stored = [statistics.forms[place].stored for place in statistics.form_of]
    assert stored == ["PNG, RGB, 8 bits", "PNG, grey, 8 bits", "PNG, RGB, 8 bits"]


def turned_picture(path, orientation, size):
    """A JPEG of stored size `(H, W)` that asks to be turned."""
    exif = Image.Exif()
    exif[274] = orientation
    Image.new("RGB", size[::-1], (90, 120, 150)).save(path, "JPEG", exif=exif)


def test_a_mask_of_the_unturned_picture_is_explained(tmp_path):
    dataset = make(tmp_path, [np.zeros((8, 14), np.uint8)] * 2)
    turned_picture(tmp_path / "images/000.png", 6, (8, 14))
    turned_picture(tmp_path / "images/001.png", 6, (8, 15))
    statistics, faults = gather(dataset)
    assert statistics.orientations.tolist() == [6, 6]
    assert statistics.sizes.tolist() == [[14, 8], [15, 8]]
    first, second = faults
    assert first.file == "masks/000.png"
    assert "the picture carries an EXIF orientation (6" in first.got
    assert "8×14 (width × height)" in first.got
    assert second.what == "mask and picture differ in size"


def test_a_mask_of_the_upright_picture_is_right(tmp_path):
    dataset = make(tmp_path, [np.zeros((14, 8), np.uint8)])
    turned_picture(tmp_path / "images/000.png", 6, (8, 14))
    statistics, faults = gather(dataset)
    assert faults == ()
    assert statistics.labelled.all()


def test_several_ignored_colours_are_counted_apart(tmp_path):
    table = ClassTable(
        "toy",
        (ClassInfo(0, "a", (10, 0, 0)), ClassInfo(1, "b", (20, 0, 0))),
        2,
        "made for a test",
        ignore_colours=((155, 155, 155), (0, 0, 0), (1, 1, 1)),
    )
    mask = np.full((6, 10, 3), (10, 0, 0), np.uint8)
    mask[0, :3], mask[5, 5] = 155, 0
    write_picture(tmp_path / "a.png", 1, (6, 10))
    write_picture(tmp_path / "b.png", 2, (6, 10))
    Image.fromarray(mask).save(tmp_path / "b_mask.png")
    entries = (Entry("a.png", ""), Entry("b.png", "b_mask.png"))
    dataset = Dataset(tmp_path, "toy", table, entries, MaskFiles("colours"))
    statistics, faults = gather(dataset)
    assert faults == ()
    assert statistics.ignored_colours == table.ignore_colours
    assert statistics.ignored_by_colour.tolist() == [[3, 1, 1], [1, 1, 1], [0, 0, 0]]
    assert statistics.ignored.tolist() == [0, 4]
    assert statistics.counts.tolist() == [[0, 0], [56, 0]]


def test_counting_colours_apart_lets_no_id_pass(tmp_path):
    table = ClassTable(
        "toy", (ClassInfo(0, "a", (10, 0, 0)),), 1, "test", ignore_colours=((1, 1, 1), (2, 2, 2))
    )
    dataset = make(tmp_path, [np.full((4, 4), 2, np.uint8)], classes=table)
    _, faults = gather(dataset)
    assert [fault.what for fault in faults] == ["the mask holds values that are no class ids"]


def test_a_row_of_an_annotation_file_is_told_by_its_picture(tmp_path):
    class Broken:
        def read(self, _root, entry, *_):
            raise MaskFileError("the polygon has two points", got=f"row {entry.row}")

    write_picture(tmp_path / "a.png", 1)
    entries = (Entry("a.png", "all.json", row=3), Entry("a.png", "a.txt"))
    _, faults = gather(Dataset(tmp_path, "toy", TABLE, entries, Broken()))
    assert [fault.file for fault in faults] == ["a.png", "a.txt"]
    assert faults[0].got == "row 3"


def test_too_little_memory_is_a_fault_of_the_file(tmp_path):
    class Greedy:
        def read(self, *_):
            raise MemoryError("8 GiB")

    write_picture(tmp_path / "a.png", 1)
    dataset = Dataset(tmp_path, "toy", TABLE, (Entry("a.png", "a.txt"),), Greedy())
    (fault,) = gather(dataset)[1]
    assert (fault.file, fault.got) == ("a.txt", "8 GiB")


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_a_raster_of_many_bands_is_read_in_its_type(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    bands = np.random.default_rng(1).integers(0, 4000, (13, 10, 12)).astype(np.int16)
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=12, height=10, count=13, dtype="int16"
    ) as out:
        out.write(bands)
    dataset = Dataset(tmp_path, "toy", TABLE, (Entry("a.tif", ""),), MaskFiles())
    statistics, faults = gather(dataset)
    assert faults == ()
    assert [(form.bands, form.dtype) for form in statistics.forms] == [(13, "int16")]


def test_a_sample_takes_less_than_200_bytes(tmp_path):
    dataset = make(tmp_path, random_masks(3))
    statistics, _ = gather(dataset)
    assert sum(value.nbytes for value in arrays(statistics).values()) < 3 * 200


def test_counts_beyond_32_bits_are_kept(tmp_path, monkeypatch):
    dataset = make(tmp_path, random_masks(3))
    small, _ = gather(dataset)
    monkeypatch.setattr(module, "_LARGEST_SMALL", int(small.pixels[2]))
    large, _ = gather(dataset)
    assert (small.pixels.dtype, large.pixels.dtype) == (np.uint32, np.int64)
    assert large.pixels.tolist() == small.pixels.tolist()
