"""Numbers in captured REST responses of the exchange, computed again."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs
from stage import BTCUSD_PERP, BTCUSDT

from tickerplant.instrument import Instrument, Scale, decimal_units
from tickerplant.market import figures
from tickerplant.market.minutes import Statistics

CAPTURES = Path(__file__).parents[2].parent / "shared" / "data" / "rest-gocryptotrader"

pytestmark = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the captures are not beside the repository"
)


def captured(venue: str, path: str) -> list[dict[str, Any]]:
    """Return the rows that the exchange returned on `path`."""
    rows = []
    with gzip.open(CAPTURES / f"{venue}.jsonl.gz") as lines:
        for line in lines:
            response = msgspec.json.decode(line)
            if response["path"].endswith(path):
                body = response["body"]
                rows += body if isinstance(body, list) else [body]
    return [row for row in rows if "code" not in row]


def instrument_of(model: Instrument, price: str, quantity: str) -> Instrument:
    """Return `model` with the decimals of `price` and `quantity`."""
    price_decimals, quantity_decimals = (len(text.partition(".")[2]) for text in (price, quantity))
    return structs.replace(model, price=Scale(price_decimals), quantity=Scale(quantity_decimals))


def statistics_of(instrument: Instrument, row: dict[str, Any], turnover: int) -> Statistics:
    prices, quantities = instrument.price.units, instrument.quantity.units
    return Statistics(
        open_time_ms=row["openTime"],
        open=prices[row["openPrice"]],
        high=prices[row["highPrice"]],
        low=prices[row["lowPrice"]],
        last=prices[row["lastPrice"]],
        last_quantity=quantities[row["lastQty"]],
        volume=quantities[row["volume"]],
        turnover=turnover,
        count=row["count"],
        first_trade_id=row["firstId"],
        last_trade_id=row["lastId"],
    )


def test_changes_and_averages_are_those_of_the_exchange() -> None:
    rows = [(BTCUSDT, row) for row in captured("usdm", "/ticker/24hr")]
    rows += [(BTCUSD_PERP, row) for row in captured("coinm", "/ticker/24hr")]
    assert len(rows) > 10, "there are captured rows to compare with"
    for model, row in rows:
        instrument = instrument_of(model, row["lastPrice"], row["volume"])
        if model is BTCUSD_PERP and row["pair"] != "BTCUSD":
            instrument = structs.replace(instrument, contract_size=10)
        printed_turnover = row.get("quoteVolume") or row["baseVolume"]
        decimals = instrument.turnover_decimals
        stats = statistics_of(instrument, row, decimal_units(printed_turnover, decimals))
        assert figures.change(instrument, stats) == row["priceChange"]
        assert figures.percent(stats) == row["priceChangePercent"]
        assert figures.ticker_turnover(instrument, stats.turnover) == printed_turnover
        # The exchange's turnover is rounded itself, so the average may miss the last digits.
        average = figures.weighted_average(instrument, stats)
        assert len(average) == len(row["weightedAvgPrice"]), "as many decimals"
        assert float(average) == pytest.approx(float(row["weightedAvgPrice"]), rel=1e-11)


@pytest.mark.parametrize(
    ("model", "venue", "key"), [(BTCUSDT, "usdm", "quoteQty"), (BTCUSD_PERP, "coinm", "baseQty")]
)
def test_the_values_of_trades_are_those_of_the_exchange(
    model: Instrument, venue: str, key: str
) -> None:
    rows = captured(venue, "/trades")
    assert len(rows) > 5, "there are captured rows to compare with"
    for row in rows:
        instrument = instrument_of(model, row["price"], row["qty"])
        price = instrument.price.units[row["price"]]
        quantity = instrument.quantity.units[row["qty"]]
        assert figures.trade_turnover(instrument, price, quantity) == row[key], row
