"""A run over many processes and machines, by Ray.

Ray's actors are dealt pictures by our own `Schedule`. By its defaults (Ray 2.60) Ray Data retries a
picture that kills its worker for ever, and without them it drops the whole block of such a picture.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pixelwise.errors import ClusterError, PixelwiseError, UsageError
from pixelwise.extras import extra
from pixelwise.inference.job_list import Job
from pixelwise.inference.jobs import Outcome, run_jobs
from pixelwise.inference.schedule import Schedule

__all__ = ["LOCAL", "Hand", "Placement", "Session", "run_on_cluster", "session"]

_Result = TypeVar("_Result")

LOCAL = "local"

# A second block waits at the worker while the first is done: no core idles for a message's way.
_BLOCKS_PER_WORKER = 2
_SECONDS_BETWEEN_LOOKS = 5.0
# Autoscalers need minutes to start machines.
_SECONDS_WITHOUT_WORKER = 600.0
_MOST_FAILED_STARTS = 5
_LOCAL_STORE_BYTES = 80 << 20
_SECONDS_TO_ANSWER = 10.0


@dataclass(frozen=True)
class Session:
    """A Ray that this process is connected to.

    Attributes:
        ray: the module.
        is_local: whether it was started here, for this process alone.
    """

    ray: Any
    is_local: bool

    def places(self, *, gpus: int = 0) -> int:
        """Workers that its machines have room for, as far as they are up now; at least 1."""
        resources = self.ray.cluster_resources()
        kind = "GPU" if gpus else "CPU"
        return max(1, int(resources.get(kind, 1)) // max(1, gpus))


@dataclass(frozen=True)
class Placement:
    """What a worker needs where it runs.

    Attributes:
        gpus: graphics processors of each worker.
        threads: pictures that a worker has at once; more than one hides the way to a store.
        folder: the folder that relative paths start from, or "" where all are addresses.
        output: a folder that must be there, or "" where results go to a store.
    """

    gpus: int = 0
    threads: int = 1
    folder: str = ""
    output: str = ""


@contextmanager
def _loopback_alone() -> Iterator[None]:
    """Has Ray take the loopback interface, here and in processes started within, on any system."""
    from ray._private import ray_constants

    # The name is of the past. Ray reads the variable when it is loaded, which another part of the
    # program may have done.
    variable = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    before = os.environ.get(variable), ray_constants.ENABLE_RAY_CLUSTER
    os.environ[variable] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        value, ray_constants.ENABLE_RAY_CLUSTER = before
        if value is None:
            del os.environ[variable]
        else:
            os.environ[variable] = value


def _demand_loopback(address: str) -> None:
    if not address.startswith("127.0.0.1:"):
        raise ClusterError(
            "Ray would be reachable from other machines",
            where=LOCAL,
            got=f"it listens on {address}",
            fix="start one that asks for a token with `ray start --head`, and give its address",
        )


@contextmanager
def session(address: str, cores: int) -> Iterator[Session]:
    """Starts a Ray of this machine's own, or connects to a running one; ends what it started.

    Ray's statistics of use are off. The local one listens on the loopback interface alone, asks
    for a token (unless Ray was loaded before), has no dashboard, and keeps its files in a
    temporary folder.

    Args:
        address: `"local"`, or what `ray.init` takes: `"auto"`, `HOST:PORT`, `ray://HOST:PORT`.
        cores: of the local one.

    Raises:
        MissingExtraError: Ray is not installed.
        ClusterError: it cannot be started or reached.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray would set the variable that hides graphics processors of workers without one.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    is_local = address == LOCAL
    options: dict[str, Any] = {"address": address}
    folder = ""
    if is_local:
        # Read once, when Ray is loaded; else it keeps a token in the user's home.
        if "ray" not in sys.modules:
            os.environ.setdefault("RAY_AUTH_MODE", "token")
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        # Sockets lie in it, and their paths may have 107 letters.
        folder = tempfile.mkdtemp(prefix="pixelwise-ray-")
        options |= {
            "num_cpus": cores,
            "include_dashboard": False,
            "object_store_memory": _LOCAL_STORE_BYTES,
            "_temp_dir": folder,
        }
    with contextlib.ExitStack() as started:
        if folder:
            started.callback(shutil.rmtree, folder, ignore_errors=True)
        with extra("ray"):
            import ray
        if is_local:
            started.enter_context(_loopback_alone())
        try:
            if ":" in address:
                _knock(address)
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise ClusterError(
                "Ray cannot be started" if is_local else "the Ray cluster cannot be reached",
                where=address,
                got=f"{type(error).__name__}: {reason}",
                fix="check `ray status --address ADDRESS`; both sides need the same versions of "
                "Ray and Python",
            ) from error
        started.callback(ray.shutdown)
        if is_local:
            _demand_loopback(ray.get_runtime_context().gcs_address)
        yield Session(ray, is_local)


