"""The table of the pages of the exchange's documentation, with what holds the server to each."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct
from page_text import Cells, code, table

from tickerplant.queries import QUERIES
from tickerplant.streams import CATALOGUE
from tickerplant.streams.pattern import Pattern

TESTS = Path(__file__).parents[2] / "tests"
sys.path.append(str(TESTS))

from coverage_of import covered  # noqa: E402  # it is found among the tests

DOCS = "https://developers.binance.com/docs/derivatives"
GOLDENS = TESTS / "goldens"
COINM = "coin-margined-futures"
USDM = "usds-margined-futures"
STREAMS = "websocket-market-streams"
REST = "market-data/rest-api"
API = "market-data/websocket-api"


class OfficialPage(Struct, frozen=True):
    """A page of one venue or both, and the rows that it documents."""

    section: str
    usdm: str
    coinm: str
    names: tuple[str, ...]

    def links(self) -> Iterator[str]:
        """Yield its links; that of COIN-M is short where the page has the same name."""
        if self.usdm:
            yield f"[{self.usdm}]({DOCS}/{USDM}/{self.section}/{self.usdm})"
        if self.coinm:
            shown = "COIN-M" if self.coinm == self.usdm else self.coinm
            yield f"[{shown}]({DOCS}/{COINM}/{self.section}/{self.coinm})"


def _page(section: str, usdm: str, *names: str, coinm: str | None = None) -> OfficialPage:
    """Return a page that both venues have by the same name, unless `coinm` says otherwise."""
    return OfficialPage(section, usdm, usdm if coinm is None else coinm, names)


PAGES = (
    _page(STREAMS, "Aggregate-Trade-Streams", "<symbol>@aggTrade"),
    _page(STREAMS, "Mark-Price-Stream", "<symbol>@markPrice", "<symbol>@markPrice@1s"),
    _page(
        STREAMS,
        "Mark-Price-Stream-for-All-market",
        "!markPrice@arr",
        "!markPrice@arr@1s",
        coinm="",
    ),
    _page(
        STREAMS,
        "",
        "<pair>@markPrice",
        "<pair>@markPrice@1s",
        coinm="Mark-Price-of-All-Symbols-of-a-Pair",
    ),
    _page(STREAMS, "", "<pair>@indexPrice", "<pair>@indexPrice@1s", coinm="Index-Price-Stream"),
    _page(STREAMS, "Kline-Candlestick-Streams", "<symbol>@kline_<interval>"),
    _page(
        STREAMS,
        "Continuous-Contract-Kline-Candlestick-Streams",
        "<pair>_<contractType>@continuousKline_<interval>",
    ),
    _page(
        STREAMS,
        "",
        "<pair>@indexPriceKline_<interval>",
        coinm="Index-Kline-Candlestick-Streams",
    ),
    _page(
        STREAMS,
        "",
        "<symbol>@markPriceKline_<interval>",
        coinm="Mark-Price-Kline-Candlestick-Streams",
    ),
    _page(STREAMS, "Individual-Symbol-Mini-Ticker-Stream", "<symbol>@miniTicker"),
    _page(STREAMS, "All-Market-Mini-Tickers-Stream", "!miniTicker@arr"),
    _page(STREAMS, "Individual-Symbol-Ticker-Streams", "<symbol>@ticker"),
    _page(STREAMS, "All-Market-Tickers-Streams", "!ticker@arr"),
    _page(STREAMS, "Individual-Symbol-Book-Ticker-Streams", "<symbol>@bookTicker"),
    _page(STREAMS, "All-Book-Tickers-Stream", "!bookTicker"),
    _page(STREAMS, "Liquidation-Order-Streams", "<symbol>@forceOrder"),
    _page(STREAMS, "All-Market-Liquidation-Order-Streams", "!forceOrder@arr"),
    _page(
        STREAMS,
        "Partial-Book-Depth-Streams",
        "<symbol>@depth<levels>",
        "<symbol>@depth<levels>@<speed>ms",
    ),
    _page(STREAMS, "Diff-Book-Depth-Streams", "<symbol>@depth", "<symbol>@depth@<speed>ms"),
    _page(STREAMS, "Diff-Book-Depth-Streams-RPI", "<symbol>@rpiDepth@500ms", coinm=""),
    _page(
        STREAMS,
        "Composite-Index-Symbol-Information-Streams",
        "<symbol>@compositeIndex",
        coinm="",
    ),
    _page(STREAMS, "Contract-Info-Stream", "!contractInfo"),
    _page(
        STREAMS,
        "Multi-Assets-Mode-Asset-Index",
        "!assetIndex@arr",
        "<assetSymbol>@assetIndex",
        coinm="",
    ),
    _page(STREAMS, "Trading-Session-Stream", "tradingSession", coinm=""),
    _page(API, "Order-Book", "depth", coinm=""),
    _page(API, "Symbol-Price-Ticker", "ticker.price", coinm=""),
    _page(API, "Symbol-Order-Book-Ticker", "ticker.book", coinm=""),
    _page(REST, "Test-Connectivity", "/v1/ping", coinm=""),
    _page(REST, "Check-Server-Time", "/v1/time", coinm=""),
    _page(REST, "Exchange-Information", "/v1/exchangeInfo"),
    _page(REST, "Order-Book", "/v1/depth"),
    _page(REST, "Order-Book-RPI", "/v1/rpiDepth", coinm=""),
    _page(REST, "Recent-Trades-List", "/v1/trades"),
    _page(REST, "Old-Trades-Lookup", "/v1/historicalTrades"),
    _page(REST, "Compressed-Aggregate-Trades-List", "/v1/aggTrades"),
    _page(REST, "Kline-Candlestick-Data", "/v1/klines"),
    _page(REST, "Continuous-Contract-Kline-Candlestick-Data", "/v1/continuousKlines"),
    _page(REST, "Index-Price-Kline-Candlestick-Data", "/v1/indexPriceKlines"),
    _page(REST, "Mark-Price-Kline-Candlestick-Data", "/v1/markPriceKlines"),
    _page(REST, "Premium-Index-Kline-Data", "/v1/premiumIndexKlines"),
    _page(REST, "Mark-Price", "/v1/premiumIndex", coinm="Index-Price-and-Mark-Price"),
    _page(
        REST,
        "Get-Funding-Rate-History",
        "/v1/fundingRate",
        coinm="Get-Funding-Rate-History-of-Perpetual-Futures",
    ),
    _page(REST, "Get-Funding-Rate-Info", "/v1/fundingInfo", coinm="Get-Funding-Info"),
    _page(REST, "24hr-Ticker-Price-Change-Statistics", "/v1/ticker/24hr"),
    _page(REST, "Symbol-Price-Ticker", "/v1/ticker/price"),
    _page(REST, "Symbol-Price-Ticker-v2", "/v2/ticker/price", coinm=""),
    _page(REST, "Symbol-Order-Book-Ticker", "/v1/ticker/bookTicker"),
    _page(REST, "Delivery-Price", "/futures/data/delivery-price", coinm=""),
    _page(REST, "Open-Interest", "/v1/openInterest"),
    _page(REST, "Open-Interest-Statistics", "/futures/data/openInterestHist"),
    _page(REST, "Top-Trader-Long-Short-Ratio", "/futures/data/topLongShortPositionRatio"),
    _page(REST, "Top-Long-Short-Account-Ratio", "/futures/data/topLongShortAccountRatio"),
    _page(REST, "Long-Short-Ratio", "/futures/data/globalLongShortAccountRatio"),
    _page(REST, "Taker-BuySell-Volume", "/futures/data/takerlongshortRatio", coinm=""),
    _page(REST, "", "/futures/data/takerBuySellVol", coinm="Taker-Buy-Sell-Volume"),
    _page(REST, "Basis", "/futures/data/basis"),
    _page(REST, "Composite-Index-Symbol-Information", "/v1/indexInfo", coinm=""),
    _page(REST, "Multi-Assets-Mode-Asset-Index", "/v1/assetIndex", coinm=""),
    _page(REST, "Index-Constituents", "/v1/constituents"),
    _page(REST, "Insurance-Fund-Balance", "/v1/insuranceBalance", coinm=""),
    _page(REST, "ADL-Risk", "/v1/symbolAdlRisk", coinm=""),
    _page(REST, "Trading-Schedule", "/v1/tradingSchedule", coinm=""),
    OfficialPage(
        "", "", "", ("<symbol>@trade", "<symbol>@depth@0ms", "<symbol>@indexPrice", "ping", "time")
    ),
)
"""The pages in the order of the exchange's menu; the last entry has what no page documents."""


