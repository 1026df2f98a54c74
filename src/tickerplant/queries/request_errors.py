"""What a question is refused with: the exchange's codes and texts, as errors to raise.

Codes and texts are those of the error-code pages; -4021, -1130 and -4166 as production sends them.
"""

from __future__ import annotations

from tickerplant.errors import RequestError

SERVICE_UNAVAILABLE = 503


def unknown_yet(what: str, reason: str) -> RequestError:
    """The market is real but cannot say this yet; HTTP 503, because asking again may help."""
    return RequestError(-1000, f"{what} is not known: {reason}.", SERVICE_UNAVAILABLE)


def start_after_end() -> RequestError:
    """A window that ends before it begins."""
    return RequestError(-1023, "Start time is greater than end time.")


def illegal_characters(name: str, legal: str) -> RequestError:
    """A value of the right type that is not spelled as it must be."""
    return RequestError(
        -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."
    )


def not_sent(name: str) -> RequestError:
    """A question without a parameter that it needs."""
    return RequestError(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def empty(name: str) -> RequestError:
    """A parameter that may be left out was sent with nothing in it."""
    return RequestError(-1105, f"Parameter '{name}' was empty.")


def invalid_interval() -> RequestError:
    """A candle length the exchange does not have."""
    return RequestError(-1120, "Invalid interval.")


def invalid_symbol() -> RequestError:
    """A symbol the venue does not list."""
    return RequestError(-1121, "Invalid symbol.")


def invalid_symbol_status() -> RequestError:
    """A symbol that is announced and does not trade yet."""
    return RequestError(-1122, "Invalid symbol status.")


def invalid_combination() -> RequestError:
    """Parameters that exclude each other."""
    return RequestError(-1128, "Combination of optional parameters invalid.")


def not_valid(name: str) -> RequestError:
    """A value of the wrong type or out of bounds."""
    return RequestError(-1130, f"Data sent for parameter '{name}' is not valid.")


def invalid_statistic(name: str) -> RequestError:
    """The same of the statistics under `/futures/data`, in the words that production sends."""
    return RequestError(-1130, f"parameter '{name}' is invalid.")


def invalid_depth_limit(limit: int) -> RequestError:
    """A number of levels that is not one of those that may be asked for."""
    return RequestError(-4021, f"{limit} is not valid depth limit")


def invalid_coin_pair() -> RequestError:
    """A pair the venue does not list (COIN-M)."""
    return RequestError(-4087, "Invalid pair.")


def interval_too_long(days: int) -> RequestError:
    """A window that is too wide (COIN-M candles)."""
    return RequestError(-4088, f"Maximum time interval is {days} days.")


def invalid_pair() -> RequestError:
    """A pair the venue does not list (USDⓈ-M)."""
    return RequestError(-4144, "Invalid pair.")


def too_long_ago(days: int) -> RequestError:
    """A window that begins before what is kept (aggregate trades)."""
    return RequestError(-4166, f"Search window is restricted to recent {days} days only.")