def _knock(address: str) -> None:
    # Ray itself would try for minutes.
    host, _, port = address.removeprefix("ray://").rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_ANSWER).close()


def run_on_cluster(
    jobs: Iterable[Job],
    total: int,
    make_work: Callable[[], Callable[[Job], _Result]],
    within: Session,
    *,
    workers: int = 0,
    placement: Placement | None = None,
) -> Generator[Outcome[_Result], None, None]:
    """Works through the jobs on a cluster; gives outcomes as they come, in any order.

    Each worker is a process with one core. When it dies, another takes its place and its pictures
    are given out again; a picture at which three workers died, one after the other, is given up. A
    vanished machine is the death of its workers. When no worker is left and none can be started,
    all that is left is given up. A picture may be worked on twice, so `work` must know what is
    done.

    Args:
        jobs: gone through once.
        total: how many there are.
        make_work: called once in each worker, so it must pickle; gives what does a job.
        within: the connected Ray.
        workers: processes; 0 means one for each core of the cluster, more when it grows.
        placement: what a worker needs.

    Raises:
        PixelwiseError: what `make_work` raised.
        ClusterError: workers cannot be started.
    """
    run = _Run(Schedule(jobs, total), make_work, within, workers, placement or Placement())
    try:
        yield from run.outcomes()
    finally:
        run.end()


@dataclass
class _Worker:
    actor: Any
    started: Any
    is_ready: bool = False
    blocks: deque[tuple[Any, list[Job]]] = field(default_factory=deque)


