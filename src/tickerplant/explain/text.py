"""An explanation as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tickerplant.explain.explanation import REFUSED, AddressNote, Explanation
from tickerplant.explain.request_note import ParamNote, RequestNote
from tickerplant.explain.stream_note import StreamNote
from tickerplant.formatting import columns
from tickerplant.streams.spelling import period_text
from tickerplant.venue import VENUES

_TITLES = {venue.name: venue.title for venue in VENUES}


def lines_of(explanation: Explanation) -> Iterator[str]:
    """Yield an explanation line by line."""
    blocks: list[Iterable[str]] = [_address(each) for each in explanation.addresses]
    if explanation.streams:
        blocks.append(_names(explanation.streams))
    blocks += [_request(each) for each in explanation.requests]
    if explanation.streams or any(each.streams for each in explanation.addresses):
        how = "symbols were checked by format only, not against a market"
        blocks.append([f"In profile {explanation.profile}; {how}."])
    for number, block in enumerate(blocks):
        if number:
            yield ""
        yield from block


def _address(note: AddressNote) -> Iterator[str]:
    yield note.given
    if note.kind == REFUSED:
        yield from (f"  ! {remark}" for remark in note.remarks)
        return
    title = _TITLES[note.venue]
    if note.kind != "streams":
        yield f"  {title}, WebSocket API; weight of the handshake {note.handshake_weight}"
        yield f"  methods: {', '.join(note.methods)}, session.…"
        return
    route = f"under /{note.route}" if note.route else "path without a route"
    envelope = "combined" if note.combined else "raw"
    count = f"{len(note.streams)} of {note.most_streams} streams"
    yield f"  {title}, {envelope}, {route}, {count}"
    yield from (f"  ! {remark}" for remark in note.remarks)
    yield from _streams(note.streams)


def _names(notes: Sequence[StreamNote]) -> Iterator[str]:
    for venue, title in _TITLES.items():
        found = [note for note in notes if note.venue == venue]
        if found:
            yield f"{title}, by name"
            yield from _streams(found)


def _streams(notes: Sequence[StreamNote]) -> Iterator[str]:
    delivered = [note for note in notes if note.silent is None]
    rows = [("stream", "event", "speed", "route", "what it carries")]
    rows += [
        (
            note.stream,
            ", ".join(note.events) + ("[]" if note.array else ""),
            period_text(note.speed_ms or 0),
            note.route or "",
            note.carries + (f" But {note.remark}." if note.remark else ""),
        )
        for note in delivered
    ]
    if delivered:
        yield from (f"  {line}" for line in columns(rows))
    for note in notes:
        if note.silent is not None:
            yield f"  ! {note.stream} is acknowledged and stays silent, {note.silent}"


def _request(note: RequestNote) -> Iterator[str]:
    yield note.given
    places = [f"REST {note.path}"] if note.path else []
    places += [f"WebSocket API {note.method}"] if note.method else []
    yield f"  {_TITLES[note.venue]}, {', '.join(places)}: {note.returns}"
    rule = f" ({note.weight_rule})" if note.weight_rule != str(note.weight) else ""
    yield f"  weight {note.weight}{rule}"
    if note.allowance:
        yield f"  allowance {note.allowance}"
    if note.keyed:
        yield "  REST requires an API key in X-MBX-APIKEY; any key is accepted"
    yield from (f"  ! {remark}" for remark in note.remarks)
    if note.params:
        rows = [("parameter", "given", "default", "meaning"), *map(_param, note.params)]
        yield from (f"  {line}" for line in columns(rows))


def _param(note: ParamNote) -> tuple[str, str, str, str]:
    default = "required" if note.required else note.default or ""
    return note.name, "" if note.given is None else note.given, default, note.doc
