from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.data.cache import open_cache
from pixelwise.data.dataset import Dataset, Entry
from pixelwise.data.mapping import mapped
from pixelwise.data.pixel_store import PixelStore, locked
from pixelwise.data.targets import InstanceTarget, MultiClassTarget, layers_of
from pixelwise.errors import ImageFileError, MaskFileError, UsageError
from pixelwise.formats.masks import read_mask

PLENTY = 1 << 30


@dataclass(frozen=True)
class Masks:
    """Reads mask files, and counts how many."""

    kind: str = "multi_class"
    read_so_far: list[str] = field(default_factory=list, repr=False)

    def read(self, root, entry, classes, size):
        del size
        self.read_so_far.append(entry.image)
        mask = read_mask(root / entry.truth)
        if self.kind == "multi_label":
            return layers_of(mask, classes)
        if self.kind == "instance":
            return InstanceTarget(mask, mask.astype(np.int32) * 1000)
        return MultiClassTarget(mask)


def save_sample(root, number, seed):
    generator = np.random.default_rng(seed)
    size = (9 + number, 14)
    Image.fromarray(generator.integers(0, 256, (*size, 3), np.uint8)).save(root / f"{number}.png")
    Image.fromarray(generator.integers(0, 3, size, np.uint8)).save(root / f"{number}_mask.png")


@pytest.fixture
def dataset(tmp_path, make_table):
    root = tmp_path / "set"
    root.mkdir()
    for number in range(8):
        save_sample(root, number, number)
    entries = tuple(
        Entry(f"{number}.png", f"{number}_mask.png", ("train", "val")[number % 2])
        for number in range(8)
    )
    return Dataset(root, "toy", make_table(0, 1, 2), entries, Masks())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def pixels(sample):
    return [sample.image, *vars(sample.target).values()]


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        for array, expected in zip(pixels(one), pixels(other), strict=True):
            np.testing.assert_array_equal(array, expected)
            assert array.dtype == expected.dtype


def decoded_by(dataset, folder, **options):
    """The cached data set, and which pictures were decoded to open it."""
    truth = replace(dataset.truth, read_so_far=[])
    cached = open_cache(replace(dataset, truth=truth), folder, **{"limit": PLENTY} | options)
    decoded = sorted(truth.read_so_far)
    truth.read_so_far.clear()
    return cached, decoded


@pytest.mark.parametrize("kind", ["multi_class", "multi_label", "instance"])
def test_samples_are_those_of_the_files_and_come_from_memory(dataset, folder, kind):
    dataset = replace(dataset, truth=Masks(kind))
    cached, decoded = decoded_by(dataset, folder)
    assert len(decoded) == 8
    assert_same(cached, dataset)
    assert cached.truth.read_so_far == []
    assert_same(cached.split("val"), dataset.split("val"))


def test_nobody_can_write_into_the_cache(dataset, folder):
    sample = open_cache(dataset, folder, limit=PLENTY)[0]
    for array in pixels(sample):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_the_second_opening_decodes_nothing(dataset, folder):
    decoded_by(dataset, folder)
    # A reader that has nothing to write needs no lock.
    (folder / "pixelwise-cache.lock").unlink()
    files = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    cached, decoded = decoded_by(dataset, folder)
    assert decoded == []
    assert files == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert "8 of 8" in cached.notes[-1]


