"""`python -m pixelwise`, and the `pixelwise` command."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command line; Ctrl-C ends it with exit code 130, also while it is still loading."""
    try:
        from pixelwise.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    finally:
        # CPython notes an interrupt that passes through an exec of a string, as dataclasses use,
        # and kills the process with SIGINT at its end, handled or not; the next exec clears that.
        exec("")  # noqa: S102


if __name__ == "__main__":
    main()
