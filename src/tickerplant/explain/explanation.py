"""The whole explanation: of each thing that was given, and of the connections they need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from tickerplant.explain.connections import ConnectionNote, plan
from tickerplant.explain.question_note import QuestionNote, note_question
from tickerplant.explain.stream_note import StreamNote, note_stream
from tickerplant.explain.subject import (
    Address,
    CannotExplain,
    Name,
    Question,
    Subject,
    read_subject,
)
from tickerplant.formatting import encodable
from tickerplant.profile import Profile
from tickerplant.protocol.close_reasons import INVALID_REQUEST
from tickerplant.protocol.limits import LIMITS
from tickerplant.protocol.target import ApiTarget, BadTarget, StreamTarget
from tickerplant.queries import QUERIES
from tickerplant.venue import Venue

REFUSED = "refused"
"""The kind of a URL that opens no connection."""


class AddressNote(Struct, frozen=True, kw_only=True):
    """What a WebSocket connection to one URL would be."""

    given: str
    venue: str
    """Empty if the URL is refused."""
    kind: str
    """`streams`, `websocket api`, or `refused`: no connection is opened, the remarks say why."""
    route: str = ""
    combined: bool = False
    streams: list[StreamNote] = []
    most_streams: int | None = None
    """How many streams it may hold."""
    methods: list[str] = []
    """Of the WebSocket API."""
    handshake_weight: int = 0
    remarks: list[str] = []

    @property
    def is_refused(self) -> bool:
        """Whether there is no such connection, or it is closed because it asks for too much."""
        too_many = self.most_streams is not None and len(self.streams) > self.most_streams
        return self.kind == REFUSED or too_many


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

    @property
    def all_is_well(self) -> bool:
        """Whether nothing of all that was given would be refused, cut or stay silent."""
        streams = [*self.streams, *(note for each in self.addresses for note in each.streams)]
        return not (
            any(note.silent for note in streams)
            or any(note.is_refused for note in self.addresses)
            or any(note.refused for note in self.questions)
        )


def explain(
    given: Iterable[str], profile: Profile, *, strict: bool = False, venue: Venue | None = None
) -> Explanation:
    """Return what each of `given` would do; no market is looked at, so symbols are not either.

    What cannot be explained is said in its place, as a URL that is refused.

    Args:
        given: URLs, paths, stream names, methods of the WebSocket API.
        profile: The period of the protocol.
        strict: Whether a stream on the wrong route is silent.
        venue: Whose they are; None lets each tell by itself.

    Raises:
        CannotExplain: nothing of it can be explained; says why.
    """
    subjects = [_read(text, venue) for text in given]
    failures = [each.remarks[0] for each in subjects if isinstance(each, AddressNote)]
    if failures and len(failures) == len(subjects):
        raise CannotExplain("; ".join(failures))
    addresses = [
        each if isinstance(each, AddressNote) else _note_address(each, profile, strict=strict)
        for each in subjects
        if isinstance(each, Address | AddressNote)
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


def _read(text: str, venue: Venue | None) -> Subject | AddressNote:
    """Return what `text` stands for, or why it stands for nothing."""
    try:
        return read_subject(text, venue)
    except (CannotExplain, BadTarget) as error:
        why = str(error)
    return AddressNote(given=encodable(text), venue="", kind=REFUSED, remarks=[why])


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
