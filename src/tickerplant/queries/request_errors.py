"""The errors that reject requests in several places, with the exchange's codes and texts.

Codes and texts are those of the error-code pages; -1130, and elsewhere -4021, -4108 and -4166, are
as production sends them.
"""

from __future__ import annotations

from tickerplant.errors import RequestError

BAD_KEY = -2014
SERVICE_UNAVAILABLE = 503


def unknown_yet(what: str, reason: str) -> RequestError:
    """The market exists but has no such data yet; HTTP 503, because a retry may succeed."""
    return RequestError(-1000, f"{what} is not known: {reason}.", SERVICE_UNAVAILABLE)


def illegal_characters(name: str, legal: str) -> RequestError:
    """A value of the right type in the wrong format."""
    return RequestError(
        -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."
    )


def not_sent(name: str) -> RequestError:
    """A required parameter is missing."""
    return RequestError(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def invalid_symbol() -> RequestError:
    """A symbol that the venue does not list."""
    return RequestError(-1121, "Invalid symbol.")


def invalid_combination() -> RequestError:
    """Parameters that exclude each other."""
    return RequestError(-1128, "Combination of optional parameters invalid.")


def not_valid(name: str) -> RequestError:
    """A value of the wrong type or out of bounds."""
    return RequestError(-1130, f"Data sent for parameter '{name}' is not valid.")


def invalid_statistic(name: str) -> RequestError:
    """The same error for the statistics under `/futures/data`, in production's words."""
    return RequestError(-1130, f"parameter '{name}' is invalid.")


def invalid_coin_pair() -> RequestError:
    """A pair that the venue does not list (COIN-M)."""
    return RequestError(-4087, "Invalid pair.")


def invalid_pair() -> RequestError:
    """A pair that the venue does not list (USDⓈ-M)."""
    return RequestError(-4144, "Invalid pair.")


def bad_key() -> RequestError:
    """A request that needs an API key has none (any is accepted), or is about an account or an order."""
    return RequestError(BAD_KEY, "API-key format invalid.", 401)