@pytest.mark.parametrize("changed", ["3.png", "3_mask.png"])
def test_only_a_changed_sample_is_decoded_anew_and_its_time_stamp_means_nothing(
    dataset, folder, changed, tmp_path
):
    decoded_by(dataset, folder)
    stamp = (dataset.root / changed).stat()
    save_sample(tmp_path, 3, 77)
    (tmp_path / changed).replace(dataset.root / changed)
    os.utime(dataset.root / changed, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    cached, decoded = decoded_by(dataset, folder)
    assert decoded == ["3.png"]
    assert_same(cached, dataset)


def test_another_class_table_or_way_of_reading_decodes_all_anew(dataset, folder, make_table):
    decoded_by(dataset, folder)
    other = replace(dataset, classes=make_table(0, 1, 2, 3))
    assert len(decoded_by(other, folder)[1]) == 8
    cached, decoded = decoded_by(replace(other, truth=Masks("instance")), folder)
    assert len(decoded) == 8
    assert isinstance(cached[0].target, InstanceTarget)


@dataclass(frozen=True)
class Regions:
    """Files of the region that counts."""

    files: dict[str, str]


@dataclass(frozen=True)
class Layered:
    """A truth of more than one file, read by another reader, and of what is kept by row."""

    masks: Masks
    regions: Regions
    pictures: tuple[np.ndarray, ...]

    def read(self, root, entry, classes, size):
        mask = self.masks.read(root, entry, classes, size).mask
        if entry.image in self.regions.files:
            mask[read_mask(root / self.regions.files[entry.image]) == 0] = 0
        mask[0, 0] = self.pictures[entry.row][1000]
        return MultiClassTarget(mask)


def test_every_file_and_number_that_a_truth_is_made_of_counts(dataset, folder):
    entries = tuple(replace(entry, row=row) for row, entry in enumerate(dataset.entries))

    def decoded(regions, numbers, kind="multi_class"):
        # Printed, an array this long is the same whatever stands in its middle.
        pictures = tuple(np.zeros(2000, np.uint8) for _ in range(8))
        for picture, number in zip(pictures, numbers, strict=True):
            picture[1000] = number
        masks = Masks(kind)
        layered = replace(
            dataset, truth=Layered(masks, Regions(regions), pictures), entries=entries
        )
        cached = open_cache(layered, folder, limit=PLENTY)
        found = sorted(masks.read_so_far)
        assert_same(cached, layered)
        return found

    for number in range(8):
        save_sample(dataset.root, number, number)
        Image.new("L", (14, 9 + number), 1).save(dataset.root / f"{number}_region.png")
    regions = {f"{number}.png": f"{number}_region.png" for number in range(3)}
    assert len(decoded(regions, [0] * 8)) == 8
    assert decoded(regions, [0] * 8) == []
    Image.new("L", (14, 10), 0).save(dataset.root / "1_region.png")
    assert decoded(regions, [0] * 8) == ["1.png"]
    assert decoded({**regions, "6.png": "6_region.png"}, [0] * 8) == ["6.png"]
    assert decoded({**regions, "6.png": "6_region.png"}, [0] * 7 + [2]) == ["7.png"]
    assert len(decoded(regions, [0] * 8, "instance")) == 8


def test_what_does_not_fit_is_read_from_its_files_and_said(dataset, folder):
    cached, _ = decoded_by(dataset, folder, limit=3000, workers=1)
    assert 0 < len(cached.cached) < 8
    assert sum(path.stat().st_size for path in folder.glob("*.bin")) <= 3000
    assert f"{len(cached.cached)} of 8" in cached.notes[-1]
    assert "limit" in cached.notes[-1]
    assert_same(cached, dataset)
    assert len(decoded_by(dataset, folder)[1]) == 8 - len(cached.cached)


def test_a_lower_limit_makes_the_cache_smaller(dataset, folder):
    decoded_by(dataset, folder)
    cached, _ = decoded_by(dataset, folder, limit=3000)
    assert 0 < len(cached.cached) < 8
    assert sum(path.stat().st_size for path in folder.glob("*.bin")) <= 3000
    assert_same(cached, dataset)


def test_what_was_replaced_does_not_pile_up(dataset, folder):
    decoded_by(dataset, folder)
    first = sum(path.stat().st_size for path in folder.glob("*.bin"))
    for number in (3, 2, 1, 0, 4, 5, 6):
        save_sample(dataset.root, number, 30 + number)
        cached, decoded = decoded_by(dataset, folder)
        assert decoded == [f"{number}.png"]
        assert sum(path.stat().st_size for path in folder.glob("*.bin")) < 1.4 * first
    assert_same(cached, dataset)


def test_parts_of_a_data_set_share_a_folder(dataset, folder):
    train, val = dataset.split("train"), dataset.split("val")
    assert len(decoded_by(train, folder)[1]) == 4
    assert len(decoded_by(val, folder)[1]) == 4
    assert decoded_by(train, folder)[1] == []
    cached, decoded = decoded_by(dataset, folder)
    assert decoded == []
    assert_same(cached, dataset)


def test_samples_that_were_removed_leave_the_cache(dataset, folder):
    decoded_by(dataset, folder)
    for number in range(1, 8):
        (dataset.root / f"{number}.png").unlink()
        (dataset.root / f"{number}_mask.png").unlink()
    save_sample(dataset.root, 0, 99)
    decoded_by(dataset.subset([0]), folder)
    assert sum(path.stat().st_size for path in folder.glob("*.bin")) < 1000


def damaged_at(place):
    def damage(folder):
        (path,) = folder.glob("*.bin")
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)

    return damage


