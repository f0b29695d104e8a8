"""Engines run a network: one interface, `run(batch) -> scores`, over several libraries."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import sys
import threading
from collections import OrderedDict
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import (
    DeviceError,
    EngineError,
    MissingExtraError,
    OutOfMemoryError,
    UsageError,
)
from pixelwise.inference.model_file import ModelFile
from pixelwise.kernels.checks import MOST_THREADS, usable_cores

__all__ = [
    "ENGINES",
    "MOST_THREADS",
    "Engine",
    "installed_engines",
    "make_engine",
    "usable_cores",
]

ENGINES = ("auto", "onnxruntime", "openvino")
_ONNXRUNTIME_PROVIDERS = {"cpu": "CPUExecutionProvider", "gpu": "CUDAExecutionProvider"}
_DEVICES = ("cpu", "gpu")
_SHAPES_KEPT = 4
# How the libraries say that memory has run out; they have no type for it.
_OUT_OF_MEMORY = re.compile(
    r"bad.alloc|failed to allocate (.*)?memory|not enough memory|out.of.(host.)?memory"
    r"|mem_object_allocation_failure|alloc_failed",
    re.IGNORECASE,
)


class Engine(Protocol):
    """Runs one network.

    Attributes:
        description: library, device and the precision it computes in, such as
            `"onnxruntime cpu float32"`.
    """

    description: str

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """`[B, channels, H, W]` -> scores `[B, C, h, w]`; may be called from several threads.

        Raises:
            EngineError: the network cannot be run on this batch.
            OutOfMemoryError: there is not enough memory for this batch.
        """
        ...


def installed_engines() -> tuple[str, ...]:
    """Those that can be had here, onnxruntime first."""
    has_openvino = importlib.util.find_spec("openvino") is not None
    return ("onnxruntime", "openvino") if has_openvino else ("onnxruntime",)


def make_engine(
    model: ModelFile,
    *,
    engine: str = "auto",
    device: str = "cpu",
    threads: int = 0,
    streams: int = 1,
) -> Engine:
    """The engine that was asked for.

    `"auto"` takes the one that the model's card names where it is installed; where the card names
    none, OpenVINO where it is.

    Args:
        model: the network.
        engine: one of `ENGINES`.
        device: `"cpu"` or `"gpu"`.
        threads: cores for one run; 0 means all that may be used.
        streams: runs that go on side by side, each in a thread of the caller.

    Raises:
        UsageError: no engine or device of that name, threads or streams out of range.
        MissingExtraError: the engine is not installed.
        DeviceError: the device is not there.
        EngineError: the engine refuses the network.
    """
    if engine not in ENGINES:
        raise UsageError(
            "there is no such engine", got=f"engine={engine!r}", fix=f"one of {', '.join(ENGINES)}"
        )
    if device not in _DEVICES:
        raise UsageError(
            "there is no such device", got=f"device={device!r}", fix=f"one of {', '.join(_DEVICES)}"
        )
    if not (0 <= threads <= MOST_THREADS and 1 <= streams <= MOST_THREADS):
        raise UsageError(
            f"threads must lie in 0 (all cores) … {MOST_THREADS}, streams in 1 … {MOST_THREADS}",
            got=f"threads={threads}, streams={streams}",
        )
    has_openvino = "openvino" in installed_engines()
    if engine == "openvino" and not has_openvino:
        raise MissingExtraError(
            "the engine openvino is not installed", fix='pip install "pixelwise[openvino]"'
        )
    count = threads or usable_cores()
    chosen = model.card.engine if engine == "auto" else engine
    if engine == "openvino" or (chosen != "onnxruntime" and has_openvino and device == "cpu"):
        return _OpenVino(model, device, count, streams)
    return _OnnxRuntime(model, device, count)


class _OnnxRuntime:
    def __init__(self, model: ModelFile, device: str, threads: int) -> None:
        # Else onnxruntime 1.31 notes processor, system and interpreter path in the user's cache
        # folder and tries to send them to its makers.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        provider = _ONNXRUNTIME_PROVIDERS[device]
        present = onnxruntime.get_available_providers()
        if provider not in present:
            raise DeviceError(
                f"onnxruntime has no {device} here",
                got=f"it offers {', '.join(present)}",
                fix="pass device='cpu', or install onnxruntime-gpu in the place of onnxruntime",
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        # A spinning pool burns the core that decodes the next picture.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # On processors it computes in whole numbers; elsewhere those are turned into floats first.
        precision = "int8" if model.card.precision == "int8" and device == "cpu" else "float32"
        self.description = f"onnxruntime {device} {precision}"
        self._output = model.output_name
        self._input = model.input_name
        with _as_engine_error("onnxruntime refuses this network", str(model.path)):
            # The fallback prints to standard output and runs on another device than was asked for.
            self._session = onnxruntime.InferenceSession(
                model.content, options, providers=[provider], enable_fallback=0
            )
        if provider not in self._session.get_providers():
            raise DeviceError(
                f"onnxruntime cannot use the {device} here",
                got=f"it runs on {', '.join(self._session.get_providers())} instead",
                fix="pass device='cpu', or check the driver and its CUDA libraries",
            )

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with _as_engine_error("onnxruntime could not run the network", f"input {batch.shape}"):
            scores: NDArray[np.float32] = self._session.run([self._output], {self._input: batch})[0]
        return scores


@functools.cache
def _openvino_core() -> Any:
    """The one core of the process, kept until its end.

    Its CPU plugin gives the thread that first compiles a stack for signals and frees it with the
    last core: the next signal that Python handles would then crash (seen with 2026.4).
    """
    # `import openvino` would note a client id in the user's home and report its use to its makers;
    # a None here makes it take its own stand-in that does nothing.
    cast(Any, sys.modules).setdefault("openvino_telemetry", None)
    import openvino

    # The binding sets itself up with the first tensor; two threads at that at once wait for each
    # other for ever (seen with 2026.4).
    openvino.Tensor(np.zeros(1, np.float32))
    return openvino.Core()


class _OpenVino:
    def __init__(self, model: ModelFile, device: str, threads: int, streams: int) -> None:
        self._core = _openvino_core()
        name = device.upper()
        if device != "cpu" and name not in self._core.available_devices:
            raise DeviceError(
                f"OpenVINO has no {device} here",
                got=f"it offers {', '.join(self._core.available_devices) or 'none'}",
                fix="pass device='cpu'",
            )
        self._device = name
        wanted = model.card.precision
        abilities = self._core.get_property(name, "OPTIMIZATION_CAPABILITIES")
        precision = wanted if wanted.upper() in abilities else "float32"
        self._settings: dict[str, Any] = {
            # Without the hint OpenVINO computes in bf16 on processors that can; what is not
            # quantised stays float32 beside int8.
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "NUM_STREAMS": streams,
        }
        if device == "cpu":
            self._settings["INFERENCE_NUM_THREADS"] = threads * streams
            if threads * streams < usable_cores():
                # OpenVINO binds its threads to the first cores; so would the process beside this
                # one that has the other part of the machine, and both would share them.
                self._settings["ENABLE_CPU_PINNING"] = False
        self.description = f"openvino {device} {precision}"
        self._content = model.content
        self._where = str(model.path)
        self._compiled: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._lock = threading.Lock()
        with _as_engine_error("OpenVINO refuses this network", self._where):
            self._core.read_model(self._content)

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with _as_engine_error("OpenVINO could not run the network", f"input {batch.shape}"):
            request = self._compile(batch.shape).create_infer_request()
            request.infer([batch], share_inputs=True)
            return np.array(request.get_output_tensor(0).data)

    def _compile(self, shape: tuple[int, ...]) -> Any:
        # A network compiled for one shape runs faster than one for any shape; photos of one
        # camera share theirs.
        with self._lock:
            if shape not in self._compiled:
                network = self._core.read_model(self._content)
                network.reshape(list(shape))
                self._compiled[shape] = self._core.compile_model(
                    network, self._device, self._settings
                )
                if len(self._compiled) > _SHAPES_KEPT:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(shape)
            return self._compiled[shape]


class _as_engine_error(contextlib.AbstractContextManager[None]):  # noqa: N801 - used like a function
    def __init__(self, what: str, where: str) -> None:
        self._what = what
        self._where = where

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # The libraries raise plain RuntimeError, ValueError or types of their own.
        if isinstance(error, Exception) and not isinstance(error, EngineError):
            reason = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
            if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(reason):
                raise OutOfMemoryError(
                    "there is not enough memory to run the network",
                    where=self._where,
                    got=reason[:500],
                    fix="work in tiles (tile=512, or --tile 512), or with fewer threads",
                ) from error
            raise EngineError(
                self._what,
                where=self._where,
                got=reason[:500] or type(error).__name__,
                fix="check the file with the other engine (engine='onnxruntime' or 'openvino')",
            ) from error
