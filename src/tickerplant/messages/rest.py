"""What REST responds with, and no stream carries: instruments and funding rates."""

from __future__ import annotations

from msgspec import Struct, field

PERPETUAL = "PERPETUAL"


class FundingRate(Struct, kw_only=True, frozen=True):
    """One funding payment of a perpetual contract, a row of `fundingRate`."""

    symbol: str
    funding_time_ms: int = field(name="fundingTime")
    """When it was paid; may be a few ms after the hour."""
    funding_rate: str = field(name="fundingRate")
    """Paid by long positions if it is positive, as a share of the value of the position."""
    mark_price: str = field(name="markPrice", default="")
    """The mark price at that time; empty for old payments, and for all in old versions of COIN-M."""
    rate_type: str = field(name="rateType", default="")
    """`Regular`, rarely another; empty in old versions of the protocol."""


class Instrument(Struct, kw_only=True, frozen=True):
    """One contract and its rules, an entry of `exchangeInfo`.

    Prices and quantities are the text that the exchange sent; those of a filter that the exchange
    leaves out are empty.
    """

    symbol: str
    pair: str = ""
    contract_type: str = field(name="contractType", default="")
    """`PERPETUAL`, `CURRENT_QUARTER`, `NEXT_QUARTER`, `TRADIFI_PERPETUAL`, …"""
    status: str = ""
    """`TRADING`, `PENDING_TRADING`, `SETTLING`, …; the key of COIN-M is `contractStatus`."""
    onboard_time_ms: int = field(name="onboardDate", default=0)
    """When trading began."""
    delivery_time_ms: int = field(name="deliveryDate", default=0)
    """When it is delivered; far in the future for a perpetual contract."""
    base_asset: str = field(name="baseAsset", default="")
    quote_asset: str = field(name="quoteAsset", default="")
    margin_asset: str = field(name="marginAsset", default="")
    contract_size: int | None = field(name="contractSize", default=None)
    """The value of one contract in the quote asset on COIN-M; None on USDⓈ-M, where quantities are in
    the base asset."""
    underlying_type: str = field(name="underlyingType", default="")
    """`COIN`, `INDEX`, `EQUITY`, `COMMODITY`, `PREMARKET`, `KR_EQUITY`, `HK_EQUITY`, `CN_EQUITY` or
    `FX`."""
    underlying_subtypes: tuple[str, ...] = field(name="underlyingSubType", default=())
    tick_size: str = field(name="PRICE_FILTER.tickSize", default="")
    """The smallest difference of two prices."""
    min_price: str = field(name="PRICE_FILTER.minPrice", default="")
    max_price: str = field(name="PRICE_FILTER.maxPrice", default="")
    step_size: str = field(name="LOT_SIZE.stepSize", default="")
    """The smallest difference of two quantities of limit orders."""
    min_quantity: str = field(name="LOT_SIZE.minQty", default="")
    max_quantity: str = field(name="LOT_SIZE.maxQty", default="")
    market_step_size: str = field(name="MARKET_LOT_SIZE.stepSize", default="")
    """The smallest difference of two quantities of market orders."""
    market_min_quantity: str = field(name="MARKET_LOT_SIZE.minQty", default="")
    market_max_quantity: str = field(name="MARKET_LOT_SIZE.maxQty", default="")
    min_notional: str = field(name="MIN_NOTIONAL.notional", default="")
    """The smallest value of an order in the quote asset; empty on COIN-M."""
    price_precision: int = field(name="pricePrecision", default=0)
    """Decimals of a price, which may be more than those of the tick size."""
    quantity_precision: int = field(name="quantityPrecision", default=0)

    @property
    def is_perpetual(self) -> bool:
        """Whether it is never delivered."""
        return self.contract_type.endswith(PERPETUAL)

    @property
    def is_trading(self) -> bool:
        """Whether orders are accepted now."""
        return self.status == "TRADING"
