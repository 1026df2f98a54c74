"""The official npm clients: starts their program, `npm_official.mjs`, with what others import."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from compat.channels import events_of, names
from compat.trial import COINM, USDM, Trial

FOLDER = Path(sys.prefix)
"""Where the packages are: the environment of this program."""


def main() -> None:
    """Try the clients of both venues."""
    trial = Trial("npm")
    contracts = {venue: trial.contracts(venue) for venue in (USDM, COINM)}
    streams = [stream for venue, each in contracts.items() for stream in names(venue, each)]
    asked = {
        "folder": str(FOLDER),
        "server": asdict(trial.server),
        "contracts": {venue: asdict(each) for venue, each in contracts.items()},
        "events": sorted(set[str]().union(*map(events_of, streams))),
    }
    script = Path(__file__).with_suffix(".mjs")
    subprocess.run(  # noqa: S603  # our own words
        [str(FOLDER / "bin" / "node"), str(script), json.dumps(asked)],
        stdout=trial.out, check=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
