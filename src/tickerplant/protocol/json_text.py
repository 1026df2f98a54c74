"""Reading JSON from strangers, and saying where and what is wrong with it."""

from __future__ import annotations

import re

import msgspec

from tickerplant.errors import TickerplantError

_OFFSET = re.compile(r"\(byte (\d+)\)$")
_KINDS = {
    "NoneType": "null",
    "bool": "a boolean",
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "list": "an array",
    "dict": "an object",
    "UnsetType": "missing",
}


class JsonError(TickerplantError):
    """Text that is not JSON; `line` and `column` count from 1, the column in bytes."""

    def __init__(self, line: int, column: int) -> None:
        super().__init__(f"not JSON at line {line} column {column}")
        self.line = line
        self.column = column


def decode_json(text: str | bytes) -> object:
    """Return the JSON value in `text`.

    Raises:
        JsonError: it is none, or is nested too deeply, or is not UTF-8.
    """
    data = _encoded(text)
    try:
        return msgspec.json.decode(data)
    except UnicodeDecodeError:
        offset_bytes = _first_bad_byte(data)
    except msgspec.DecodeError as error:
        offset = _OFFSET.search(str(error))
        offset_bytes = int(offset[1]) if offset else len(data)
    except RecursionError:
        offset_bytes = 0
    raise JsonError(*_position(data, offset_bytes))


def kind(value: object) -> str:
    """Return what JSON calls a decoded value, with its article; UNSET is `missing`."""
    return _KINDS[type(value).__name__]


def place_of(text: str | bytes, value: object) -> str:
    """Return `line L column C` of the last byte of `value` in `text`, or of the text's last byte."""
    data = _encoded(text).rstrip()
    quoted = msgspec.json.encode(value) if isinstance(value, str) else b""
    start = data.find(quoted) if quoted else -1
    line, column = _position(data, (start + len(quoted) if start >= 0 else len(data)) - 1)
    return f"line {line} column {column}"


def _position(data: bytes, offset_bytes: int) -> tuple[int, int]:
    before = data[:offset_bytes]
    line_start = before.rfind(b"\n") + 1
    return before.count(b"\n") + 1, len(before) - line_start + 1


def _encoded(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def _first_bad_byte(data: bytes) -> int:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return len(data)
