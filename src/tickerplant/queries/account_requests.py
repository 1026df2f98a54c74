"""The requests of the exchange that are about an account: orders, positions, settings, user streams.

They are rows, but no queries: this server has no accounts, so that each is refused as the exchange
refuses a request without a key (signed endpoints of both venues; WebSocket API pages).  Refused
with 401, never with 404: a client that is pointed here with its keys learns at once that its orders
go nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from tickerplant.venue import COINM, USDM, Venue

NO_ORDERS = "no orders"
"""The kind of complaint about such requests."""
NO_ORDERS_TEXT = "refused, key or not: there are no accounts and no orders here, only market data"


class AccountRequest(Struct, frozen=True, kw_only=True):
    """One path with one HTTP method, or one method of the WebSocket API."""

    venue: Venue
    path: str = ""
    """Its complete REST path; empty if it is a method of the WebSocket API."""
    http_method: str = ""
    method: str = ""
    """Its method of the WebSocket API; empty if it has a path."""
    weight: int
    """Its request weight, for one symbol where that makes a difference."""


_PATHS = {
    "v1/order": {"POST": 0, "PUT": 0, "DELETE": 1, "GET": 1},
    "v1/batchOrders": {"POST": 5, "PUT": 5, "DELETE": 1},
    "v1/allOpenOrders": {"DELETE": 1},
    "v1/countdownCancelAll": {"POST": 10},
    "v1/openOrder": {"GET": 1},
    "v1/openOrders": {"GET": 1},
    "v1/allOrders": {"GET": 5},
    "v1/orderAmendment": {"GET": 1},
    "v1/forceOrders": {"GET": 20},
    "v1/algoOrder": {"POST": 0, "DELETE": 1, "GET": 1},
    "v1/algoOpenOrders": {"DELETE": 1},
    "v1/openAlgoOrders": {"GET": 1},
    "v1/allAlgoOrders": {"GET": 5},
    "v1/listenKey": {"POST": 1, "PUT": 1, "DELETE": 1},
    "v1/account": {"GET": 5},
    "v1/balance": {"GET": 5},
    "v1/positionRisk": {"GET": 5},
    "v1/leverage": {"POST": 1},
    "v1/leverageBracket": {"GET": 1},
    "v1/marginType": {"POST": 1},
    "v1/positionMargin": {"POST": 1},
    "v1/positionMargin/history": {"GET": 1},
    "v1/positionSide/dual": {"POST": 1, "GET": 30},
    "v1/userTrades": {"GET": 5},
    "v1/income": {"GET": 30},
    "v1/income/asyn": {"GET": 5},
    "v1/income/asyn/id": {"GET": 5},
    "v1/order/asyn": {"GET": 5},
    "v1/order/asyn/id": {"GET": 5},
    "v1/trade/asyn": {"GET": 5},
    "v1/trade/asyn/id": {"GET": 5},
    "v1/commissionRate": {"GET": 20},
    "v1/adlQuantile": {"GET": 5},
    "v1/pmAccountInfo": {"GET": 5},
}
"""The paths of both venues below their prefix, with the weight by HTTP method (the pages of each;
ccxt's list where the documentation is silent)."""
_USDM_PATHS = {
    "v1/order/test": {"POST": 0},
    "v2/account": {"GET": 5},
    "v3/account": {"GET": 5},
    "v2/balance": {"GET": 5},
    "v3/balance": {"GET": 5},
    "v2/positionRisk": {"GET": 5},
    "v3/positionRisk": {"GET": 5},
    "v1/accountConfig": {"GET": 5},
    "v1/symbolConfig": {"GET": 5},
    "v1/rateLimit/order": {"GET": 1},
    "v1/apiTradingStatus": {"GET": 1},
    "v1/multiAssetsMargin": {"POST": 1, "GET": 30},
    "v1/feeBurn": {"POST": 1, "GET": 30},
    "v1/stock/contract": {"POST": 50, "GET": 50},
    "v1/convert/getQuote": {"POST": 50},
    "v1/convert/acceptQuote": {"POST": 200},
    "v1/convert/orderStatus": {"GET": 50},
    "v1/apiReferral/ifNewUser": {"GET": 1},
    "v1/apiReferral/customization": {"POST": 1, "GET": 1},
    "v1/apiReferral/userCustomization": {"POST": 1, "GET": 1},
    "v1/apiReferral/traderNum": {"GET": 1},
    "v1/apiReferral/overview": {"GET": 1},
    "v1/apiReferral/tradeVol": {"GET": 1},
    "v1/apiReferral/rebateVol": {"GET": 1},
    "v1/apiReferral/traderSummary": {"GET": 1},
}
_COINM_PATHS = {
    "v1/pmExchangeInfo": {"GET": 1},
    "v2/leverageBracket": {"GET": 1},
}
_METHODS = {
    "order.place": 0,
    "order.modify": 0,
    "order.cancel": 1,
    "order.status": 1,
    "account.status": 5,
    "account.balance": 5,
    "account.position": 5,
    "userDataStream.start": 1,
    "userDataStream.ping": 1,
    "userDataStream.stop": 1,
}
_USDM_METHODS = {
    "algoOrder.place": 0,
    "algoOrder.cancel": 1,
    "v2/account.status": 5,
    "v2/account.balance": 5,
    "v2/account.position": 5,
}


def _rows(
    venue: Venue, paths: Mapping[str, Mapping[str, int]], methods: Mapping[str, int]
) -> Iterator[AccountRequest]:
    """Yield the rows of a venue from the tables above."""
    for path, weights in paths.items():
        for verb, weight in weights.items():
            full = f"{venue.rest_prefix}/{path}"
            yield AccountRequest(venue=venue, path=full, http_method=verb, weight=weight)
    for method, weight in methods.items():
        yield AccountRequest(venue=venue, method=method, weight=weight)


ACCOUNT_REQUESTS: tuple[AccountRequest, ...] = (
    *_rows(USDM, _PATHS | _USDM_PATHS, _METHODS | _USDM_METHODS),
    *_rows(COINM, _PATHS | _COINM_PATHS, _METHODS),
)

_BY_METHOD = {(row.venue.name, row.method): row for row in ACCOUNT_REQUESTS if row.method}
_BY_PATH: dict[tuple[str, str], dict[str, AccountRequest]] = {}
for _row in ACCOUNT_REQUESTS:
    if _row.path:
        _BY_PATH.setdefault((_row.venue.name, _row.path), {})[_row.http_method] = _row


def find_account_method(venue: Venue, method: str) -> AccountRequest | None:
    """Return the row of a WebSocket API `method` of `venue`, or None."""
    return _BY_METHOD.get((venue.name, method))


def find_account_path(venue: Venue, path: str) -> dict[str, AccountRequest]:
    """Return the rows of a REST `path` of `venue` by HTTP method; empty if there are none."""
    return _BY_PATH.get((venue.name, path), {})
