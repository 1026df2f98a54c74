import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.protocol.client_requests import (
    LARGEST_ID,
    METHODS,
    ControlError,
    JsonError,
    Request,
    decode_json,
    kind,
    place_of,
    read_request,
)

IDS = st.integers(0, LARGEST_ID) | st.text() | st.none()


@given(
    method=st.sampled_from(["SUBSCRIBE", "UNSUBSCRIBE"]),
    names=st.lists(st.text(max_size=30), max_size=10),
    request_id=IDS,
)
def test_names_are_read_once_and_in_order(
    method: str, names: list[str], request_id: int | str | None
) -> None:
    text = json.dumps({"params": names, "id": request_id, "method": method})
    expected = Request(method, request_id, names=tuple(dict.fromkeys(names)))
    assert read_request(text, max_name_bytes=120) == expected, text


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_keys_does_not_matter(method: str) -> None:
    params = ["combined", True][: 2 if method == "SET_PROPERTY" else 1]
    message = {"id": 1, "method": method, "params": [] if method[0] == "L" else params}
    backwards = dict(reversed(message.items()))
    forth, back = (read_request(json.dumps(each), 99) for each in (message, backwards))
    assert forth == back, "the same request"
    assert forth.method == method, "of the method it names"


def test_an_error_carries_the_id_if_there_is_a_good_one() -> None:
    with pytest.raises(ControlError) as caught:
        read_request('{"method":"SET_PROPERTY","params":["combined",null],"id":"x"}', 99)
    assert caught.value.id == "x", "the id of the message"
    assert not caught.value.is_final, "a wrong type leaves the connection open"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_json_is_decoded_from_text_and_bytes(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert decode_json(text) == value, "as text"
    assert decode_json(text.encode()) == value, "as bytes"
    assert kind(value), "every JSON value has a kind"


def _place(text: str | bytes) -> tuple[int, int]:
    try:
        decode_json(text)
    except JsonError as error:
        return error.line, error.column
    return 1, 1


@given(st.text() | st.binary())
def test_anything_is_decoded_or_refused_with_a_place(text: str | bytes) -> None:
    assert _place(text) >= (1, 1), "lines and columns count from 1"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("", 1, 1),
        ("x", 1, 1),
        ('{"a":1,}', 1, 8),
        ('{"a":\n  x}', 2, 3),
        (b'["\xff"]', 1, 3),
        ('["\ud800"]', 1, 3),
        ("[" * 60_000, 1, 1),
        ("1e999", 1, 6),
        ("9" * 5000, 1, 5001),
    ],
    ids=str,
)
def test_the_place_of_the_error_is_reported(text: str | bytes, line: int, column: int) -> None:
    with pytest.raises(JsonError) as caught:
        decode_json(text)
    assert (caught.value.line, caught.value.column) == (line, column), "line and column"


def test_a_place_is_that_of_the_last_byte() -> None:
    assert place_of('{"method":"SUBSCRIBEX","id":1}', "SUBSCRIBEX") == "line 1 column 22"
    assert place_of('{\n "id":1\n}\n', None) == "line 3 column 1", "where the object ends"
