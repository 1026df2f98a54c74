"""What a server prints: its addresses when it is ready, and its totals at the end."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from tickerplant.formatting import count_text
from tickerplant.logs import logger
from tickerplant.plant import Plant
from tickerplant.server.totals import Totals as ServerTotals
from tickerplant.server.welcome import openable
from tickerplant.startup.lines import Addresses, Ready, Totals
from tickerplant.venue import USDM, VENUES, Venue

_SHELL_SAFE = re.compile(r"\w+")
"""A symbol that needs no quoting in a shell or in a URL."""


class Offer(Struct, frozen=True, kw_only=True):
    """What is served, and where."""

    urls: Mapping[str, str]
    """The address of each venue, `host:port`, by venue name."""
    hosts: Sequence[str] = ()
    """What the ports listen on."""
    schemes: tuple[str, str]
    """The URL schemes of streams and of REST."""
    profile: str
    """The name of the protocol profile."""
    symbol_counts: Mapping[str, int]
    """How many contracts there are, by venue name."""
    examples: Mapping[str, str]
    """A symbol of each venue that has one, for commands to paste."""
    origins: Mapping[str, str] = {}
    """Words about the origin of each market, by venue name."""
    notes: Sequence[str] = ()
    """What differs from the defaults, one line each."""
    authority: str = ""
    """The file that clients must trust; empty if there is none."""
    token: str = ""
    """The token of the control plane; empty if it needs none, or if it is not to be printed."""
    stands_still: bool = False
    """Whether market time waits to be resumed or stepped."""
    has_window: bool = False
    """Whether browsers get a page."""

    @property
    def venues(self) -> list[Venue]:
        """The venues that are served."""
        return [venue for venue in VENUES if venue.name in self.urls]

    def address(self, venue: Venue) -> str:
        """Return the address of a venue, as a program on this machine can open it."""
        return openable(self.urls[venue.name])


def examples_of(plant: Plant) -> dict[str, str]:
    """Return a symbol of each venue that has one, for commands to paste.

    An upstream chooses the symbols, and users paste these commands into a shell.
    """
    found = {
        name: next((each for each in markets.by_symbol if _SHELL_SAFE.fullmatch(each)), "")
        for name, markets in plant.venues.items()
    }
    return {name: symbol for name, symbol in found.items() if symbol}


def symbol_counts_of(plant: Plant) -> dict[str, int]:
    """Return how many contracts each venue has."""
    return {name: len(markets.by_symbol) for name, markets in plant.venues.items()}


def announce(offer: Offer, echo: Callable[[str], object], *, as_json: bool) -> None:
    """Print the addresses; what JSON has no place for goes to the log."""
    echo(ready_line(offer, as_json=as_json))
    for note in offer.notes if as_json else ():
        logger().info(f"= {note}")


def ready_line(offer: Offer, *, as_json: bool) -> str:
    """Return the addresses, as text or as one line of JSON."""
    return ready_json(offer) if as_json else ready_text(offer)


def totals_lines(
    totals: ServerTotals,
    events: int | None,
    seconds: float,
    ended: str,
    recorded: Sequence[str] = (),
    *,
    as_json: bool,
) -> list[str]:
    """Return what was served, as text or as one line of JSON."""
    if not as_json:
        return [totals_text(totals, events, seconds), *recorded]
    line = Totals(
        messages=totals.messages,
        bytes=totals.sent_bytes,
        connections=totals.connections,
        events=events or 0,
        seconds=round(seconds, 3),
        ended=ended,
        recorded=tuple(recorded),
    )
    return [msgspec.json.encode(line).decode()]


def ready_text(offer: Offer) -> str:
    """Return the addresses, one per line with the origin of the market, and commands to paste."""
    lines = []
    ws, http = offer.schemes
    trust = shlex.quote(offer.authority)
    curl = f"curl --cacert {trust}" if offer.authority else "curl"
    program = f"SSL_CERT_FILE={trust} {_program()}" if offer.authority else _program()
    for venue in offer.venues:
        address = offer.address(venue)
        origin = offer.origins.get(venue.name, "")
        lines.append(f"{venue.title:8} {ws}://{address}  {http}://{address}{origin}")
    if len(offer.hosts) > 1:
        lines.append(f"Each port listens on {', '.join(offer.hosts)}.")
    counts = offer.symbol_counts
    venue = next((each for each in offer.venues if counts.get(each.name)), offer.venues[0])
    symbol, address = offer.examples.get(venue.name, ""), offer.address(venue)
    of_venue = "" if venue is USDM else f" --venue {venue.name}"
    if not symbol and counts.get(venue.name):
        lines += ["Try:", f"  {curl} '{http}://{address}{venue.rest_prefix}/v1/exchangeInfo'"]
    elif symbol:
        lines += [
            "Try:",
            f"  {curl} '{http}://{address}{venue.rest_prefix}/v1/ticker/bookTicker?symbol={symbol}'",
            f"  {program} watch {symbol.lower()}@miniTicker --url {ws}://{address}{of_venue}",
        ]
    if offer.has_window:
        lines.append(f"In a browser: {http}://{address}/")
    if offer.token:
        lines += [
            "The control plane wants a token:",
            f"  {curl} -H 'Authorization: Bearer {offer.token}' {http}://{address}/plant/v1/clock",
        ]
    if offer.stands_still:
        token = f"TICKERPLANT_CONTROL_TOKEN={shlex.quote(offer.token)} " if offer.token else ""
        lines += [
            "Market time stands still; ten seconds of it pass with",
            f"  {token}{program} control step 10s --url {http}://{address}",
        ]
    if offer.authority:
        lines += [
            f"The certificate is of this machine's own authority, {offer.authority}. Programs trust it with",
            f"  SSL_CERT_FILE={trust}  (Python, Go)   NODE_EXTRA_CA_CERTS={trust}  (Node)",
        ]
    return "\n".join([*lines, *offer.notes])


def _program() -> str:
    """Return how this program is started in a shell here."""
    python = Path(sys.executable)
    program = python.with_name("tickerplant")
    if not program.is_file():
        return f"{_shown(python)} -m tickerplant"
    return program.name if shutil.which(program.name) == str(program) else _shown(program)


def _shown(path: Path) -> str:
    """Return a path, relative if it is in the current folder, for a shell."""
    with suppress(OSError, ValueError):  # the folder is gone, or another one
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path))


def totals_text(totals: ServerTotals, events: int | None, seconds: float) -> str:
    """Return the last line: what was served, and for how long."""
    served = f"{count_text(totals.messages, 'message')}, {count_text(totals.sent_bytes, 'byte')}"
    source = "" if events is None else f" from {count_text(events, 'event')}"
    clients = count_text(totals.connections, "connection")
    return f"Served {served}, to {clients}{source} in {seconds:.1f} s."


def ready_json(offer: Offer) -> str:
    """Return the addresses as one line of JSON; see `Ready`."""
    ws, http = offer.schemes
    venues = {
        venue.name: Addresses(
            streams=f"{ws}://{offer.address(venue)}",
            api=f"{ws}://{offer.address(venue)}{venue.api_path}",
            rest=f"{http}://{offer.address(venue)}",
            control=f"{http}://{offer.address(venue)}/plant/v1",
            symbols=offer.symbol_counts.get(venue.name, 0),
        )
        for venue in offer.venues
    }
    ready = Ready(
        profile=offer.profile,
        venues=venues,
        authority=offer.authority,
        token=offer.token,
        pid=os.getpid(),
    )
    return msgspec.json.encode(ready).decode()
