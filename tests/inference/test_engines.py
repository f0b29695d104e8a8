from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper

import pixelwise
from pixelwise.errors import DeviceError, EngineError, MissingExtraError, UsageError
from pixelwise.inference.card import Resize
from pixelwise.inference.engines import _openvino_core, make_engine, usable_cores
from pixelwise.inference.model_file import read_model

HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not HAS_OPENVINO, reason="openvino is not installed")
BOTH = ["onnxruntime", pytest.param("openvino", marks=needs_openvino)]


@pytest.fixture
def toy(make_model, pointwise):
    return read_model(make_model(network=pointwise(pool=2, classes=4)))


def noise(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


@pytest.fixture
def without_openvino(monkeypatch):
    found = importlib.util.find_spec

    def find(name, *rest):
        return None if name == "openvino" else found(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find)


@pytest.mark.parametrize("engine", BOTH)
def test_scores_are_those_of_numpy_for_any_batch_and_size(make_model, expected_labels, engine):
    runner = make_engine(read_model(make_model()), engine=engine, threads=1)
    for shape in ((1, 3, 4, 6), (3, 3, 7, 5), (1, 3, 1, 1), (1, 3, 4, 6)):
        batch = np.random.default_rng(1).integers(0, 256, shape).astype(np.float32)
        scores = runner.run(batch)
        assert scores.dtype == np.float32
        assert scores.shape == (shape[0], 4, *shape[2:])
        np.testing.assert_array_equal(
            scores.argmax(1), expected_labels(batch.transpose(0, 2, 3, 1))
        )


@pytest.mark.parametrize("engine", BOTH)
def test_an_answer_stays_when_the_next_one_comes(toy, engine):
    runner = make_engine(toy, engine=engine, threads=1)
    first = runner.run(noise(1, 3, 8, 8))
    kept = first.copy()
    runner.run(np.zeros((1, 3, 8, 8), np.float32))
    np.testing.assert_array_equal(first, kept)


@needs_openvino
@pytest.mark.parametrize("name", ["toy", "street"])
def test_the_engines_agree(toy, name):
    model = toy if name == "toy" else read_model("street")
    batch = noise(1, 3, 97, 129)
    scores = [
        make_engine(model, engine=engine, threads=1).run(batch)
        for engine in ("onnxruntime", "openvino")
    ]
    scale = max(1.0, float(np.abs(scores[0]).max()))
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4 * scale)


@pytest.mark.parametrize("engine", BOTH)
def test_an_engine_says_what_it_is(toy, engine):
    assert make_engine(toy, engine=engine).description == f"{engine} cpu float32"


def test_auto_takes_openvino_where_it_is(toy):
    expected = "openvino" if HAS_OPENVINO else "onnxruntime"
    assert make_engine(toy).description.startswith(expected)


def test_auto_does_without_openvino(toy, without_openvino):
    assert make_engine(toy).description == "onnxruntime cpu float32"


def test_openvino_that_is_missing_says_how_to_get_it(toy, without_openvino):
    with pytest.raises(MissingExtraError, match="not installed") as caught:
        make_engine(toy, engine="openvino")
    assert 'pip install "pixelwise[openvino]"' in caught.value.fix


def test_a_process_without_openvino_predicts(make_model, run_python):
    code = """
import sys
import numpy as np

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "openvino":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "openvino" else find(name, *rest)
import pixelwise
model = pixelwise.load(sys.argv[1])
print(model, model.predict(np.zeros((5, 5, 3), np.uint8)).labels.sum())
"""
    done = run_python(code, make_model())
    assert done.stderr == ""
    assert done.stdout == "Model('toy', 4 classes, onnxruntime cpu float32) 75\n"


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({"engine": "tensorrt"}, "engine='tensorrt'"),
        ({"engine": "OpenVINO"}, "engine='OpenVINO'"),
        ({"device": "cuda"}, "device='cuda'"),
        ({"threads": -1}, "threads=-1"),
        ({"streams": 0}, "streams=0"),
    ],
)
def test_what_cannot_be_is_refused(toy, options, got):
    with pytest.raises(UsageError) as caught:
        make_engine(toy, **options)
    assert got in caught.value.got


