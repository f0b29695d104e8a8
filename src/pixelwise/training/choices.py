"""Choices of a plan as they are made: values and reasons, and what a user fixed stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pixelwise.training.plan import TrainingPlan, make_plan

__all__ = ["GIVEN", "Choices"]

GIVEN = "as given"


class Choices:
    """A plan in the making.

    Args:
        fixed: what is not to be chosen.

    Raises:
        UsageError: lists every fixed choice that cannot be.
    """

    def __init__(self, fixed: Mapping[str, object]) -> None:
        draft = make_plan(fixed, where="the choices")
        self._fixed = {name: getattr(draft, name) for name in fixed}
        self._chosen: dict[str, Any] = {}
        self.reasons: dict[str, str] = dict.fromkeys(fixed, GIVEN)
        self.warnings: list[str] = []

    def set(self, name: str, value: object, reason: str) -> None:
        """Chooses, unless the user has."""
        if name not in self._fixed:
            self._chosen[name] = value
            self.reasons[name] = reason

    def take(self, name: str, value: object, reason: str) -> None:
        """Chooses for good, unless the user has: no rule chooses anew."""
        if name not in self._fixed:
            self._fixed[name] = value
            self.reasons[name] = reason

    def warn(self, text: str) -> None:
        """Notes what the user should know before the training begins."""
        self.warnings.append(text)

    def is_fixed(self, name: str) -> bool:
        """Whether it is no longer to be chosen."""
        return name in self._fixed

    @property
    def plan(self) -> TrainingPlan:
        """What is chosen so far; the rest as in any plan.

        Raises:
            UsageError: lists every choice that cannot be.
        """
        return make_plan({**self._chosen, **self._fixed}, where="the choices")
