"""The underlyings of the simulated exchange, as rows, and a generator of more of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from math import floor, log10
from random import Random

from msgspec import Struct

from tickerplant.instrument import COMPOSITE
from tickerplant.units import DAY_MS

BORN_MS = 1_569_398_400_000
"""When the first contracts were listed (2019-09-25)."""
USUAL_ORDERS_PER_S = 0.345
"""Orders per second of generated underlyings."""


class Underlying(Struct, frozen=True):
    """A coin or another underlying, and its main contract, the `<name>USDT` perpetual."""

    name: str
    price: float
    """USD at the start of a simulation."""
    tick: str
    price_decimals: int
    """Decimals in which prices are written; never fewer than the tick has."""
    step: str
    daily_volatility: float
    """Standard deviation of the logarithm of a day's return."""
    beta: float
    """Correlation with the common factor of its sector."""
    orders_per_s: float
    """Taker orders on an ordinary day."""
    order_usd: float
    """Typical taker order."""
    touch_usd: float
    """Typical quantity at the best price."""
    min_notional: int = 5
    sub_type: str = "Layer-1"
    listed_days: int = 0
    """Days between the listing of the first contracts and of this one."""
    underlying_type: str = "COIN"
    """Its sector; the same news moves all underlyings of a sector."""
    funding_interval_hours: int = 8
    funding_cap: int = 2_000_000
    """Largest absolute funding rate of the contract, in integers of 10^-8."""

    @property
    def onboard_date_ms(self) -> int:
        """When the perpetual contract was listed."""
        return BORN_MS + self.listed_days * DAY_MS


COINS = (
    Underlying("BTC", 65_280.1, "0.10", 2, "0.001", 0.022, 0.92, 13.0, 1500, 170_000, 100, "PoW"),
    Underlying("ETH", 3_342.18, "0.01", 2, "0.001", 0.028, 0.92, 10.0, 620, 80_000, 20),
    Underlying(
        "SOL", 152.47, "0.0100", 4, "0.01", 0.038, 0.82, 4.2, 420, 60_000, 5, "Layer-1", 355
    ),
    Underlying(
        "XRP", 0.5864, "0.0001", 4, "0.1", 0.036, 0.74, 2.6, 380, 160_000, 5, "Payment", 103
    ),
    Underlying("BNB", 588.31, "0.010", 3, "0.01", 0.026, 0.78, 2.0, 360, 18_000, 5, "Layer-1", 138),
    Underlying("DOGE", 0.12184, "0.000010", 6, "1", 0.042, 0.78, 2.2, 260, 42_000, 5, "Meme", 289),
    Underlying("ADA", 0.4412, "0.00010", 5, "1", 0.036, 0.78, 1.3, 220, 60_000, 5, "Layer-1", 128),
    Underlying("AVAX", 27.415, "0.0010", 4, "1", 0.042, 0.80, 1.2, 240, 12_000, 5, "Layer-1", 364),
    Underlying(
        "LINK", 13.926, "0.001", 3, "0.01", 0.040, 0.80, 1.2, 230, 11_000, 20, "Oracle", 114
    ),
    Underlying("TRX", 0.12836, "0.00001", 5, "1", 0.024, 0.55, 0.9, 210, 24_000, 5, "Layer-1", 113),
    Underlying("DOT", 6.118, "0.001", 3, "0.1", 0.038, 0.80, 0.9, 190, 22_000, 5, "Layer-1", 330),
    Underlying("LTC", 72.34, "0.01", 2, "0.001", 0.034, 0.76, 0.9, 240, 21_000, 20, "Payment", 106),
    Underlying("BCH", 372.56, "0.01", 2, "0.001", 0.040, 0.74, 0.9, 260, 9_000, 20, "Payment", 84),
    Underlying("UNI", 7.856, "0.0010", 4, "1", 0.046, 0.72, 0.8, 200, 12_000, 5, "DeFi", 357),
    Underlying("NEAR", 5.436, "0.0010", 4, "1", 0.050, 0.78, 0.9, 200, 14_000, 5, "Layer-1", 384),
    Underlying(
        *("SUI", 0.9184, "0.000100", 6, "0.1", 0.054, 0.74, 1.2, 220, 15_000, 5, "Layer-1", 1317),
        funding_interval_hours=4,
    ),
    Underlying(
        *("APT", 6.7345, "0.00100", 5, "0.1", 0.048, 0.76, 0.8, 180, 9_000, 5, "Layer-1", 1119),
        funding_interval_hours=4,
    ),
    Underlying("FIL", 4.215, "0.001", 3, "0.1", 0.044, 0.78, 0.8, 180, 14_000, 5, "Storage", 386),
    Underlying("ATOM", 6.204, "0.001", 3, "0.01", 0.038, 0.78, 0.7, 170, 13_000, 5, "Layer-1", 137),
    Underlying("ETC", 22.814, "0.001", 3, "0.01", 0.040, 0.76, 0.8, 200, 8_000, 20, "PoW", 113),
    Underlying("AAVE", 94.37, "0.010", 3, "0.1", 0.046, 0.76, 0.8, 220, 9_000, 5, "DeFi", 385),
    Underlying(
        "ARB", 0.7123, "0.000100", 6, "0.1", 0.048, 0.80, 0.9, 180, 15_000, 5, "Layer-2", 1275
    ),
    Underlying(
        "OP", 1.6938, "0.0001000", 7, "0.1", 0.050, 0.80, 0.8, 180, 11_000, 5, "Layer-2", 980
    ),
    Underlying(
        *("1000PEPE", 0.0113942, "0.0000010", 7, "1", 0.062, 0.72, 1.6, 240, 18_000, 5, "Meme"),
        listed_days=1318,
        funding_interval_hours=4,
        funding_cap=3_000_000,
    ),
)
"""In the order of listing, the busiest coins first."""

