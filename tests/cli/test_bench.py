from __future__ import annotations

import json

import pytest

from pixelwise.inference.engines import installed_engines

QUICK = ("--seconds", "0", "--threads", "1")


def test_every_engine_and_batch_has_a_row(command, make_model):
    path = make_model()
    code, out, error = command("bench", path, *QUICK, "--size", "20x30", "--json")
    assert (code, error) == (0, "")
    told = json.loads(out)
    assert told["machine"]
    assert told["inputs"] == [{"model": "toy.onnx", "picture": [20, 30], "network": [20, 30]}]
    assert [(row["engine"], row["threads"], row["batch"]) for row in told["rows"]] == [
        (engine, 1, batch) for engine in installed_engines() for batch in (1, 4)
    ]
    for row in told["rows"]:
        assert set(row) == {
            *("model", "engine", "runs_in", "threads", "batch"),
            *("median", "p95", "throughput", "runs"),
        }
        assert row["runs_in"] == f"{row['engine']} cpu float32"
        assert row["runs"] >= 3
        assert 0 < row["median"] <= row["p95"]
    best = told["best"]
    assert best["latency"]["median"] == min(r["median"] for r in told["rows"] if r["batch"] == 1)
    assert best["throughput"]["throughput"] == max(row["throughput"] for row in told["rows"])


def test_the_table_names_what_is_best(command, make_model):
    paths = make_model("a.onnx"), make_model("b.onnx")
    chosen = ("--engine", "onnxruntime", "--batch", "2", "--size", "16x16")
    code, out, error = command("bench", *paths, *QUICK, *chosen)
    assert (code, error) == (0, "")
    assert "a.onnx: picture 16×16, network 16×16 (H×W)" in out
    assert out.count("onnxruntime cpu float32") >= 4
    assert "lowest latency: " in out
    assert "highest throughput: " in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nothing",), "no model of this name ships"),
        (("toy.onnx", "--size", "20"), "a size is height x width"),
        (("toy.onnx", "--size", "0x20"), "a size is height x width"),
        (("toy.onnx", "--engine", "tensorrt"), "no such engine"),
    ],
)
def test_what_cannot_be_measured_ends_with_2(
    command, make_model, tmp_path, monkeypatch, arguments, told
):
    make_model()
    monkeypatch.chdir(tmp_path)
    code, out, error = command("bench", *arguments, *QUICK)
    assert (code, out) == (2, "")
    assert told in error
