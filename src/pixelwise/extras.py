"""Parts that are installed on demand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pixelwise.errors import MissingExtraError

__all__ = ["extra"]


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around imports that an extra brings: a missing package becomes an error that names it.

    Raises:
        MissingExtraError: a package other than pixelwise's own is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"", "pixelwise"}:
            raise
        raise MissingExtraError(
            f"the package {package} is not installed", fix=f'pip install "pixelwise[{name}]"'
        ) from error
