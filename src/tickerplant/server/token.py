"""The token of a control plane, and how fast it may be guessed."""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest

from tickerplant.logs import logger
from tickerplant.server.guard import Refusal
from tickerplant.server.proxies import parsed_address

AUTHORIZATION = b"authorization"
"""The header of the token."""
SHORTEST = 16
"""Characters of a token that others may guess at."""
GUESSES = 10
"""Wrong tokens that an address may send at once."""
GUESS_MS = 6_000
"""How long an address waits for each further one."""
MAX_ADDRESSES = 4_096
"""Addresses whose guesses are remembered; the one that guessed least recently is forgotten first."""
LOGGED_EVERY_MS = 60_000
"""How often wrong tokens are logged while they come, besides the 1st, the 10th, the 100th and so on."""
_BEARER = b"bearer"


class Token:
    """The token of a control plane, without which its operations are refused."""

    def __init__(self, text: str = "") -> None:
        self._wanted = text.encode()
        self._even_ms: dict[str, int] = {}
        """When each address has waited for all its guesses, the least recent guess first."""
        self._wrong_count = 0
        self._log_at_ms = 0

    @property
    def is_needed(self) -> bool:
        """Whether requests need it."""
        return bool(self._wanted)

    def refusal(self, headers: Mapping[bytes, bytes], address: str, now_ms: int) -> Refusal | None:
        """Return why a request is refused; None if the token opens it.

        The time that it takes does not tell how wrong a token is.  An address that has guessed too
        often waits, whatever it sends; others do not.
        """
        if not self._wanted:
            return None
        given = headers.get(AUTHORIZATION)
        if given is None:
            return _unauthorized("no token", "no token")
        client = _guesser(address)
        even_ms = max(self._even_ms.get(client, 0), now_ms)
        wait_s = -(-(even_ms - now_ms - (GUESSES - 1) * GUESS_MS) // 1_000)
        scheme, _, text = given.strip().partition(b" ")
        if wait_s <= 0 and compare_digest(text.strip(), self._wanted) and scheme.lower() == _BEARER:
            return None
        self._log(address, now_ms)
        if wait_s > 0:
            error = f"too many wrong tokens came from this address: wait for {wait_s} s"
            return Refusal(429, error, "", (("Retry-After", str(wait_s)),))
        self._even_ms.pop(client, None)
        self._even_ms[client] = even_ms + GUESS_MS
        if len(self._even_ms) > MAX_ADDRESSES:
            del self._even_ms[next(iter(self._even_ms))]
        return _unauthorized("the token is not that of this server", "")

    def _log(self, address: str, now_ms: int) -> None:
        """Count a wrong token, and log from time to time how many came."""
        self._wrong_count += 1
        if now_ms >= self._log_at_ms or f"{self._wrong_count}".strip("0") == "1":
            logger().warning("! wrong tokens", count=self._wrong_count, peer=address)
            self._log_at_ms = now_ms + LOGGED_EVERY_MS


def _unauthorized(problem: str, logged: str) -> Refusal:
    return Refusal(
        401,
        f"{problem}: send the header 'Authorization: Bearer TOKEN' with the one of "
        "--control-token, or that a test server printed",
        logged,
        (("WWW-Authenticate", 'Bearer realm="tickerplant"'),),
    )


def _guesser(address: str) -> str:
    """Return who guesses: an address, or the network of IPv6 that one client usually has."""
    found = parsed_address(address)
    if found is None or found.version == 4:
        return str(found or address)
    return f"{int(found) >> 64:x}::/64"
