"""What a server prints: its addresses when it is ready, and its totals at the end."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tickerplant.formatting import count_text
from tickerplant.plant import Plant
from tickerplant.server.faults import faults_text
from tickerplant.server.pages import LIMITS_OFF
from tickerplant.server.server import Server
from tickerplant.serving.lines import Addresses, Ready, Totals
from tickerplant.venue import USDM, VENUES, Venue

_SHELL_SAFE = re.compile(r"\w+")
"""A symbol that needs no quoting in a shell or in a URL."""


def ready_text(
    server: Server, plant: Plant, origins: Mapping[Venue, str], authority: str = ""
) -> str:
    """Return the addresses, one per line with the origin of the market, and commands to paste.

    Args:
        server: The server, started.
        plant: What it serves.
        origins: Words about the origin of each market.
        authority: The file that clients must trust; the text explains how, if there is one.
    """
    lines = []
    ws, http = server.schemes
    trust = shlex.quote(authority)
    curl = f"curl --cacert {trust}" if authority else "curl"
    program = f"SSL_CERT_FILE={trust} {_program()}" if authority else _program()
    served = [venue for venue in VENUES if venue.name in server.urls]
    for venue in served:
        address = server.urls[venue.name]
        lines.append(
            f"{venue.title:8} {ws}://{address}  {http}://{address}{origins.get(venue, '')}"
        )
    venue = next((each for each in served if len(plant.venues[each.name])), served[0])
    symbols = plant.venues[venue.name].by_symbol
    # An upstream chooses the symbols, and users paste these commands into a shell.
    symbol = next((each for each in symbols if _SHELL_SAFE.fullmatch(each)), "")
    address = server.urls[venue.name]
    of_venue = "" if venue is USDM else f" --venue {venue.name}"
    if not symbol and symbols:
        lines += ["Try:", f"  {curl} '{http}://{address}{venue.rest_prefix}/v1/exchangeInfo'"]
    elif symbol:
        lines += [
            "Try:",
            f"  {curl} '{http}://{address}{venue.rest_prefix}/v1/ticker/bookTicker?symbol={symbol}'",
            f"  {program} watch {symbol.lower()}@miniTicker --url {ws}://{address}{of_venue}",
        ]
    if authority:
        lines += [
            f"The certificate is of this machine's own authority, {authority}. Programs trust it with",
            f"  SSL_CERT_FILE={trust}  (Python, Go)   NODE_EXTRA_CA_CERTS={trust}  (Node)",
        ]
    if not server.limits.enforced:
        lines.append(LIMITS_OFF)
    if server.faults.is_on:
        lines.append(faults_text(server.faults.values))
    return "\n".join(lines)


def _program() -> str:
    """Return how this program is started in a shell here."""
    python = Path(sys.executable)
    program = python.with_name("tickerplant")
    if not program.is_file():
        return f"{_shown(python)} -m tickerplant"
    return program.name if shutil.which(program.name) == str(program) else _shown(program)


def _shown(path: Path) -> str:
    """Return a path, relative if it is in the current folder, for a shell."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def totals_text(server: Server, plant: Plant, seconds: float) -> str:
    """Return the last line: what was served, and for how long."""
    totals = server.totals
    served = f"{count_text(totals.messages, 'message')}, {count_text(totals.sent_bytes, 'byte')}"
    events = count_text(plant.published.total(), "event")
    clients = count_text(totals.connections, "connection")
    return f"Served {served}, to {clients} from {events} in {seconds:.1f} s."


def ready_json(
    server: Server, plant: Plant, _origins: Mapping[Venue, str], authority: str = ""
) -> str:
    """Return the addresses as one line of JSON; see `Ready`."""
    ws, http = server.schemes
    venues = {
        venue.name: Addresses(
            streams=f"{ws}://{server.urls[venue.name]}",
            api=f"{ws}://{server.urls[venue.name]}{venue.api_path}",
            rest=f"{http}://{server.urls[venue.name]}",
            symbols=len(plant.venues[venue.name].by_symbol),
        )
        for venue in VENUES
        if venue.name in server.urls
    }
    ready = Ready(profile=plant.profile.name, venues=venues, authority=authority)
    return msgspec.json.encode(ready).decode()


def totals_json(
    server: Server, plant: Plant, seconds: float, ended: str, recorded: Sequence[str]
) -> str:
    """Return what was served as one line of JSON; see `Totals`."""
    totals = server.totals
    line = Totals(
        messages=totals.messages,
        bytes=totals.sent_bytes,
        connections=totals.connections,
        events=plant.published.total(),
        seconds=round(seconds, 3),
        ended=ended,
        recorded=tuple(recorded),
    )
    return msgspec.json.encode(line).decode()
