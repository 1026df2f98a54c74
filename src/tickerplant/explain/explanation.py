"""The explanation of all arguments of `explain`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from tickerplant.explain.arguments import (
    Argument,
    CannotExplain,
    ConnectionArgument,
    RequestArgument,
    StreamArgument,
    parse_argument,
)
from tickerplant.explain.request_note import RequestNote, note_request
from tickerplant.explain.stream_note import StreamNote, note_stream
from tickerplant.formatting import encodable
from tickerplant.profile import Profile
from tickerplant.protocol.close_reasons import INVALID_REQUEST
from tickerplant.protocol.delivery import POLICIES
from tickerplant.protocol.limits import LIMITS
from tickerplant.protocol.target import ApiTarget, BadTarget, StreamTarget
from tickerplant.queries import QUERIES
from tickerplant.venue import Venue

REFUSED = "refused"
"""The kind of a URL that is rejected."""


class AddressNote(Struct, frozen=True, kw_only=True):
    """The explanation of a WebSocket connection to one URL."""

    given: str
    """The URL or path as given."""
    venue: str
    """Empty if the URL is rejected."""
    kind: str
    """`streams`, `websocket api`, or `refused`: it is rejected, for the reason in the remarks."""
    route: str = ""
    """The route in its path; empty without one."""
    combined: bool = False
    """Whether messages have an envelope that names the stream."""
    streams: list[StreamNote] = []
    """The streams in the URL."""
    most_streams: int | None = None
    """The maximum number of streams on it."""
    methods: list[str] = []
    """The methods of the WebSocket API."""
    handshake_weight: int = 0
    """The request weight of opening it."""
    remarks: list[str] = []
    """Why it is rejected, and what else is worth knowing."""

    @property
    def is_refused(self) -> bool:
        """Whether the connection is rejected, or closed because it has too many streams."""
        too_many = self.most_streams is not None and len(self.streams) > self.most_streams
        return self.kind == REFUSED or too_many


class Explanation(Struct, frozen=True, kw_only=True):
    """The explanation of all arguments."""

    profile: str
    """The protocol profile that was assumed."""
    routing: str
    """`lenient` or `strict`."""
    addresses: list[AddressNote]
    """WebSocket URLs and paths, as given."""
    streams: list[StreamNote]
    """Streams given by name, without a URL."""
    requests: list[RequestNote]
    """REST URLs and methods of the WebSocket API."""

    @property
    def is_ok(self) -> bool:
        """Whether nothing would be rejected, closed or stay silent."""
        streams = [*self.streams, *(note for each in self.addresses for note in each.streams)]
        return not (
            any(note.silent for note in streams)
            or any(note.is_refused for note in self.addresses)
            or any(note.refused for note in self.requests)
        )


def explain(
    given: Iterable[str], profile: Profile, *, strict: bool = False, venue: Venue | None = None
) -> Explanation:
    """Return the explanation of `given`; all symbols are taken to be listed.

    An argument that cannot be explained is listed as a rejected address.

    Args:
        given: URLs, paths, stream names, methods of the WebSocket API.
        profile: The protocol profile.
        strict: Whether a stream stays silent on the wrong route.
        venue: Their venue; None infers it for each.

    Raises:
        CannotExplain: none of them can be explained; names the reasons.
    """
    arguments = [_parse(text, venue) for text in given]
    failures = [each.remarks[0] for each in arguments if isinstance(each, AddressNote)]
    if failures and len(failures) == len(arguments):
        raise CannotExplain("; ".join(failures))
    addresses = [
        each if isinstance(each, AddressNote) else _note_address(each, profile, strict=strict)
        for each in arguments
        if isinstance(each, ConnectionArgument | AddressNote)
    ]
    streams = [
        note_stream(each.given, each.venue, profile)
        for each in arguments
        if isinstance(each, StreamArgument)
    ]
    return Explanation(
        profile=profile.name,
        routing="strict" if strict else "lenient",
        addresses=addresses,
        streams=streams,
        requests=[
            note_request(each, profile) for each in arguments if isinstance(each, RequestArgument)
        ],
    )


def _parse(text: str, venue: Venue | None) -> Argument | AddressNote:
    """Return the parsed argument, or a rejected address."""
    try:
        return parse_argument(text, venue)
    except (CannotExplain, BadTarget) as error:
        why = str(error)
    return AddressNote(given=encodable(text), venue="", kind=REFUSED, remarks=[why])


def _note_address(address: ConnectionArgument, profile: Profile, *, strict: bool) -> AddressNote:
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
        yield f"too many streams: closed after an error 4, with {reason.code} {reason.reason}"
    if not target.names:
        yield "no streams yet: add them with SUBSCRIBE"
    if target.policy is not None:
        meaning = POLICIES[target.policy]
        yield f"delivery={target.policy}, which only Tickerplant knows: {_continued(meaning)}"
    if target.is_stamped:
        yield (
            "stamps=1, which only Tickerplant knows: the envelope tells when messages were due, "
            "published and written"
        )
    if not profile.splits_routes(venue):
        return
    if target.route == "private":
        yield "no market stream is delivered under /private"
    elif not target.route:
        yield "in this profile, a path without a route delivers the public streams"


def _continued(sentence: str) -> str:
    """Return a sentence as the end of another one."""
    return sentence[0].lower() + sentence[1:].removesuffix(".")
