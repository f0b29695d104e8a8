"""What several test files share: small model files that NumPy can work out exactly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import settings
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.cli import main
from pixelwise.export.onnx import write_card
from pixelwise.formats.rle import column_counts, pack_counts
from pixelwise.inference.card import Card, Postprocessing, Preprocessing, Resize

# A busy machine is no fault of the code under test.
settings.register_profile("pixelwise", deadline=None)
settings.load_profile("pixelwise")

# Whole numbers in float32, so that every engine and NumPy get the same bits.
WEIGHTS = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3], [1, 1, 1]], np.float32)
BIAS = np.array([0, 0, 0, 60], np.float32)


@pytest.fixture(autouse=True, scope="session")
def cache_apart(tmp_path_factory):
    """Compiled networks go to a folder of this run, never to the user's."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture
def write_coco(tmp_path):
    """Writes a COCO data set; of each picture objects as (bool [H, W], category, is a crowd)."""

    def write(pictures, *, folder="coco", categories=2):
        root = tmp_path / folder
        (root / "images").mkdir(parents=True)
        images, annotations = [], []
        for place, objects in enumerate(pictures):
            size = objects[0][0].shape
            Image.fromarray(np.zeros((*size, 3), np.uint8)).save(root / "images" / f"p{place}.png")
            name = f"p{place}.png"
            images.append(
                {"id": 7 * place + 3, "file_name": name, "height": size[0], "width": size[1]}
            )
            for mask, category, crowd in objects:
                columns = np.flatnonzero(mask.any(axis=0)).tolist()
                rows = np.flatnonzero(mask.any(axis=1)).tolist()
                box = [columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": 7 * place + 3,
                        "category_id": category,
                        "iscrowd": int(crowd),
                        "area": int(mask.sum()),
                        "bbox": box,
                        "segmentation": {
                            "size": list(size),
                            "counts": pack_counts(column_counts(mask)),
                        },
                    }
                )
        value = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": n + 1, "name": f"kind {n + 1}"} for n in range(categories)],
        }
        (root / "instances.json").write_text(json.dumps(value))
        return root

    return write


@pytest.fixture(scope="session")
def make_table():
    """A class table of given ids."""

    def make(*ids):
        colours = np.random.default_rng(5).choice(256**3, len(ids), replace=False, shuffle=False)
        return ClassTable(
            name="toy",
            classes=tuple(
                ClassInfo(id_, f"class {id_}", (code >> 16, code >> 8 & 255, code & 255))
                for id_, code in zip(ids, colours.tolist(), strict=True)
            ),
            ignore_index=None,
            source="made for a test",
        )

    return make