@pytest.mark.parametrize("engine", BOTH)
def test_a_device_that_is_not_there(toy, engine):
    devices = {"onnxruntime": _onnxruntime_devices, "openvino": _openvino_devices}[engine]()
    if any("CUDA" in name or "GPU" in name for name in devices):
        pytest.skip("there is a GPU")
    with pytest.raises(DeviceError, match="has no gpu here") as caught:
        make_engine(toy, engine=engine, device="gpu")
    assert "it offers" in caught.value.got
    assert "device='cpu'" in caught.value.fix


def test_a_device_that_does_not_start_is_not_replaced_in_silence(toy, monkeypatch, capfd):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("there is a GPU")
    # As where the package for GPUs is installed and its libraries are not.
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with (
        pytest.warns(UserWarning, match="CUDA"),
        pytest.raises(DeviceError, match="cannot use the gpu here"),
    ):
        make_engine(toy, engine="onnxruntime", device="gpu")
    assert capfd.readouterr().out == ""


def test_a_damaged_network_is_an_error_and_prints_nothing(toy, capfd):
    content = toy.content.replace(b"Conv", b"C\xebnv")
    with pytest.raises(EngineError):
        make_engine(replace(toy, content=content), engine="onnxruntime")
    assert capfd.readouterr() == ("", "")


def _onnxruntime_devices():
    import onnxruntime

    return onnxruntime.get_available_providers()


def _openvino_devices():
    import openvino

    return openvino.Core().available_devices


@pytest.mark.parametrize("engine", BOTH)
def test_a_batch_that_does_not_fit_is_an_engine_error(make_model, pointwise, engine):
    network = pointwise(shape=(1, 3, 16, 16), classes=4)
    path = make_model(network=network, resize=Resize(rule="exact", size=(16, 16)))
    runner = make_engine(read_model(path), engine=engine, threads=1)
    with pytest.raises(EngineError, match="could not run the network") as caught:
        runner.run(noise(1, 2, 16, 16))
    assert caught.value.where == "input (1, 2, 16, 16)"
    assert caught.value.got


@pytest.mark.parametrize("engine", BOTH)
def test_a_network_of_unknown_operators_is_refused(make_model, engine):
    values = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["B", 3, "H", "W"]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", 4, "h", "w"]),
    ]
    node = helper.make_node("Segment", ["image"], ["logits"], domain="nobody")
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("nobody", 1)]
    network = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    model = read_model(make_model(network=network))
    with pytest.raises(EngineError) as caught:
        make_engine(model, engine=engine, threads=1).run(noise(1, 3, 4, 4))
    assert not isinstance(caught.value, DeviceError)
    assert "Segment" in caught.value.got


@pytest.mark.parametrize("engine", BOTH)
def test_threads_share_a_model_from_its_first_picture_on(make_model, run_python, engine):
    """OpenVINO's binding stood still here where two threads made its first tensors at once."""
    code = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import pixelwise

model = pixelwise.load(sys.argv[1], engine=sys.argv[2], threads=1, streams=2)
pictures = [np.full((8 + n % 3, 8, 3), n, np.uint8) for n in range(40)]
barrier = threading.Barrier(4)
with ThreadPoolExecutor(4, initializer=barrier.wait) as pool:
    answers = list(pool.map(model.predict, pictures))
print(sum(answer.labels.size for answer in answers))
"""
    done = run_python(code, make_model(), engine)
    assert done.stdout == f"{sum((8 + n % 3) * 8 for n in range(40))}\n", done.stderr


@needs_openvino
def test_the_first_tensor_is_made_before_threads_make_theirs(toy, monkeypatch):
    """What the test above finds once in several times."""
    import openvino

    made = []

    class Noted(openvino.Tensor):
        def __init__(self, *arguments):
            made.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(openvino, "Tensor", Noted)
    _openvino_core.cache_clear()
    make_engine(toy, engine="openvino", threads=1)
    assert made


def test_usable_cores_are_those_of_the_process(run_python):
    assert usable_cores() >= 1
    if sys.platform == "linux":
        code = (
            "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
            "from pixelwise.inference.engines import usable_cores; print(usable_cores())"
        )
        assert run_python(code).stdout == "1\n"


@needs_openvino
def test_signals_survive_openvino(run_python, make_model):
    """Its CPU plugin leaves the thread a stack for signals that goes with the last core."""
    path = make_model()
    code = (
        "import gc, signal, os, sys, numpy as np, pixelwise\n"
        f"model = pixelwise.load({str(path)!r}, engine='openvino', threads=1)\n"
        "model.predict(np.zeros((8, 8, 3), np.uint8))\n"
        "del model; gc.collect()\n"
        "seen = []\n"
        "signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))\n"
        "junk = [bytearray(b'x' * 12000) for _ in range(2000)]\n"
        "for _ in range(20): os.kill(os.getpid(), signal.SIGUSR1)\n"
        "print(len(seen))"
    )
    assert run_python(code).stdout == "20\n"


def test_nothing_is_noted_in_the_home_of_the_user(run_python, make_model, tmp_path):
    """onnxruntime 1.31 would keep a device id and a data base there, OpenVINO a client id."""
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import os, numpy as np\n"
        f"os.environ['HOME'] = os.environ['XDG_CACHE_HOME'] = {str(home)!r}\n"
        "import pixelwise\n"
        "for engine in ('onnxruntime', 'auto'):\n"
        f"    model = pixelwise.load({str(make_model())!r}, engine=engine)\n"
        "    model.predict(np.zeros((8, 8, 3), np.uint8))\n"
        "print(sorted(os.listdir(os.environ['HOME'])))"
    )
    assert run_python(code).stdout == "[]\n"


def test_the_engine_of_a_loaded_model_is_the_one_asked_for(make_model):
    assert "onnxruntime" in repr(pixelwise.load(make_model(), engine="onnxruntime"))


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_lack_of_memory_is_known_as_such(run_python, convolution, make_model, engine):
    """In a process that may take only 100 MB more than it has."""
    code = """
