from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.envelope import HEAD, NECK, head_of, prefix_bytes, prefix_of, split, wrap

NAMES = st.text(min_size=1).filter(lambda name: name.isprintable())


@given(NAMES, st.sampled_from([b"{}", b'{"e":"trade"}', b"[]", b"1"]))
def test_what_is_wrapped_is_split_again(name: str, payload: bytes) -> None:
    raw = wrap(name, payload)
    assert split(raw) == (name, payload)
    assert msgspec.json.decode(raw) == {"stream": name, "data": msgspec.json.decode(payload)}


def test_the_parts_of_the_usual_form() -> None:
    raw = b'{"stream":"btcusdt@trade","data":{"e":"trade"}}'
    assert head_of("btcusdt@trade") == b'{"stream":"btcusdt@trade'
    assert prefix_of("btcusdt@trade") == head_of("btcusdt@trade") + NECK
    assert raw.startswith(HEAD)
    assert raw[prefix_bytes(raw) : -1] == b'{"e":"trade"}'


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{ "data": [1], "stream": "!ticker@arr" }', ("!ticker@arr", b"[1]")),
        (b'{"e":"trade"}', None),
        (b'{"stream":"a@trade"}', None),
        (b'{"stream":"","data":1}', None),
    ],
)
def test_other_forms(raw: bytes, expected: tuple[str, bytes] | None) -> None:
    assert split(raw) == expected


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"stream":1,"data":2}', b'{"stream":"a'])
def test_what_is_not_an_envelope_is_an_error(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        split(raw)