@pytest.fixture(scope="session")
def make_card(make_table):
    """A card; `resize`, `alignment` and so on say how it differs from the plainest one."""

    def make(table=None, *, alignment="half_pixel", resize=None, multiple=1, remainder=0, **others):
        preprocessing = {
            name: others.pop(name)
            for name in ("colour_order", "scale", "mean", "std", "bands", "dtype")
            if name in others
        }
        facts = {
            "name": "toy",
            "class_table": (table or make_table(0, 1, 2, 3)).to_dict(),
            "preprocessing": Preprocessing(
                **{"scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)} | preprocessing,
                resize=resize or Resize(rule="none"),
                multiple=multiple,
                remainder=remainder,
            ),
            "postprocessing": Postprocessing(alignment=alignment),
            "weights_licence": "none needed",
            "data": "none",
            "data_licence": "none needed",
            "non_commercial": False,
            "written_by": "a test",
        }
        return Card(**facts | others)

    return make


@pytest.fixture(scope="session")
def pointwise():
    """The bytes of an ONNX network: scores = weights @ pixel + bias.

    `stride` takes every n-th pixel, `pool` the mean of cells of n × n.
    """

    def make(
        weights=WEIGHTS, bias=BIAS, *, pool=1, stride=1, shape=("B", 3, "H", "W"), classes="C"
    ):
        nodes = []
        source = "image"
        if pool > 1:
            nodes.append(
                helper.make_node(
                    "AveragePool",
                    [source],
                    ["pooled"],
                    kernel_shape=[pool, pool],
                    strides=[pool, pool],
                )
            )
            source = "pooled"
        nodes.append(
            helper.make_node("Conv", [source, "w", "b"], ["logits"], strides=[stride, stride])
        )
        float32 = TensorProto.FLOAT
        graph = helper.make_graph(
            nodes,
            "toy",
            [helper.make_tensor_value_info("image", float32, list(shape))],
            [helper.make_tensor_value_info("logits", float32, [shape[0], classes, "h", "w"])],
            [
                numpy_helper.from_array(weights[:, :, None, None].astype(np.float32), "w"),
                numpy_helper.from_array(bias.astype(np.float32), "b"),
            ],
        )
        opsets = [helper.make_opsetid("", 13)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()

    return make


@pytest.fixture(scope="session")
def convolutions():
    """The bytes of an ONNX network of four convolutions at half size, and their names.

    `stem` (3×3, ReLU), `depthwise` (3×3, cut off at 6), `point` (added to what `stem` gave, and
    joined with it), `head` (four scores). Weights are random; `depthwise` has channels of very
    different size.
    """

    def make():
        random = np.random.default_rng(7)
        sizes = np.geomspace(0.02, 2, 8)[:, None, None, None]
        tensors = {
            "stem.weight": random.normal(0, 0.6, (8, 3, 3, 3)),
            "stem.bias": random.normal(0, 0.3, 8),
            "depthwise.weight": random.normal(0, 1, (8, 1, 3, 3)) * sizes,
            "depthwise.bias": random.uniform(0, 1, 8),
            "point.weight": random.normal(0, 0.4, (8, 8, 1, 1)),
            "point.bias": random.normal(0, 0.1, 8),
            "head.weight": random.normal(0, 1, (4, 16, 1, 1)),
            "head.bias": random.normal(0, 0.1, 4),
        }
        constants = {name: value.astype(np.float32) for name, value in tensors.items()}
        constants |= {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
        pads = {"pads": [1, 1, 1, 1]}
        nodes = [
            _conv("image", "stem", "stem_out", strides=[2, 2], **pads),
            helper.make_node("Relu", ["stem_out"], ["stem_cut"]),
            _conv("stem_cut", "depthwise", "depthwise_out", group=8, **pads),
            helper.make_node("Clip", ["depthwise_out", "low", "high"], ["depthwise_cut"]),
            _conv("depthwise_cut", "point", "point_out"),
            helper.make_node("Add", ["point_out", "stem_cut"], ["sum"]),
            helper.make_node("Concat", ["sum", "stem_cut"], ["both"], axis=1),
            _conv("both", "head", "logits"),
        ]
        graph = helper.make_graph(
            nodes,
            "convolutions",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["B", 3, "H", "W"])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", 4, "h", "w"])],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        )
        opsets = [helper.make_opsetid("", 18)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()

    return make


def _conv(source, name, result, **attributes):
    inputs = [source, f"{name}.weight", f"{name}.bias"]
    return helper.make_node("Conv", inputs, [result], **attributes)


@pytest.fixture(scope="session")
def convolutions_card(make_card):
    """The card of `convolutions`: pixels to -1 … 1, scores at half the size."""
    return make_card(
        scale=1 / 127.5, mean=(1.0, 1.0, 1.0), multiple=2, remainder=1, alignment="corners"
    )


@pytest.fixture(scope="session")
def expected_labels():
    """The channel that the plain `pointwise` network and card give every pixel."""

    def work_out(picture, weights=WEIGHTS, bias=BIAS):
        return (picture.astype(np.float32) @ weights.T + bias).argmax(-1)

    return work_out


@pytest.fixture
def make_model(tmp_path, pointwise, make_card):
    """Writes a model file; options as those of `pointwise` and `make_card`."""

    def make(name="toy.onnx", *, network=None, card=None, **options):
        path = tmp_path / name
        write_card(network or pointwise(), card or make_card(**options), path)
        return path

    return make


@pytest.fixture
def layered(tmp_path, make_model, make_card, pointwise):
    """A folder of `sigmoid.onnx`, and of pictures in `data` of which each pixel has any classes.

    The classes are red, dark and bright; the model gives all of them 2 less than their truth has
    been drawn by, so that lower thresholds are better.
    """
    names = ("red", "dark", "bright")
    colours = ((255, 0, 0), (0, 0, 90), (250, 250, 210))
    infos = [ClassInfo(n, *pair) for n, pair in enumerate(zip(names, colours, strict=True))]
    table = ClassTable("toy", tuple(infos), None, "made for a test")
    weights = np.array([[10, -5, -5], [-4, -4, -4], [4, 4, 4]]) / 255
    bias = np.array([0.0, 5.0, -7.0])
    sigmoid = Postprocessing(alignment="half_pixel", activation="sigmoid")
    make_model(
        "sigmoid.onnx",
        network=pointwise(weights, bias - 2),
        card=make_card(table, postprocessing=sigmoid),
    )
    for number in range(12):
        random = np.random.default_rng(number)
        image = random.integers(0, 256, (16, 20, 3), np.uint8)
        drawn = image @ weights.T + bias + random.logistic(0, 0.7, (16, 20, 3)) > 0
        for place, content in [
            ("images", image),
            *((f"masks/{name}", drawn[..., n] * np.uint8(255)) for n, name in enumerate(names)),
        ]:
            path = tmp_path / "data" / place / f"p{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(path)
    return tmp_path


@pytest.fixture(scope="session")
def command_environment():
    """The environment of a process that imports what this one does."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        # Where nothing is compiled, every process would say so on standard error.
        "PYTHONWARNINGS": "ignore::RuntimeWarning",
        "COLUMNS": "200",
    }


@pytest.fixture(scope="session")
def run_python(command_environment):
    """Runs a program text in a new process, at most 60 s."""

    def run(code, *arguments, **options):
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **{"env": command_environment} | options,
        )

    return run


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs the `pixelwise` command in this process: exit code, standard output and error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["pixelwise", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def make_photos():
    """Writes pictures of noise, each another, below a folder."""

    def make(folder, *names, size=(12, 16)):
        for number, name in enumerate(names):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            seed = number + 100 * len(names)
            pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
            Image.fromarray(pixels).save(path)
        return folder

    return make


@pytest.fixture(scope="session")
def run_pixelwise(command_environment):
    """Runs the `pixelwise` command in a new process, at most 60 s."""

    def run(*arguments, **options):
        return subprocess.run(
            [sys.executable, "-m", "pixelwise", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **{"env": command_environment} | options,
        )

    return run


@pytest.fixture(scope="session")
def start_together(command_environment):
    """Starts a program in several processes by torchrun, which finds a free port itself."""
    started = []

    def start(*arguments, processes=2, **options):
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        process = subprocess.Popen(
            [sys.executable, *launch, "--no-python", sys.executable, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **{"env": command_environment | {"OMP_NUM_THREADS": "1"}} | options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        # It ends its own processes; killed, it would leave them behind.
        process.terminate()
        process.communicate()


# Imports PyTorch once, then becomes all processes of all cases of a request by forking.
_TOGETHER = """
import json, os, socket, sys, time, traceback
import torch
import pixelwise.training.parallel, pixelwise.training.sharded
torch.set_num_threads(1)

def play(request, case, rank, port):
    for stream, number in (("out", 1), ("error", 2)):
        file = f"{request['folder']}/{case}.{rank}.{stream}"
        os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY), number)
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    values = (rank, rank, request["processes"], "127.0.0.1", port)
    os.environ.update(zip(names, map(str, values)))
    sys.argv = ["-c", *request["cases"][case]]
    exec(request["code"], {"__name__": "__main__"})

for line in sys.stdin:
    request, running, ended = json.loads(line), {}, {}
    for case in range(len(request["cases"])):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        for rank in range(request["processes"]):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    play(request, case, rank, port)
                    status = 0
                except SystemExit as end:
                    status = end.code
                except BaseException:
                    traceback.print_exc()
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
            running[child] = f"{case}.{rank}"
    while running:
        child, status = os.wait()
        ended[running.pop(child)] = [os.waitstatus_to_exitcode(status), time.monotonic()]
    print(json.dumps(ended), flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """A process that has ended; `at` is in seconds of a clock."""

    code: int
    at: float
    out: str
    error: str


@pytest.fixture(scope="session")
def fork_together(command_environment, tmp_path_factory):
    """Plays a program text in groups of processes, without torchrun, all groups at once.

    Gives for each case, which is a list of arguments, how each process ended.
    """
    server = subprocess.Popen(
        [sys.executable, "-c", _TOGETHER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=command_environment,
        start_new_session=True,
    )

    def play(code, cases, processes=2):
        folder = tmp_path_factory.mktemp("together")
        request = {
            "code": code,
            "folder": str(folder),
            "processes": processes,
            "cases": [[str(argument) for argument in case] for case in cases],
        }
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        ended = json.loads(server.stdout.readline())

        def of(name):
            texts = [(folder / f"{name}.{kind}").read_text() for kind in ("out", "error")]
            return Ended(*ended[name], *texts)

        return [[of(f"{case}.{rank}") for rank in range(processes)] for case in range(len(cases))]

    yield play
    os.killpg(server.pid, signal.SIGKILL)
    server.communicate()


@pytest.fixture(scope="session")
def run_together(fork_together):
    """Runs a program text in several processes; gives what the first one printed, JSON."""

    def run(code, *arguments, processes=2):
        (group,) = fork_together(code, [arguments], processes)
        assert [process.code for process in group] == [0] * processes, group[0].error
        return json.loads(group[0].out)

    return run