def cut(pattern, keep):
    def damage(folder):
        (path,) = folder.glob(pattern)
        path.write_bytes(path.read_bytes()[:keep])

    return damage


def swapped_digit(folder):
    path = folder / "pixelwise-cache.json"
    path.write_text(path.read_text().replace('"offset":0', '"offset":1', 1))


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        (damaged_at(5), 1),
        (damaged_at(-200), 1),
        (cut("*.bin", 1000), 8),
        (cut("*.json", 300), 8),
        (cut("*.json", 0), 8),
        (swapped_digit, 8),
        (lambda folder: next(folder.glob("*.bin")).unlink(), 8),
    ],
)
def test_damage_is_found_never_read_and_mended(dataset, folder, damage, lost):
    decoded_by(dataset, folder)
    damage(folder)
    cached, decoded = decoded_by(dataset, folder)
    assert_same(cached, dataset)
    again, later = decoded_by(dataset, folder)
    assert len(decoded) + len(later) == lost
    assert_same(again, dataset)
    assert decoded_by(dataset, folder)[1] == []


def test_an_index_that_points_elsewhere_is_not_followed(dataset, folder):
    from pixelwise.data.pixel_store import _digest

    decoded_by(dataset, folder)
    path = folder / "pixelwise-cache.json"
    _, text, _ = path.read_text().split("\n")
    text = text.replace('"offset":0', '"offset":99999999', 1)
    path.write_text(f"{_digest(text)}\n{text}\n")
    cached, decoded = decoded_by(dataset, folder)
    assert len(decoded) == 8
    assert_same(cached, dataset)


def test_a_sample_that_cannot_be_read_is_told_when_it_is_read(dataset, folder):
    (dataset.root / "2.png").write_bytes(b"no picture")
    (dataset.root / "4_mask.png").unlink()
    cached, _ = decoded_by(dataset, folder)
    assert "6 of 8" in cached.notes[-1]
    with pytest.raises(ImageFileError):
        cached[2]
    with pytest.raises(MaskFileError):
        cached[4]
    save_sample(dataset.root, 2, 2)
    assert decoded_by(dataset, folder)[1] == ["2.png"]


def test_a_reader_of_the_old_cache_goes_on_while_it_is_replaced(dataset, folder, make_table):
    cached, _ = decoded_by(dataset, folder)
    views = [pixels(sample) for sample in cached]
    decoded_by(replace(dataset, classes=make_table(0, 1, 2, 3)), folder)
    for sample, expected in zip(views, dataset, strict=True):
        for array, other in zip(sample, pixels(expected), strict=True):
            np.testing.assert_array_equal(array, other)


def test_progress_counts_every_sample(dataset, folder):
    steps = []
    decoded_by(dataset.split("val"), folder)
    decoded_by(dataset, folder, progress=steps.append)
    assert sum(steps) == 8


def test_a_limit_of_nothing_is_refused(dataset, folder):
    with pytest.raises(UsageError, match="limit"):
        open_cache(dataset, folder, limit=0)
    assert not folder.exists()