class _Run(Generic[_Result]):
    def __init__(
        self,
        schedule: Schedule,
        make_work: Callable[[], Callable[[Job], _Result]],
        within: Session,
        workers: int,
        placement: Placement,
    ) -> None:
        self._ray = within.ray
        self._session = within
        self._schedule = schedule
        self._wanted = workers
        # Put once, fetched once by each worker: a model may have hundreds of megabytes.
        self._make_work = self._ray.put(make_work)
        self._placement = placement
        self._kind = self._ray.remote(
            num_cpus=1, num_gpus=placement.gpus, max_restarts=0, max_task_retries=0
        )(Hand)
        self._workers: list[_Worker] = []
        self._places = 1
        self._look_again_at = 0.0
        self._failed_starts = 0
        self._alone_since = time.monotonic()

    def outcomes(self) -> Generator[Outcome[_Result], None, None]:
        while len(self._schedule) or any(worker.blocks for worker in self._workers):
            self._fill_up()
            # The oldest block of each worker is the one under way.
            waiting = [worker.started for worker in self._workers if not worker.is_ready]
            waiting += [worker.blocks[0][0] for worker in self._workers if worker.blocks]
            done, _ = self._ray.wait(waiting, num_returns=1, timeout=_SECONDS_BETWEEN_LOOKS)
            for reference in done:
                yield from self._look_at(reference)
            if any(worker.is_ready for worker in self._workers):
                self._alone_since = time.monotonic()
            elif time.monotonic() - self._alone_since > _SECONDS_WITHOUT_WORKER:
                yield from self._give_up()
                return

    def end(self) -> None:
        for worker in self._workers:
            with contextlib.suppress(Exception):
                self._ray.kill(worker.actor)
        self._workers = []

    def _fill_up(self) -> None:
        if not self._wanted and time.monotonic() >= self._look_again_at:
            self._places = self._session.places(gpus=self._placement.gpus)
            self._look_again_at = time.monotonic() + _SECONDS_BETWEEN_LOOKS
        busy = sum(bool(worker.blocks) for worker in self._workers)
        most = min(self._wanted or self._places, busy + len(self._schedule))
        for _ in range(most - len(self._workers)):
            actor = self._kind.remote()
            started = actor.begin.remote(self._make_work, self._placement)
            self._workers.append(_Worker(actor, started))
        for _ in range(_BLOCKS_PER_WORKER):
            for worker in self._workers:
                if worker.is_ready and len(worker.blocks) < _BLOCKS_PER_WORKER:
                    block = self._schedule.take(len(self._workers))
                    if block:
                        worker.blocks.append((worker.actor.work.remote(block), block))

    def _look_at(self, reference: Any) -> Iterator[Outcome[_Result]]:
        worker = next(
            worker
            for worker in self._workers
            if reference == worker.started or (worker.blocks and worker.blocks[0][0] == reference)
        )
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(reference)
        except errors.RayTaskError as error:
            # Not a death: the work itself raised what it should not, or could not be made.
            raise error.cause if isinstance(error.cause, PixelwiseError) else error from None
        except errors.RayError as error:
            yield from self._bury(worker, error)
            return
        if reference == worker.started:
            worker.is_ready = True
            self._failed_starts = 0
            return
        worker.blocks.popleft()
        for outcome, number in answer:
            if number and outcome.error is not None:
                # Pickling loses the cause, by which a full disk is known.
                outcome.error.__cause__ = OSError(number, os.strerror(number))
            yield outcome

    def _bury(self, worker: _Worker, error: Exception) -> Iterator[Outcome[_Result]]:
        self._workers.remove(worker)
        # One that only seems dead must not go on beside its successor.
        with contextlib.suppress(Exception):
            self._ray.kill(worker.actor)
        if not worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts >= _MOST_FAILED_STARTS:
                raise ClusterError(
                    "no worker of the cluster starts",
                    got=_first_line(error),
                    fix="install the same pixelwise on every machine of the cluster",
                ) from error
        for place, (_, block) in enumerate(worker.blocks):
            if place:
                self._schedule.give_back(block)
                continue
            for job in self._schedule.begun(block):
                yield Outcome(job, None, _given_up(job, "the worker died at it again and again"))

    def _give_up(self) -> Iterator[Outcome[_Result]]:
        left = [job for worker in self._workers for _, block in worker.blocks for job in block]
        for rest in (left, self._schedule.rest()):
            for job in rest:
                yield Outcome(job, None, _given_up(job, "no worker is left, and none could start"))


class Hand:
    """What an actor is made of: it makes its work once, then does blocks of jobs."""

    def begin(self, make_work: Callable[[], Callable[[Job], Any]], placement: Placement) -> None:
        """Makes its work.

        Raises:
            UsageError: a folder is not there.
            PixelwiseError: what `make_work` raises.
        """
        for folder in (placement.folder, placement.output):
            if folder and not Path(folder).is_dir():
                raise UsageError(
                    "a machine of the cluster does not see this folder",
                    where=folder,
                    fix="give addresses in an object store (s3://…), or a folder that all share",
                )
        if placement.folder:
            os.chdir(placement.folder)
        self._threads = placement.threads
        self._work = make_work()

    def work(self, block: Sequence[Job]) -> list[tuple[Outcome[Any], int]]:
        """Outcomes of a block, each with the system's number of what caused its error, or 0."""
        outcomes = run_jobs(block, self._work, workers=self._threads)
        return [(outcome, _number_of_cause(outcome.error)) for outcome in outcomes]


def _number_of_cause(error: PixelwiseError | None) -> int:
    cause = None if error is None else error.__cause__
    return cause.errno or 0 if isinstance(cause, OSError) else 0


def _given_up(job: Job, reason: str) -> ClusterError:
    return ClusterError(
        f"not done: {reason}",
        where=str(job.source),
        fix="the same command tries it again",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
