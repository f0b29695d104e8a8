from __future__ import annotations

import csv
import json
import pickle

import numpy as np
import pytest
from PIL import Image

import pixelwise as pw
from pixelwise.formats.rle import column_counts, pack_counts

TABLE = "id,name,use\n0,sky,class\n1,sea,class\n255,void,ignore\n"


@pytest.fixture
def maps(tmp_path, monkeypatch):
    """Folders `true` and `found` of three label maps, one of them all right."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, share in (("a", 0.0), ("b", 0.2), ("c", 0.4)):
        true = random.integers(0, 2, (8, 9)).astype(np.uint8)
        found = np.where(random.random(true.shape) < share, 1 - true, true)
        true[0, 0] = 255
        for folder, ids in (("true", true), ("found", found)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(ids).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "true" / "classes.csv").write_text(TABLE)
    return tmp_path


FOLDERS = ("evaluate", "--predictions", "found", "--truth", "true")


def test_label_maps_against_label_maps(maps, command):
    code, out, error = command(*FOLDERS)
    assert (code, error) == (0, "")
    lines = out.splitlines()
    head = next(place for place, line in enumerate(lines) if line.startswith("  class  "))
    assert lines[head].split() == ["class", "IoU", "Dice", "precision", "recall"]
    assert [line.split()[0] for line in lines[head + 1 : head + 3]] == ["sky", "sea"]
    assert any(line.split()[0] == "mIoU" for line in lines if line)
    assert "split: all label maps of the folder: 3 pictures" in lines
    assert "SHA-256" in out


def test_json_csv_and_markdown_tell_the_same(maps, command):
    code, out, _ = command(*FOLDERS, "--json", "-o", "scores.json")
    told = json.loads(out)
    assert code == 0
    assert json.loads((maps / "scores.json").read_text()) == told
    assert [row["name"] for row in told["classes"]] == ["sky", "sea"]
    assert told["pictures"][0] == {"name": "a", "mean_iou": 1.0}
    assert sum(map(sum, told["confusion"]["pixels"])) == 3 * 71
    assert told["protocol"]["pictures"] == 3
    command(*FOLDERS, "-o", "scores.csv")
    rows = list(csv.DictReader((maps / "scores.csv").open()))
    values = {(row["class"], row["figure"]): row["value"] for row in rows}
    assert float(values["", "mean_iou"]) == told["figures"]["mean_iou"]["value"]
    assert float(values["sea", "iou"]) == told["classes"][1]["iou"]["value"]
    command(*FOLDERS, "-o", "scores.md")
    text = (maps / "scores.md").read_text()
    assert f"| mIoU | {100 * told['figures']['mean_iou']['value']:.1f} % |" in text
    assert "- picture list: SHA-256" in text


def test_distances_in_the_unit_of_the_pixels(maps, command):
    code, out, _ = command(*FOLDERS, "--distances")
    assert code == 0
    assert "HD95 (px)" in out
    assert "in no mean; in pixels" in " ".join(out.split())
    plain = json.loads(command(*FOLDERS, "--distances", "--json")[1])
    assert plain["units"]["average_distance"] == "px"
    sized = (*FOLDERS, "--distances", "--spacing", "2mm")
    told = json.loads(command(*sized, "--json", "-o", "scores.csv")[1])
    assert told["units"]["mean_hausdorff_95"] == "mm"
    for one, other in zip(plain["classes"], told["classes"], strict=True):
        assert other["hausdorff_95"]["value"] == pytest.approx(2 * one["hausdorff_95"]["value"])
    rows = {
        (row["class"], row["figure"]): row for row in csv.DictReader((maps / "scores.csv").open())
    }
    assert rows["sea", "hausdorff_95"]["unit"] == "mm"
    assert rows["sea", "iou"]["unit"] == ""
    out = command(*sized)[1]
    assert "ASSD (mm)" in out
    assert "a pixel is 2 × 2 mm (height × width), as given" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--spacing", "2mm"), "add --distances"),
        (("--distances", "--spacing", "2"), "write 0.5mm"),
        (("--distances", "--spacing", "0mm"), "no size of a pixel"),
    ],
)
def test_a_spacing_that_says_nothing(maps, command, arguments, message):
    code, out, error = command(*FOLDERS, *arguments)
    assert (code, out) == (2, "")
    assert message in error


def painted(path, colours):
    """The label map in these colours, in its place."""
    ids = np.asarray(Image.open(path))
    table = np.zeros((256, 3), np.uint8)
    for number, colour in colours.items():
        table[number] = colour
    Image.fromarray(table[ids]).save(path)


COLOURS = {0: (70, 130, 180), 1: (0, 60, 100), 255: (0, 0, 0)}


def test_colours_count_as_the_ids_that_the_table_gives_them(maps, command):
    expected = json.loads(command(*FOLDERS, "--json")[1])
    for path in sorted(maps.glob("found/*.png")):
        painted(path, COLOURS)
    code, _, error = command(*FOLDERS)
    assert code == 2
    assert "a: the mask holds colours outside the table: 2 colours: (" in error
    (maps / "true" / "classes.csv").unlink()
    code, _, error = command(*FOLDERS)
    assert code == 2
    assert "2 colours: (" in error
    assert "--classes camvid" in error
    rows = ["0,sky,70,130,180,class", "1,sea,0,60,100,class", "255,void,0,0,0,ignore"]
    (maps / "table.csv").write_text("\n".join(["id,name,r,g,b,use", *rows]))
    code, out, error = command(*FOLDERS, "--classes", "table.csv", "--json")
    told = json.loads(out)
    assert (code, error) == (0, "")
    assert told["figures"] == expected["figures"]
    assert "colours of the class table" in told["protocol"]["predictions"]
    for path in sorted(maps.glob("true/*.png")):
        painted(path, COLOURS)
    told = json.loads(command(*FOLDERS, "--classes", "table.csv", "--json")[1])
    assert told["figures"] == expected["figures"]
    assert "colours of the class table" in told["protocol"]["data"]
    ignoring = (*FOLDERS, "--classes", "table.csv", "--ignore", "0", "--json")
    told = json.loads(command(*ignoring)[1])
    assert [row["name"] for row in told["classes"]] == ["sea"]


def test_colours_of_a_built_in_table(maps, command):
    table = pw.ClassTable.builtin("camvid")
    for path in sorted(maps.glob("*/*.png")):
        ids = np.minimum(np.asarray(Image.open(path)), 1)
        Image.fromarray(table.palette[np.array(table.ids)[ids]]).save(path)
    code, out, _ = command(*FOLDERS, "--classes", "camvid", "--json")
    told = json.loads(out)
    assert code == 0
    found = [row["name"] for row in told["classes"] if row["iou"]["value"] is not None]
    assert found == list(table.names[:2])


def test_probabilities_are_calibrated_too(maps, command):
    for number, path in enumerate(sorted(maps.glob("found/*.png"))):
        ids = np.asarray(Image.open(path))
        sure = np.random.default_rng(number).uniform(0.5, 1, ids.shape).astype(np.float32)
        np.save(
            path.with_suffix(".npy"), np.where(ids == np.arange(2)[:, None, None], sure, 1 - sure)
        )
    code, out, error = command(*FOLDERS, "--json")
    told = json.loads(out)
    assert (code, error) == (0, "")
    assert told["protocol"]["predictions"] == "label maps and probabilities in found"
    assert {"ece", "classwise_ece", "brier", "auc", "best_dice"} <= told["figures"].keys()
    for path in sorted(maps.glob("found/*.png")):
        path.unlink()
    alone = json.loads(command(*FOLDERS, "--json")[1])
    assert alone["figures"] == told["figures"]
    np.save(maps / "found" / "b.npy", np.full((2, 8, 9), 0.4))
    (maps / "found" / "c.npy").write_bytes(pickle.dumps([1]))
    code, out, error = command(*FOLDERS, "--json")
    assert code == 1
    assert [fault["picture"] for fault in json.loads(out)["faults"]] == ["b", "c"]
    assert "sums over the classes are not 1 at 72 pixels" in error
    assert "pickles are never opened" in error


def test_nothing_is_overwritten_unasked(maps, command):
    (maps / "scores.md").write_text("mine")
    assert command(*FOLDERS, "-o", "scores.md")[0] == 2
    assert (maps / "scores.md").read_text() == "mine"
    assert command(*FOLDERS, "-o", "scores.md", "--overwrite")[0] == 0
    assert (maps / "scores.md").read_text() != "mine"
    code, _, error = command(*FOLDERS, "-o", "scores.txt")
    assert code == 2
    assert ".csv, .json, .md" in error


def test_a_picture_that_cannot_be_judged_is_told_and_the_others_are_scored(maps, command):
    Image.new("L", (4, 4)).save(maps / "found" / "b.png")
    Image.new("L", (9, 8), 7).save(maps / "found" / "c.png")
    code, out, error = command(*FOLDERS, "--json")
    told = json.loads(out)
    assert code == 1
    assert [fault["picture"] for fault in told["faults"]] == ["b", "c"]
    assert told["protocol"]["left_out"] == 2
    assert [each["name"] for each in told["pictures"]] == ["a"]
    assert "differ in size" in error
    assert "no class ids" in error


def test_what_does_not_pair_is_listed(maps, command):
    (maps / "found" / "a.png").unlink()
    (maps / "true" / "c.png").unlink()
    code, out, error = command(*FOLDERS)
    assert (code, out) == (2, "")
    assert "truth without prediction (1): a" in error
    assert "prediction without truth (1): c" in error


def test_tables_that_do_not_match_are_shown_and_a_map_helps(maps, command):
    (maps / "found" / "classes.csv").write_text("id,name\n0,air\n1,sea\n")
    code, _, error = command(*FOLDERS)
    assert code == 2
    assert "'air' of the prediction is no class of the truth" in error
    assert "'sky' of the truth is no class of the prediction" in error
    code, out, _ = command(*FOLDERS, "--map", "air=sky")
    assert code == 0
    assert "map: air counts as sky" in out


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("street",),
        ("--predictions", "found"),
        ("street", "true", "--predictions", "found"),
    ],
)
def test_what_is_judged_must_be_clear(maps, command, arguments):
    code, out, error = command("evaluate", *arguments)
    assert (code, out) == (2, "")
    assert "give MODEL DATA" in error


def test_a_model_judged_by_a_data_set(
    tmp_path, command, make_model, make_table, make_photos, expected_labels
):
    root = make_photos(tmp_path / "set" / "images", "a.png", "b.png").parent
    (root / "masks").mkdir()
    for name in ("a.png", "b.png"):
        ids = expected_labels(np.asarray(Image.open(root / "images" / name))).astype(np.uint8)
        Image.fromarray(ids).save(root / "masks" / name)
    table = make_table(0, 1, 2, 3)
    lines = [f"{info.id},{info.name}" for info in table]
    (root / "classes.csv").write_text("\n".join(["id,name", *lines]) + "\n")
    model = make_model(table=table)
    code, out, error = command("evaluate", model, root, "--json", "--engine", "onnxruntime")
    told = json.loads(out)
    assert (code, error) == (0, "")
    assert told["figures"]["mean_iou"]["value"] == 1
    assert told["protocol"]["predictions"] == "model toy"
    assert command("evaluate", model, root, "--split", "val")[0] == 2


@pytest.fixture
def results(write_coco, tmp_path, monkeypatch):
    """`coco`, a data set of two objects in one picture and one in another; `found.json`."""
    monkeypatch.chdir(tmp_path)
    masks = np.zeros((3, 20, 24), np.bool_)
    masks[0, 2:10, 2:10] = masks[1, 2:10, 6:14] = masks[2, 9:19, 9:19] = True
    write_coco([[(masks[0], 1, False), (masks[1], 1, False)], [(masks[2], 2, False)]])
    found = [
        {
            "image_id": number,
            "category_id": category,
            "segmentation": {"size": [20, 24], "counts": pack_counts(column_counts(mask))},
            "score": 0.9,
        }
        for mask, number, category in zip(masks, (3, 3, 10), (1, 1, 2), strict=True)
    ]
    (tmp_path / "found.json").write_text(json.dumps(found))
    return tmp_path


@pytest.mark.parametrize(
    "arguments", [("found.json", "coco"), ("--predictions", "found.json", "--truth", "coco")]
)
def test_results_against_a_data_set_with_objects(results, command, arguments):
    code, out, error = command("evaluate", *arguments)
    assert (code, error) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert ["AP", "mask", "100.0", "%", "100.0", "…", "100.0"] in lines
    assert ["class", "AP", "mask", "AP", "box"] in lines
    assert not any(line[:1] == ["PQ"] for line in lines)
    assert "PQ is left out" in " ".join(out.split())


def test_faulty_results_are_told(results, command):
    (results / "found.json").write_text('[{"image_id": 3, "category_id": 8}]')
    code, out, error = command("evaluate", "found.json", "coco")
    assert (code, out) == (2, "")
    assert "category_id 8" in error
    assert command("evaluate", "--predictions", "found.json", "--truth", "nowhere")[0] == 2
