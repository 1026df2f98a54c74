"""The errors of rejected requests, with the exchange's codes and texts.

Codes and texts are those of the error-code pages; -4021, -4108, -1130 and -4166 are as production
sends them.
"""

from __future__ import annotations

from tickerplant.errors import RequestError

BAD_KEY = -2014
SERVICE_UNAVAILABLE = 503


def unknown_yet(what: str, reason: str) -> RequestError:
    """The market exists but has no such data yet; HTTP 503, because a retry may succeed."""
    return RequestError(-1000, f"{what} is not known: {reason}.", SERVICE_UNAVAILABLE)


def start_after_end() -> RequestError:
    """A window that ends before it begins."""
    return RequestError(-1023, "Start time is greater than end time.")


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


def empty(name: str) -> RequestError:
    """An optional parameter is empty."""
    return RequestError(-1105, f"Parameter '{name}' was empty.")


def invalid_interval() -> RequestError:
    """An interval that the exchange does not have."""
    return RequestError(-1120, "Invalid interval.")


def invalid_symbol() -> RequestError:
    """A symbol that the venue does not list."""
    return RequestError(-1121, "Invalid symbol.")


def invalid_symbol_status() -> RequestError:
    """A symbol that is announced but does not trade yet, or the candles of one that is being settled."""
    return RequestError(-1122, "Invalid symbol status.")


def invalid_combination() -> RequestError:
    """Parameters that exclude each other."""
    return RequestError(-1128, "Combination of optional parameters invalid.")


def not_valid(name: str) -> RequestError:
    """A value of the wrong type or out of bounds."""
    return RequestError(-1130, f"Data sent for parameter '{name}' is not valid.")


def invalid_statistic(name: str) -> RequestError:
    """The same error for the statistics under `/futures/data`, in production's words."""
    return RequestError(-1130, f"parameter '{name}' is invalid.")


def not_trading() -> RequestError:
    """The present open interest of a contract that does not trade yet, or not any more."""
    return RequestError(
        -4108, "Symbol is on delivering or delivered or settling or closed or pre-trading."
    )


def invalid_depth_limit(limit: int) -> RequestError:
    """A number of levels that the exchange does not offer."""
    return RequestError(-4021, f"{limit} is not valid depth limit")


def invalid_coin_pair() -> RequestError:
    """A pair that the venue does not list (COIN-M)."""
    return RequestError(-4087, "Invalid pair.")


def interval_too_long(days: int) -> RequestError:
    """A window that is too wide (COIN-M candles)."""
    return RequestError(-4088, f"Maximum time interval is {days} days.")


def invalid_pair() -> RequestError:
    """A pair that the venue does not list (USDⓈ-M)."""
    return RequestError(-4144, "Invalid pair.")


def too_long_ago(days: int) -> RequestError:
    """A window that begins before the searchable time (aggregate trades)."""
    return RequestError(-4166, f"Search window is restricted to recent {days} days only.")


def bad_key() -> RequestError:
    """A request that needs an API key has none (any is accepted), or is about an account or an order."""
    return RequestError(BAD_KEY, "API-key format invalid.", 401)
