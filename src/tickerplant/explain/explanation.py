"""The whole explanation: of each thing that was given, and of the connections they need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from tickerplant.explain.connections import ConnectionNote, plan
from tickerplant.explain.question_note import QuestionNote, note_question
from tickerplant.explain.stream_note import StreamNote, note_stream
from tickerplant.explain.subject import Address, Name, Question, read_subject
from tickerplant.profile import Profile
from tickerplant.protocol.closing import INVALID_REQUEST
from tickerplant.protocol.limits import LIMITS
from tickerplant.protocol.target import ApiTarget, StreamTarget
from tickerplant.queries import QUERIES
from tickerplant.venue import Venue


class AddressNote(Struct, frozen=True, kw_only=True):
    """What a WebSocket connection to one URL would be."""

    given: str
    venue: str
    kind: str
    """`streams` or `websocket api`."""
    route: str = ""
    combined: bool = False
    streams: list[StreamNote] = []
    most_streams: int | None = None
    """How many streams it may hold."""
    methods: list[str] = []
    """Of the WebSocket API."""
    handshake_weight: int = 0
    remarks: list[str] = []


class Explanation(Struct, frozen=True, kw_only=True):
    """What everything that was given would do."""

    profile: str
    routing: str
    addresses: list[AddressNote]
    streams: list[StreamNote]
    """Those that were given by name, without a URL."""
    questions: list[QuestionNote]
    connections: list[ConnectionNote]
    """What the streams that exist need, of URLs and names together."""


def explain(
    given: Iterable[str], profile: Profile, *, strict: bool = False, venue: Venue | None = None
) -> Explanation:
    """Return what each of `given` would do; no market is looked at, so symbols are not either.

    Args:
        given: URLs, paths, stream names, methods of the WebSocket API.
        profile: The period of the protocol.
        strict: Whether a stream on the wrong route is silent.
        venue: Whose they are; None lets each tell by itself.

    Raises:
        CannotExplain: one is a URL of nothing that is served, or is not Unicode.
        BadTarget: one is a path of nothing that is served.
    """
    subjects = [read_subject(text, venue) for text in given]
    addresses = [
        _note_address(each, profile, strict=strict)
        for each in subjects
        if isinstance(each, Address)
    ]
    streams = [
        note_stream(each.given, each.venue, profile) for each in subjects if isinstance(each, Name)
    ]
    on_addresses = (note for address in addresses for note in address.streams)
    return Explanation(
        profile=profile.name,
        routing="strict" if strict else "lenient",
        addresses=addresses,
        streams=streams,
        questions=[note_question(each, profile) for each in subjects if isinstance(each, Question)],
        connections=plan([*on_addresses, *streams], profile),
    )


def _note_address(address: Address, profile: Profile, *, strict: bool) -> AddressNote:
    target, venue = address.target, address.venue
    if isinstance(target, ApiTarget):
        return AddressNote(
            given=address.given,
            venue=venue.name,
            kind="websocket api",
            methods=[query.method or "" for query in QUERIES if query.has_method(venue)],
            handshake_weight=LIMITS.handshake_weight,
        )
    streams = [
        note_stream(name, venue, profile, route=target.route, strict=strict)
        for name in target.names
    ]
    return AddressNote(
        given=address.given,
        venue=venue.name,
        kind="streams",
        route=target.route,
        combined=target.combined,
        streams=streams,
        most_streams=LIMITS.max_streams,
        remarks=list(_remarks(target, venue, profile)),
    )


def _remarks(target: StreamTarget, venue: Venue, profile: Profile) -> Iterator[str]:
    if len(target.names) > LIMITS.max_streams:
        reason = INVALID_REQUEST
        yield f"too many streams: answered with code 4 and closed, {reason.code} {reason.reason}"
    if not target.names:
        yield "no stream yet: SUBSCRIBE begins some"
    if not profile.splits_routes(venue):
        return
    if target.route == "private":
        yield "no market stream is delivered under /private"
    elif not target.route:
        yield "a path without a route is that of the public streams in this profile"