import resource, sys
import numpy as np
from pixelwise.errors import OutOfMemoryError
from pixelwise.inference.predictor import load
model = load(sys.argv[1], engine=sys.argv[2], threads=1)
model.run(np.zeros((1, 3, 64, 64), np.float32))
large = np.zeros((1, 3, 3000, 3000), np.float32)
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 10**8,) * 2)
try:
    model.run(large)
except OutOfMemoryError as error:
    print("known:", error.fix)
model.run(np.zeros((1, 3, 64, 64), np.float32))
"""
    done = run_python(code, make_model(network=convolution()), engine)
    assert done.stdout.startswith("known: work in tiles"), done.stderr
    assert done.returncode == 0


@needs_openvino
def test_auto_takes_the_engine_that_the_card_names(make_model):
    for name in ("onnxruntime", "openvino"):
        file = read_model(make_model(engine=name))
        assert make_engine(file).description == f"{name} cpu float32"
        other = "openvino" if name == "onnxruntime" else "onnxruntime"
        assert make_engine(file, engine=other).description == f"{other} cpu float32"


def test_without_openvino_a_card_that_names_it_runs_in_onnxruntime(make_model, without_openvino):
    file = read_model(make_model(engine="openvino", precision="bf16"))
    assert make_engine(file).description == "onnxruntime cpu float32"


@needs_openvino
def test_bf16_is_computed_where_the_card_permits_it_alone(make_model):
    able = "BF16" in _openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    permitted = make_engine(read_model(make_model(precision="bf16")), engine="openvino")
    assert permitted.description == f"openvino cpu {'bf16' if able else 'float32'}"
    plain = make_engine(read_model(make_model()), engine="openvino")
    batch = 100 * noise(1, 3, 8, 8) + 0.123
    exact = plain.run(batch)
    error = np.abs(permitted.run(batch) - exact).max()
    assert (error > 1e-3) == able
    assert error < 5


@needs_openvino
@pytest.mark.skipif(sys.platform != "linux", reason="threads are looked at as Linux shows them")
@pytest.mark.skipif(usable_cores() < 2, reason="there is one core alone")
def test_a_part_of_the_cores_is_any_part(run_python, make_model, convolution):
    """Else two processes of one core each would both be bound to the first."""
    code = """
import os, sys, threading
from contextlib import suppress
from pathlib import Path
import numpy as np
from pixelwise.inference.predictor import load
model = load(sys.argv[1], engine="openvino", threads=1)
every, seen, over = os.sched_getaffinity(0), set(), threading.Event()

def look():
    while not over.is_set():
        for path in Path("/proc/self/task").iterdir():
            with suppress(ProcessLookupError):  # one that has just ended
                seen.add(len(os.sched_getaffinity(int(path.name))))

watch = threading.Thread(target=look)
watch.start()
for _ in range(5):
    model.run(np.zeros((1, 3, 1200, 1200), np.float32))
over.set()
watch.join()
print(seen == {len(every)}, seen)
"""
    done = run_python(code, make_model(network=convolution()))
    assert done.stdout.startswith("True"), done.stdout + done.stderr
