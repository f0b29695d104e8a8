from __future__ import annotations

import pickle

import pytest
import torch

from pixelwise.errors import WeightsError
from pixelwise.models.weights import read_tensors, rename


class Trap:
    """Runs code of its own where a pickle is read without care."""

    def __reduce__(self):
        return print, ("the trap has closed",)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: t,
        lambda t: {"state_dict": t, "epoch": 3},
        lambda t: {"model": {"state_dict": t}},
    ],
)
def test_a_pytorch_file_is_read_when_asked_for(tmp_path, wrap):
    tensors = {"weight": torch.arange(3.0)}
    torch.save(wrap(tensors), tmp_path / "weights.pth")
    read = read_tensors(tmp_path / "weights.pth", pytorch_file=True)
    assert list(read) == ["weight"]
    assert torch.equal(read["weight"], tensors["weight"])


def test_a_pytorch_file_is_not_read_unasked(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match="cannot be read") as caught:
        read_tensors(tmp_path / "weights.pth")
    assert "pytorch_file=True" in caught.value.fix


@pytest.mark.parametrize("protocol", [2, 4])
def test_code_in_a_pytorch_file_is_not_run(tmp_path, capsys, protocol):
    torch.save({"weight": torch.zeros(1), "trap": Trap()}, tmp_path / "weights.pth")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Trap(), protocol=protocol))
    for name in ("weights.pth", "plain.pkl"):
        with pytest.raises(WeightsError):
            read_tensors(tmp_path / name, pytorch_file=True)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "content", [b"", b"no weights", b"\x80\x02}q\x00.", b"PK\x03\x04" + 9 * b"x"]
)
@pytest.mark.parametrize("pytorch_file", [False, True])
def test_a_broken_file_is_refused(tmp_path, content, pytorch_file):
    (tmp_path / "weights").write_bytes(content)
    with pytest.raises(WeightsError):
        read_tensors(tmp_path / "weights", pytorch_file=pytorch_file)


@pytest.mark.parametrize("pytorch_file", [False, True])
def test_a_missing_file_or_a_folder_is_refused(tmp_path, pytorch_file):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(WeightsError, match="cannot be read"):
            read_tensors(path, pytorch_file=pytorch_file)


def test_a_pytorch_file_cut_short_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(999)}, tmp_path / "weights.pth")
    content = (tmp_path / "weights.pth").read_bytes()
    for length in range(0, len(content), 97):
        (tmp_path / "cut.pth").write_bytes(content[:length])
        with pytest.raises(WeightsError):
            read_tensors(tmp_path / "cut.pth", pytorch_file=True)


def test_the_first_rule_that_fits_from_the_start_renames():
    tensors = {key: torch.zeros(1) for key in ("a.0.b", "a.b", "head.a.0.b", "gone.x")}
    renamed = rename(tensors, {r"a\.(\d)\.": r"block\1.", r"a\.": "other.", r"gone\.": None})
    assert sorted(renamed) == ["block0.b", "head.a.0.b", "other.b"]
