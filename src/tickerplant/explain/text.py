"""An explanation as lines for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from tickerplant.explain.connections import ConnectionNote
from tickerplant.explain.explanation import REFUSED, AddressNote, Explanation
from tickerplant.explain.question_note import ParamNote, QuestionNote
from tickerplant.explain.stream_note import StreamNote
from tickerplant.streams.spelling import period_text
from tickerplant.venue import VENUES

_TITLES = {venue.name: venue.title for venue in VENUES}


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows as lines, in columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> Iterator[str]:
    """Yield a table as lines: in columns, or in paragraphs if columns take more than `width`.

    A paragraph is headed by the first cell that is not empty; its last line is the last cell.
    """
    lines = list(columns([head, *rows]))
    if width is None or max(map(len, lines)) <= width:
        yield from lines
        return
    for row in rows:
        cells = [(title, cell) for title, cell in zip(head, row, strict=True) if cell]
        (_, heading), *facts, (_, sentence) = cells
        yield heading
        for text in ("; ".join(f"{title} {cell}" for title, cell in facts), sentence):
            yield from textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="  ")


def lines_of(explanation: Explanation) -> Iterator[str]:
    """Yield an explanation line by line."""
    blocks: list[Iterable[str]] = [_address(each) for each in explanation.addresses]
    if explanation.streams:
        blocks.append(_names(explanation.streams))
    blocks += [_question(each) for each in explanation.questions]
    if explanation.streams or any(each.streams for each in explanation.addresses):
        blocks.append(_connections(explanation))
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
        yield f"  {title}, WebSocket API; the handshake weighs {note.handshake_weight}"
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
    told = [note for note in notes if note.silent is None]
    rows = [("stream", "event", "speed", "route", "what it carries")]
    rows += [
        (
            note.stream,
            ", ".join(note.events) + ("[]" if note.array else ""),
            period_text(note.speed_ms or 0),
            note.route or "",
            note.carries + (f" But {note.remark}." if note.remark else ""),
        )
        for note in told
    ]
    if told:
        yield from (f"  {line}" for line in columns(rows))
    for note in notes:
        if note.silent is not None:
            yield f"  ! {note.stream} is acknowledged and stays silent, {note.silent}"


def _question(note: QuestionNote) -> Iterator[str]:
    yield note.given
    places = [f"REST {note.path}"] if note.path else []
    places += [f"WebSocket API {note.method}"] if note.method else []
    yield f"  {_TITLES[note.venue]}, {', '.join(places)}: {note.asks}"
    rule = f" ({note.weight_rule})" if note.weight_rule != str(note.weight) else ""
    yield f"  weight {note.weight}{rule}"
    if note.allowance:
        yield f"  allowance {note.allowance}"
    if note.keyed:
        yield "  REST wants an API key in X-MBX-APIKEY; any will do"
    yield from (f"  ! {remark}" for remark in note.remarks)
    if note.params:
        rows = [("parameter", "given", "default", "what it is"), *map(_param, note.params)]
        yield from (f"  {line}" for line in columns(rows))


def _param(note: ParamNote) -> tuple[str, str, str, str]:
    default = "required" if note.required else note.default or ""
    return note.name, "" if note.given is None else note.given, default, note.doc


def _connections(explanation: Explanation) -> Iterator[str]:
    notes = explanation.connections
    yield f"Connections needed in profile {explanation.profile}: {len(notes)}"
    if notes:
        yield from (f"  {line}" for line in columns([_connection(note) for note in notes]))
    yield "Symbols are judged by their form: no market was asked whether it lists them."


def _connection(note: ConnectionNote) -> tuple[str, str, str, str]:
    names = "" if note.names_fit else " (the names do not fit in a URL: SUBSCRIBE them)"
    count = f"{note.streams} stream{'s' if note.streams > 1 else ''}"
    return _TITLES[note.venue], note.route, count, note.url + names
