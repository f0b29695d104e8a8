"""Those who want to know how a run goes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pixelwise.training.events import Event

__all__ = ["Observer", "Observers", "say"]

# What views of files and terminals raise; faults of the code itself are not hidden.
_FAULTS = (OSError, ValueError, RuntimeError)


class Observer(Protocol):
    """Is told of every event, in the first process only."""

    def begin(self, past: Sequence[Event]) -> None:
        """Called once before any event, with what the log keeps of the part that ran before."""
        ...

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

    def begin(self, past: Sequence[Event]) -> None:
        """Begins all."""
        self._tell(lambda observer: observer.begin(past))

    def on_event(self, event: Mapping[str, object]) -> None:
        """Tells all."""
        self._tell(lambda observer: observer.on_event(event))

    def close(self) -> None:
        """Closes all."""
        for observer in reversed(self._observers):
            try:
                observer.close()
            except _FAULTS as error:
                self._note(_reason(observer, error))
        self._observers.clear()

    def _tell(self, call: Callable[[Observer], object]) -> None:
        for observer in tuple(self._observers):
            try:
                call(observer)
            except _FAULTS as error:
                self._observers.remove(observer)
                # What is wrong with it is told; that it cannot be closed either adds nothing.
                with contextlib.suppress(*_FAULTS):
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
