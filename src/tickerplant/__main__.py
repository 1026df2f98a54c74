"""`python -m tickerplant` is `tickerplant`."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command line and exit."""
    try:
        # Importing takes a while, and Ctrl-C may interrupt it.
        from tickerplant.cli import main as run  # noqa: PLC0415
        from tickerplant.stdio import install  # noqa: PLC0415

        install()
        run()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