def conformance() -> str:
    """Return the table of the pages, the rows of each, their goldens and property tests.

    Raises:
        ValueError: a stream or query is on no page here, or a page has one that does not exist.
    """
    rows = _rows()
    listed = [name for page in PAGES for name in page.names]
    if sorted(listed) != sorted(rows):
        raise ValueError(f"expected each row on one page: {sorted({*listed} ^ {*rows})}")
    head = "official page | row | golden | property test"
    return table(head, (_cells(page, rows) for page in PAGES))


def _cells(page: OfficialPage, rows: dict[str, tuple[str, str]]) -> Cells:
    goldens = dict.fromkeys(golden for name in page.names if (golden := rows[name][1]))
    proofs = dict.fromkeys(
        test.replace(".py::test_", ": ") for name in page.names for test in _proofs(rows[name][0])
    )
    return (
        ", ".join(page.links()) or "none",
        code(*page.names),
        code(*goldens),
        code(*proofs),
    )


def _proofs(name: str) -> Iterable[str]:
    return covered().get(name, ())[:1]


def _rows() -> dict[str, tuple[str, str]]:
    """Return each row by its short name, with the name that tests cover and its golden."""
    found = {}
    for stream in CATALOGUE:
        found[_short(stream.pattern)] = stream.pattern.text, _stream_golden(stream.pattern)
    for query in QUERIES:
        for name in filter(None, (query.method, query.path)):
            found[name] = name, _query_golden(name)
    return found


def _short(pattern: Pattern) -> str:
    """Return a name without the choices for its parts."""
    text = pattern.text
    for part, choices in pattern.parts.items():
        if choices:
            text = text.replace(f"<{part}:{'|'.join(choices)}>", f"<{part}>")
    return text


def _stream_golden(pattern: Pattern) -> str:
    """Return the name of a golden file of a stream: of BTCUSDT, or of the pair BTCUSD."""
    names = {path.stem for path in (GOLDENS / "streams").rglob("*.json")}
    choose = min if pattern.text.startswith("<pair>@") else max
    return choose(name for name in names if pattern.match(name) is not None)


def _query_golden(name: str) -> str:
    """Return the name of a golden file of a query."""
    short = name.removeprefix("/v1").removeprefix("/futures/data").strip("/").replace("/", ".")
    prefix, end = ("rest", "") if name.startswith("/") else ("wsapi", ".response")
    golden = f"{prefix}.{short}{end}"
    names = {path.stem for path in (GOLDENS / "queries").rglob("*.json")}
    return golden if golden in names else min(each for each in names if each.startswith(golden))