OPEN = """
import sys, time
from pathlib import Path
import numpy as np
import pixelwise.data
from pixelwise.data.cache import open_cache
from pixelwise.data.layouts.mask_files import MaskFiles

root, folder, pause = sys.argv[1:4]
read = MaskFiles.read
decoded = []

def slowly(self, root, entry, *others):
    decoded.append(entry.image)
    print("decoding", flush=True)
    time.sleep(float(pause))
    return read(self, root, entry, *others)

MaskFiles.read = slowly
dataset = pixelwise.data.open(root, images="{}.png", masks="{}_mask.png")
cached = open_cache(dataset, folder, limit=1 << 30, workers=1)
for one, other in zip(cached, dataset):
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.target.mask, other.target.mask)
print("stored", len(cached.cached), "decoded", len(decoded) - len(dataset))
"""


def started(dataset, folder, environment, pause):
    return subprocess.Popen(
        [sys.executable, "-c", OPEN, str(dataset.root), str(folder), str(pause)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_a_build_that_is_killed_leaves_nothing_behind(dataset, folder, command_environment):
    process = started(dataset, folder, command_environment, 0.2)
    for _ in range(4):
        assert process.stdout.readline() == "decoding\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(folder.glob(".pixelwise-*.tmp"))
    output, _ = started(dataset, folder, command_environment, 0).communicate(timeout=60)
    assert output.splitlines()[-1] == "stored 8 decoded 8"
    assert sorted(path.suffix for path in folder.iterdir()) == [".bin", ".json", ".lock"]


def test_two_processes_build_once(dataset, folder, command_environment):
    both = [started(dataset, folder, command_environment, 0.05) for _ in range(2)]
    ends = sorted(one.communicate(timeout=60)[0].splitlines()[-1] for one in both)
    assert ends == ["stored 8 decoded 0", "stored 8 decoded 8"]


FULL = """
import resource, signal, sys
import pixelwise.data
from pixelwise.data.cache import open_cache
from pixelwise.errors import OutputError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
dataset = pixelwise.data.open(sys.argv[1], images="{}.png", masks="{}_mask.png")
try:
    open_cache(dataset, sys.argv[2], limit=1 << 30)
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no file size limits")
def test_a_full_disk_is_told_and_the_old_cache_stays(
    dataset, folder, run_python, command_environment
):
    output, _ = started(dataset, folder, command_environment, 0).communicate(timeout=60)
    assert output.splitlines()[-1] == "stored 8 decoded 8"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for number in range(8):
        save_sample(dataset.root, number, 50 + number)
    assert "cannot be written" in run_python(FULL, dataset.root, folder).stdout
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_cache_under_another_class_table_gives_the_ids_of_that(dataset, folder, make_table):
    table = make_table(3, 4, 5)
    names = dict(zip(dataset.classes.names, reversed(table.names), strict=True))
    cached = open_cache(dataset, folder, limit=PLENTY)
    assert_same(mapped(cached, table, names), mapped(dataset, table, names))


def test_the_lock_of_another_process_is_never_replaced(folder, monkeypatch):
    with locked(folder):
        lock = next(folder.glob("*.lock"))
        first = lock.stat().st_ino
    # As it is to a process that looked before the other one made it.
    answers = iter([False])
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: next(answers, None) is None and exists(path))
    with locked(folder):
        assert lock.stat().st_ino == first


def test_a_file_that_another_process_removed_is_decoded_the_next_time(dataset, folder):
    open_cache(dataset, folder, limit=PLENTY)
    store = PixelStore.open(folder)
    for file in folder.glob("*.bin"):
        file.unlink()
    assert store.replace(dict(list(store.records.items())[:3])).records == {}
    assert_same(open_cache(dataset, folder, limit=PLENTY), dataset)


@pytest.mark.parametrize("limit", ["1GB", 0, -1, 1.5, None])
def test_a_limit_that_is_no_number_of_bytes_is_refused(tmp_path, limit):
    with pytest.raises(UsageError, match="whole number of bytes") as caught:
        open_cache(None, tmp_path / "cache", limit=limit)
    assert caught.value.got == f"limit={limit!r}"
    assert not (tmp_path / "cache").exists()
