"""Notices at once when a process of a training ends.

A collective on GPUs waits for a dead process until its time limit, which must be long, since a
live one may be busy. So every process keeps a connection with the first one. When a process ends,
in whatever way, its system closes the connection; when its machine is lost, the probes of TCP
find out within ten seconds. Nothing is measured by a clock of our own: a process that is slow,
or stopped, is never taken for dead.
"""

from __future__ import annotations

import hmac
import os
import secrets
import selectors
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from torch.distributed.distributed_c10d import Store

__all__ = ["Lifeline", "limited"]

_GRACE_SECONDS = 3.0
_HELLO_SECONDS = 10.0
_KEY = "lifeline"
_TOKEN_BYTES = 16
_LONGEST_WORD = 1000
_FINISHED = "finished"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Lifeline:
    """The connections of one process: the first has one with each other, these one with it.

    Args:
        rank: of this process.
        size: how many there are.
        store: where they find each other.
        host: address of the first process.
        patience: how long it waits for the others.

    Raises:
        OSError: no connection can be made.
    """

    def __init__(
        self, rank: int, size: int, store: Store, *, host: str, patience: timedelta
    ) -> None:
        self._rank = rank
        self._reason = ""
        self._noticed = threading.Event()
        self._left = threading.Event()
        self._all_finished = threading.Event()
        self._patience = patience.total_seconds()
        name = f"process {rank} ({socket.gethostname()}, id {os.getpid()})"
        self._others = (
            _accept(store, size - 1, host=host, patience=self._patience)
            if rank == 0
            else {_connect(store, name, host=host, patience=self._patience): "process 0"}
        )
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()

    def reason(self, *, wait: float) -> str:
        """Who has ended and how; empty if all are there after `wait` seconds."""
        self._noticed.wait(wait)
        return self._reason

    def leave(self, word: str) -> None:
        """Tells the others how this process ends; "finished" is the only good way.

        The first process stays until all have finished, since they meet at its address.
        """
        if word == _FINISHED and self._rank == 0:
            self._all_finished.wait(self._patience)
        self._send(word)
        self._left.set()

    def close(self) -> None:
        """Closes the connections."""
        for connection in self._others:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _send(self, word: str) -> None:
        line = " ".join(word.split())[:_LONGEST_WORD] + "\n"
        for connection in self._others:
            with suppress(OSError):
                connection.sendall(line.encode())

    def _watch(self) -> None:
        with selectors.DefaultSelector() as selector:
            for connection, name in self._others.items():
                selector.register(connection, selectors.EVENT_READ, name)
            while selector.get_map():
                for key, _ in selector.select():
                    word = _last_word(key.fileobj)  # type: ignore[arg-type]
                    selector.unregister(key.fileobj)
                    if word != _FINISHED:
                        self._lose(word if word.startswith("process ") else f"{key.data} {word}")
                        return
        self._all_finished.set()

    def _lose(self, reason: str) -> None:
        """Gives the process a moment to end in order, since its collectives fail too."""
        # Before anybody here hears of it, or a word of leaving would reach the others first.
        if self._rank == 0:
            self._send(reason)
        self._reason = reason
        self._noticed.set()
        self._all_finished.set()
        if not self._left.wait(_GRACE_SECONDS):
            _end(f"another process of the training is gone\n  {reason}")


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Ends the process if what is done inside takes longer."""
    done = threading.Event()

    def wait() -> None:
        if not done.wait(seconds):
            _end("the connections with the other processes could not be closed")

    threading.Thread(target=wait, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _end(why: str) -> None:
    # The main thread may wait in a collective for ever, where no exception reaches it.
    with suppress(OSError, ValueError):
        sys.stderr.write(f"error: {why}\n")
        sys.stderr.flush()
    os._exit(1)


def _accept(store: Store, count: int, *, host: str, patience: float) -> dict[socket.socket, str]:
    """A connection with each other process, and its name."""
    token = secrets.token_bytes(_TOKEN_BYTES)
    others: dict[socket.socket, str] = {}
    with socket.create_server(("127.0.0.1" if host in _LOOPBACK else "", 0)) as server:
        server.settimeout(patience)
        store.set(_KEY, f"{server.getsockname()[1]} {token.hex()}")
        while len(others) < count:
            connection, _ = server.accept()
            connection.settimeout(_HELLO_SECONDS)
            hello = _last_word(connection)
            # Anybody may knock at an open port.
            if not hmac.compare_digest(hello[: 2 * _TOKEN_BYTES].encode(), token.hex().encode()):
                connection.close()
                continue
            _probe(connection)
            others[connection] = hello[2 * _TOKEN_BYTES :].strip()
    return others


def _connect(store: Store, name: str, *, host: str, patience: float) -> socket.socket:
    port, token = store.get(_KEY).decode().split()
    connection = socket.create_connection((host, int(port)), timeout=patience)
    connection.sendall(f"{token} {name}\n".encode())
    _probe(connection)
    return connection


def _probe(connection: socket.socket) -> None:
    """Lets TCP ask a silent machine every two seconds whether it is still there."""
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def _last_word(connection: socket.socket) -> str:
    """A line; "has ended without a word" where the connection ends before one."""
    content = b""
    with suppress(OSError):
        while not content.endswith(b"\n") and len(content) <= 4 * _LONGEST_WORD:
            piece = connection.recv(1)
            if not piece:
                break
            content += piece
    line = content.decode(errors="replace").strip()
    return line or "has ended without a word: it was killed, or its machine is lost"
