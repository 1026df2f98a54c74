"""A market that lists just what a stream name speaks of, so that the real hub can be asked about it."""

from __future__ import annotations

from tickerplant.events import AssetIndex
from tickerplant.hub.hub import UNKNOWN_SYMBOL
from tickerplant.instrument import COMPOSITE, Instrument, Scale
from tickerplant.plant import Plant
from tickerplant.profile import Profile
from tickerplant.streams.pattern import Args
from tickerplant.streams.spelling import is_inverse
from tickerplant.venue import COINM, USDM, Venue

_ONE = 10**8


class _Listener:
    """Takes what nobody will send."""

    def write(self, data: bytes) -> None:
        """Do nothing with `data`."""


def pretend(args: Args, profile: Profile, *, strict: bool) -> Plant:
    """Return a plant that lists one contract, or asset, of the symbol or pair in `args`."""
    plant = Plant([_contract(args)], start_ms=0, profile=profile, strict_routing=strict)
    asset = args.get("assetSymbol", "anyusd").upper()
    plant.publish(AssetIndex(asset, _ONE, 0, 0, _ONE, _ONE, 0, 0, _ONE, _ONE, 0))
    return plant


def why_silent(plant: Plant, name: str, args: Args, venue: Venue, route: str) -> str | None:
    """Return why the stream `name` would be silent if its symbol were listed, None if it is not.

    Args:
        plant: What `pretend` returned.
        name: A stream that the venue knows.
        args: The variable parts of its name.
        venue: Whose connection it is.
        route: Path prefix of the connection, empty without one.
    """
    reason = plant.hubs[venue.name].subscribe(_Listener(), [name], route).get(name)
    if reason != UNKNOWN_SYMBOL:
        return reason
    listed = COINM if is_inverse(args.get("symbol", args.get("pair", ""))) else USDM
    if listed is venue:
        return f"{reason}: the stream is not about symbols of this form"
    return f"{reason}: it has the form of one of {listed.title}"


def _contract(args: Args) -> Instrument:
    """Return a contract of the symbol or pair in `args`, on the venue whose form it has."""
    symbol = args.get("symbol", args.get("pair", "any")).upper()
    pair = symbol.partition("_")[0] if "symbol" in args else symbol
    inverse = is_inverse(symbol)
    return Instrument(
        venue=COINM if inverse else USDM,
        # No contract of COIN-M is called like its pair.
        symbol=f"{pair}_PERP" if inverse and symbol == pair else symbol,
        pair=pair,
        contract_type=args.get("contractType", "PERPETUAL").upper(),
        base_asset="",
        quote_asset="",
        margin_asset="",
        price=Scale(2),
        quantity=Scale(0 if inverse else 3),
        tick_size=1,
        step_size=1,
        min_price=1,
        max_price=_ONE,
        min_quantity=1,
        max_quantity=_ONE,
        max_market_quantity=_ONE,
        underlying_type=COMPOSITE,
    )
