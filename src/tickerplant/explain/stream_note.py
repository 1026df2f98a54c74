"""The explanation of one stream, computed by the real hub over a made-up market."""

from __future__ import annotations

from msgspec import Struct

from tickerplant.events import AssetIndex
from tickerplant.hub.hub import UNKNOWN_STREAM, UNKNOWN_SYMBOL, WRONG_ROUTE
from tickerplant.instrument import COMPOSITE, Instrument, Scale
from tickerplant.plant import Plant
from tickerplant.profile import Profile
from tickerplant.streams import find, resolve
from tickerplant.streams.pattern import Args
from tickerplant.streams.spelling import is_inverse, only_under, spelling_error
from tickerplant.streams.stream import Route
from tickerplant.venue import COINM, USDM, Venue

_ONE = 10**8


class StreamNote(Struct, frozen=True, kw_only=True):
    """The explanation of one subscription."""

    stream: str
    """Its name as given."""
    venue: str
    """`usdm` or `coinm`."""
    carries: str = ""
    """What its messages contain."""
    events: list[str] = []
    """The event types of its messages."""
    array: bool = False
    """Whether a message is an array of events."""
    speed_ms: int | None = None
    """0 for real time; None for an unknown stream."""
    route: Route | None = None
    """The route that delivers it in profiles with split routes."""
    silent: str | None = None
    """Why it stays silent, beginning with the reason in the server's metrics; None if it does not."""
    remark: str | None = None
    """Anything else worth knowing."""


def note_stream(
    name: str, venue: Venue, profile: Profile, *, route: str | None = None, strict: bool = False
) -> StreamNote:
    """Return the explanation of the stream `name`; its symbol is taken to be listed.

    Args:
        name: The name as it would be subscribed to.
        venue: The venue of the connection.
        profile: The protocol profile.
        route: The route of the connection; empty without one, None if not chosen yet.
        strict: Whether a stream stays silent on the wrong route, as on the exchange.
    """
    resolved = resolve(venue, name)
    if resolved is None:
        why = f"{UNKNOWN_STREAM}: {spelling_error(venue, name)}"
        return StreamNote(stream=name, venue=venue.name, silent=why)
    plant = _plant_with(resolved[1], profile, strict=route is not None)
    stream, args = find(plant.venues[venue.name], name) or resolved
    wrong_route = only_under(stream)
    silent = _why_silent(plant, name, args, venue, route or "")
    remark = None
    if silent == WRONG_ROUTE:
        silent, remark = (
            (f"{silent}: {wrong_route}", None)
            if strict
            else (None, f"on the exchange {wrong_route}")
        )
    return StreamNote(
        stream=name,
        venue=venue.name,
        carries=stream.doc,
        events=list(stream.events),
        array=stream.array,
        speed_ms=stream.period(venue, args),
        route=stream.route,
        silent=silent,
        remark=remark,
    )


class _Client:
    """A subscriber that never receives anything."""

    def write(self, data: bytes) -> None:
        """Ignore `data`."""


def _plant_with(args: Args, profile: Profile, *, strict: bool) -> Plant:
    """Return a plant that lists one contract and one asset, those named in `args`."""
    plant = Plant([_contract(args)], start_ms=0, profile=profile, strict_routing=strict)
    asset = args.get("assetSymbol", "anyusd").upper()
    plant.publish(AssetIndex(asset, _ONE, 0, 0, _ONE, _ONE, 0, 0, _ONE, _ONE, 0))
    return plant


def _why_silent(plant: Plant, name: str, args: Args, venue: Venue, route: str) -> str | None:
    """Return why a stream would stay silent even if its symbol were listed, None if it would not."""
    reason = plant.hubs[venue.name].subscribe(_Client(), [name], route).get(name)
    if reason != UNKNOWN_SYMBOL:
        return reason
    listed = COINM if is_inverse(args.get("symbol", args.get("pair", ""))) else USDM
    if listed is venue:
        return f"{reason}: the stream is not available for symbols of this form"
    return f"{reason}: it looks like a symbol of {listed.title}"


def _contract(args: Args) -> Instrument:
    """Return a contract with the symbol or pair in `args`, on the venue its form belongs to."""
    symbol = args.get("symbol", args.get("pair", "any")).upper()
    pair = symbol.partition("_")[0] if "symbol" in args else symbol
    inverse = is_inverse(symbol)
    return Instrument(
        venue=COINM if inverse else USDM,
        # On COIN-M the name of a contract is never that of its pair.
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