TRADFI = (
    Underlying(
        *("XAU", 4_312.55, "0.01", 2, "0.001", 0.011, 0.5, 0.9, 420, 60_000, 5, "TradFi", 2_267),
        underlying_type="COMMODITY",
        funding_interval_hours=4,
    ),
    Underlying(
        *("TSLA", 402.35, "0.01", 2, "0.01", 0.032, 0.6, 0.6, 260, 14_000, 5, "TradFi", 2_316),
        underlying_type="EQUITY",
    ),
    Underlying(
        *("NVDA", 184.72, "0.01", 2, "0.01", 0.026, 0.7, 0.5, 260, 14_000, 5, "TradFi", 2_330),
        underlying_type="EQUITY",
    ),
    Underlying(
        *("SAMSUNG", 71.28, "0.01", 2, "0.01", 0.02, 0.6, 0.3, 240, 10_000, 5, "TradFi", 2_440),
        underlying_type="KR_EQUITY",
    ),
    Underlying(
        *("TENCENT", 82.64, "0.01", 2, "0.01", 0.02, 0.6, 0.3, 240, 10_000, 5, "TradFi", 2_490),
        underlying_type="HK_EQUITY",
    ),
    Underlying(
        *("CATL", 54.37, "0.01", 2, "0.01", 0.022, 0.6, 0.3, 240, 9_000, 5, "TradFi", 2_510),
        underlying_type="CN_EQUITY",
    ),
    Underlying(
        *("EUR", 1.1634, "0.0001", 4, "1", 0.005, 0.5, 0.4, 320, 40_000, 5, "TradFi", 2_470),
        underlying_type="FX",
    ),
)
"""Metals, shares and currencies, whose perpetual contracts have trading sessions."""

PREMARKET = Underlying(
    *("MEGA", 0.4127, "0.00010", 5, "1", 0.06, 0.6, 0.5, 140, 6_000, 5, "Pre-Market", 2_400),
    underlying_type="PREMARKET",
)
"""A coin whose contract trades before the coin does."""

INDEX = Underlying(
    *("DEFI", 812.4, "0.1", 1, "0.001", 0.036, 0.95, 0.4, 160, 5_000, 5, "Index", 340),
    underlying_type=COMPOSITE,
)
"""A composite index."""
INDEX_SHARES = (("AAVE", 0.26), ("LINK", 0.24), ("UNI", 0.22), ("AVAX", 0.18), ("NEAR", 0.10))
"""The coins of the composite index, and their shares of it at the start of a simulation."""

UNDERLYINGS = {coin.name: coin for coin in (*COINS, *TRADFI, INDEX, PREMARKET)}


