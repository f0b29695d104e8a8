"""Those who want to know how a run goes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

__all__ = ["Observer", "Observers", "say"]


class Observer(Protocol):
    """Is told of every event, in the first process only."""

    def on_event(self, event: Mapping[str, object]) -> None:
        """Called with each line of the logs as it is written."""
        ...

    def close(self) -> None:
        """Called once, when the run is over or interrupted."""
        ...


class Observers:
    """Several observers as one; one that fails is left out, for a view must not end a run.

    Args:
        observers: told in this order, and closed in the opposite one.
        note: told in one line when one is left out.
    """

    def __init__(
        self, observers: Sequence[Observer], *, note: Callable[[str], object] | None = None
    ) -> None:
        self._observers = list(observers)
        self._note = note or say

    def on_event(self, event: Mapping[str, object]) -> None:
        """Tells all."""
        for observer in tuple(self._observers):
            try:
                observer.on_event(event)
            except (OSError, ValueError, RuntimeError) as error:
                self._leave_out(observer, error)

    def close(self) -> None:
        """Closes all."""
        for observer in reversed(self._observers):
            try:
                observer.close()
            except (OSError, ValueError, RuntimeError) as error:
                self._note(_reason(observer, error))
        self._observers.clear()

    def _leave_out(self, observer: Observer, error: Exception) -> None:
        self._observers.remove(observer)
        # What was wrong with it is told; that it cannot be closed either adds nothing.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            observer.close()
        self._note(_reason(observer, error))


def say(text: str) -> None:
    """One line on standard error; where that is closed, nothing."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def _reason(observer: Observer, error: Exception) -> str:
    return f"{type(observer).__name__} is left out, training goes on: {error}"
