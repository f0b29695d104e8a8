"""From flags to the options of a method."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixelwise.class_entries import listed, shown
from pixelwise.classical.methods import Method
from pixelwise.classical.seeds import Point, parse_points
from pixelwise.errors import SettingsError, UsageError

__all__ = ["method_options", "read_seeds"]

# What is no single number.
_FLAGS = {"box", "circle", "contour", "names", "seeds"}
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def method_options(
    method: Method,
    *,
    pairs: Sequence[str],
    box: str | None,
    circle: str | None,
    contour: str | None,
    names: str | None,
    given: dict[str, Any],
) -> dict[str, Any]:
    """The options of one call; all that is wrong with them is told at once.

    Args:
        method: which they are for.
        pairs: "name=value".
        box: as it is written on the command line, as the next three are.
        circle: x, y, radius.
        contour: corners.
        names: classes of seeds.
        given: options that have a flag of their own; None where the flag was not given.

    Raises:
        SettingsError: lists texts that cannot be read, and options that the method does not have.
    """
    faults: list[str] = []
    options = {name: value for name, value in given.items() if value is not None}
    for pair in pairs:
        key, equals, text = (part.strip() for part in pair.partition("="))
        name = key.replace("-", "_")
        if not equals:
            faults.append(f"--set {shown(pair)}: expected NAME=VALUE")
        elif name in _FLAGS:
            faults.append(f"--set {shown(pair)}: it has a flag of its own, --{name}")
        else:
            options[name] = _value(method, name, text)
    if box is not None:
        options["box"] = _numbers("--box", box, "X1,Y1,X2,Y2", int, faults)
    if circle is not None:
        options["circle"] = _numbers("--circle", circle, "X,Y,RADIUS", float, faults)
    if contour is not None:
        points = contour.split()
        options["contour"] = [_numbers("--contour", p, "X,Y X,Y …", float, faults) for p in points]
    if names is not None:
        options["names"] = tuple(name.strip() for name in names.split(","))
    try:
        method.check(options)
    except SettingsError as error:
        faults.append(error.got)
    if faults:
        raise SettingsError(
            "the method cannot be run so",
            where=f"method {method.name}",
            got=listed(faults),
            fix="correct all that is listed",
        )
    return options


def read_seeds(texts: Sequence[str]) -> Path | tuple[Point, ...]:
    """A file or folder of scribbles, or points.

    Raises:
        UsageError: the texts are neither.
    """
    # Path.exists raises on names that are too long; this does not.
    paths = [Path(text) for text in texts if os.path.exists(text)]  # noqa: PTH110
    if not paths:
        return parse_points(texts)
    if len(texts) > 1:
        raise UsageError(
            "seeds are one file or folder of scribbles, or points",
            got=", ".join(map(shown, texts)),
            fix="draw all classes into one file, each with its id",
        )
    return paths[0]


def _value(method: Method, name: str, text: str) -> Any:
    """The text as the type of the option's default; else itself, which the method refuses."""
    option = method.options.get(name)
    default = None if option is None else option.default
    if isinstance(default, bool):
        return _TRUTHS.get(text.lower(), text)
    try:
        return type(default)(text) if isinstance(default, int | float) else text
    except ValueError:
        return text


def _numbers(flag: str, text: str, form: str, kind: type, faults: list[str]) -> tuple[Any, ...]:
    count = len(form.split(maxsplit=1)[0].split(","))
    try:
        numbers = tuple(kind(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        faults.append(f"{flag} {shown(text)}: expected {form}")
    return numbers
