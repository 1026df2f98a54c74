import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.protocol.control import LARGEST_ID, METHODS, ControlError, Request, read_request

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
