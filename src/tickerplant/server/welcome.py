"""The text of `/`: where a server can be reached, and what differs from the defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tickerplant.faults.board import FaultBoard, faults_text
from tickerplant.protocol.limits import Limits
from tickerplant.server.proxies import is_loopback
from tickerplant.venue import VENUES

ANY_IPV4, ANY_IPV6 = "0.0.0.0", "::"  # noqa: S104  # nothing is bound here
"""All addresses of a machine."""
LOCKED = "The control plane, /plant/v1/, needs a token: --control-token."
ONLY_HERE = (
    "Without a token (--control-token), only the machine of the plant can use the control plane, "
    "/plant/v1/; others can read the market."
)
LIMITS_OFF = "Limits are off: exceeding one is counted, and nothing is refused for it."


def is_reached_from_elsewhere(addresses: Mapping[str, str]) -> bool:
    """Return whether other machines may reach a server."""
    hosts = (address.rpartition(":")[0].strip("[]") for address in addresses.values())
    return any(not is_loopback(host) for host in hosts)


def openable(address: str) -> str:
    """Return an address, `host:port`, as this machine can open it: loopback for all addresses."""
    host, _, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if host.strip("[]") in {ANY_IPV4, ANY_IPV6} else address


def welcome_text(
    addresses: Mapping[str, str],
    schemes: tuple[str, str],
    *,
    limits: Limits,
    faults: FaultBoard,
    paths: Iterable[str],
    has_token: bool = False,
) -> str:
    """Return the text of `/`."""
    ws, http = schemes
    lines = ["Tickerplant, a futures market-data exchange feed", ""]
    for venue in VENUES:
        if venue.name not in addresses:
            continue
        address = openable(addresses[venue.name])
        lines += [
            venue.title,
            f"  streams        {ws}://{address}/ws  {ws}://{address}/stream",
            f"  WebSocket API  {ws}://{address}{venue.api_path}",
            f"  REST           {http}://{address}{venue.rest_prefix}/v1/exchangeInfo",
        ]
    if not limits.enforced:
        lines += ["", LIMITS_OFF]
    if len(faults):
        lines += ["", faults_text(faults)]
    if has_token:
        lines += ["", LOCKED]
    elif is_reached_from_elsewhere(addresses):
        lines += ["", ONLY_HERE]
    return "\n".join([*lines, "", "  ".join(paths), ""])
