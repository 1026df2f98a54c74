"""`python -m tickerplant` is `tickerplant`."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings

SHOWS_TRACEBACK = frozenset({"-v", "--verbose", "debug", "--log-level=debug"})
"""Words of the command line with which an unexpected error shows where it happened."""
UNEXPECTED = 2
"""The exit status of an unexpected error: the program did not start."""


def main() -> None:
    """Run the command line and exit."""
    is_shown = os.environ.get("TICKERPLANT_LOG_LEVEL") == "debug" or SHOWS_TRACEBACK & {
        *sys.argv[1:]
    }
    try:
        # Importing takes a while, and Ctrl-C may interrupt it.
        from tickerplant.stdio import install  # noqa: PLC0415

        install()
        from tickerplant.cli import main as run  # noqa: PLC0415

        run()
    except KeyboardInterrupt:
        _say_no_more()
        sys.exit(128 + signal.SIGINT)
    except Exception as error:  # noqa: BLE001  # whatever nobody has listed
        if is_shown:
            traceback.print_exc()
        else:
            _say_no_more()
        command = next((word for word in sys.argv[1:] if not word.startswith("-")), "it")
        where = "-v or TICKERPLANT_LOG_LEVEL=debug shows where"
        print(f"tickerplant: {command} failed: {_what(error)} ({where})", file=sys.stderr)  # noqa: T201
        sys.exit(UNEXPECTED)


def _say_no_more() -> None:
    """Write nothing about what was left half made."""
    sys.unraisablehook = lambda _: None
    warnings.simplefilter("ignore")


def _what(error: Exception) -> str:
    """Return on one line what failed."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = f"{type(error).__name__}: {error}"
    return "".join(each if each.isprintable() else " " for each in text).strip()


if __name__ == "__main__":
    main()