UNUSUAL = (
    *("币安人生", "W", "1000SHIB", "4", "我踏马来了", "1INCH", "龙虾", "H", "0G", "测试测试"),
    *("1000BONK", "A", "1MBABYDOGE", "T", "2Z", "S", "1000FLOKI", "B", "1000XEC", "C", "42", "D"),
    *("1000LUNC", "F", "1000SATS", "G", "1000RATS", "M", "1000CAT", "Q", "1000000MOG", "1000X"),
    *("1000CHEEMS", "1000WHY", "1000000BOB"),
)
"""Names of coins that are not ASCII, have one letter or begin with a digit, as the exchange has."""


def underlying_named(name: str) -> Underlying:
    """Return the underlying called `name`: its row, or one generated from the name."""
    return UNDERLYINGS.get(name) or generate_underlying(name)


_SYLLABLES = (
    "ze",
    "ra",
    "nor",
    "lu",
    "mi",
    "tek",
    "sol",
    "va",
    "qui",
    "dex",
    "fi",
    "ko",
    "pla",
    "ur",
)
_SUB_TYPES = ("Layer-1", "Layer-2", "DeFi", "Meme", "Gaming", "AI", "RWA", "Infrastructure")


def generate_underlyings() -> Iterator[Underlying]:
    """Yield further underlyings without end, always the same ones."""
    for number in count():
        yield generate_underlying(_name(number))


def _name(number: int) -> str:
    """Return the name of the underlying `number`; no two numbers share a name."""
    size = len(_SYLLABLES)
    length = 2 if number < size**2 // 2 else 3
    digits = number * 2_053 + 97  # coprime to the number of syllables: a permutation
    letters = []
    for place in range(length):
        digits, digit = divmod(digits, size)
        letters.append(_SYLLABLES[(digit + 5 * place) % size])
    suffix = str(number) if number >= size**3 // 2 else ""
    return "".join(letters).upper() + suffix


def generate_underlying(name: str) -> Underlying:
    """Return an average coin of the given name, always the same for that name."""
    random = Random(f"coin {name}")
    price = 10 ** random.uniform(-2.6, 2.4)
    tick_decimals = 3 - floor(log10(price)) + (random.random() < 0.4)
    tick_decimals = min(max(tick_decimals, 2), 7)
    step_decimals = min(max(floor(log10(price)) + 1, 0), 3)
    volatility = random.uniform(0.04, 0.075)
    orders_per_s = USUAL_ORDERS_PER_S * random.uniform(0.6, 1.4)
    tick_bp = 10**-tick_decimals / price * 1e4
    return Underlying(
        name,
        round(price, tick_decimals),
        f"{10**-tick_decimals:.{tick_decimals}f}",
        min(tick_decimals + (random.random() < 0.3), 7),
        f"{10**-step_decimals:.{step_decimals}f}",
        volatility,
        random.uniform(0.55, 0.82),
        orders_per_s,
        random.uniform(60, 200),
        random.uniform(1_500, 6_000) * (1 + tick_bp),
        5,
        random.choice(_SUB_TYPES),
        400 + int(random.random() * 1_500),
    )


MILLION = 10**6
CIRCULATING_MILLIONS = {
    "BTC": 19.95,
    "ETH": 120.7,
    "SOL": 545.0,
    "XRP": 59_900.0,
    "BNB": 139.0,
    "DOGE": 151_200.0,
    "ADA": 35_800.0,
    "AVAX": 426.0,
    "LINK": 696.0,
    "TRX": 94_700.0,
    "DOT": 1_620.0,
    "LTC": 76.4,
    "BCH": 19.9,
    "UNI": 630.0,
    "NEAR": 1_270.0,
    "SUI": 3_620.0,
    "APT": 710.0,
    "FIL": 690.0,
    "ATOM": 470.0,
    "ETC": 153.0,
    "AAVE": 15.2,
    "ARB": 5_500.0,
    "OP": 1_880.0,
    "1000PEPE": 420_690.0,
}
"""Millions of coins."""
GENERATED_VALUE_USD = (2e7, 4e8)
"""Smallest and largest market capitalisation of a generated coin."""


def circulating_supply(coin: Underlying) -> int:
    """Return the number of coins in circulation; 0 for other underlyings."""
    if coin.underlying_type != "COIN":
        return 0
    known = CIRCULATING_MILLIONS.get(coin.name)
    if known is not None:
        return round(known * MILLION)
    return round(Random(f"supply {coin.name}").uniform(*GENERATED_VALUE_USD) / coin.price)
