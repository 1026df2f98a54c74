from __future__ import annotations

from typing import Any

import pytest

from tickerplant.errors import ConfigError
from tickerplant.faults.catalogue import FAULTS
from tickerplant.faults.connection_faults import Close
from tickerplant.faults.rule import opening_ms, parse_rule


def test_text_and_mapping_are_the_same_rule() -> None:
    text = parse_rule("close=1001@5m stream=btcusdt@depth* after=100 at=+10s for=30s once=true")
    mapping = parse_rule(
        {
            "kind": "close",
            "code": 1001,
            "mean": "5m",
            "stream": "btcusdt@depth*",
            "after": 100,
            "at": "+10s",
            "for": "30s",
            "once": True,
        }
    )
    assert (text.fault, text.aim, text.window) == (mapping.fault, mapping.aim, mapping.window)
    assert text.fault == Close(code=1001, mean=300_000)
    assert text.window.times == 1
    assert opening_ms(text.window, 1_767_225_600_000) == 1_767_225_610_000


@pytest.mark.parametrize(
    "text",
    [
        "reset=30s",
        "refuse=0.1",
        "stall=5s@1m",
        "close=1001@5m stream=btcusdt@depth* after=100",
        "garbage times=3",
        "http=451@0.5 path=/fapi/v1/* venue=usdm",
        "latency=50ms@10ms connections=0.25",
    ],
)
def test_a_rule_is_shown_as_it_is_written(text: str) -> None:
    rule = parse_rule(text)
    assert rule.text == text
    assert parse_rule(rule.given).text == text


def test_every_kind_can_be_written_in_its_short_form() -> None:
    examples = {
        "share": "0.5",
        "duration": "10s",
        "offset": "-5s",
        "close_code": "1001",
        "rate": "64KB",
        "integer": "1",
        "number": "1",
        "text": "q",
    }
    for kind, fault in FAULTS.items():
        given = {
            each.name: examples.get(each.kind.name) or str(each.kind.choices[0])
            for each in fault.params()
        }
        values = [given[name] for name in fault.value()]
        missing = [
            f"{each.name}={given[each.name]}"
            for each in fault.params()
            if each.required and each.name not in fault.value()
        ]
        text = " ".join((f"{kind}={'@'.join(values)}" if values else kind, *missing))
        assert type(parse_rule(text).fault) is fault


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("rest=30s", "invalid value 'rest' for kind: expected one of .*did you mean reset"),
        ("reset=30", "invalid value '30' for mean: expected a duration such as"),
        ("reset=", "reset is missing: expected reset=MEAN, a duration"),
        ("reset=1s@2s", "invalid value '1s@2s' for reset: expected reset=MEAN"),
        ("refuse=2", "invalid value '2' for share: expected a share from 0 to 1"),
        ("refuse=nan", "invalid value 'nan' for share"),
        ("close=1005", "invalid value '1005' for code: expected a close code"),
        ("http=999", "invalid value '999' for status: expected one of 400"),
        ("latency", "time is missing: expected a duration .*latency needs it"),
        ("bandwidth=0B", "invalid value '0B' for rate: expected bytes per second"),
        ("refuse=1 stream=a", "'a' for stream: expected no stream: refuse acts on handshakes"),
        ("reset=1s strean=a", "'strean' for fault: expected reset with KEY .*did you mean stream"),
        ("reset=1s stream", "invalid value 'stream' for reset: expected a word of the form"),
        ("reset for=1s for=2s", "'2s' for for: expected one value of for, not also 1s"),
        ("reset for=soon", "invalid value 'soon' for for: expected a duration"),
        ("reset at=-5s", "invalid value '-5s' for at: expected an offset"),
        ("reset at=noon", "invalid value 'noon' for at: expected an offset"),
        ("reset after=-1", "invalid value '-1' for after: expected a whole number from 0"),
        ("reset times=0", "invalid value '0' for times: expected a whole number from 1 to 10{12}$"),
        ("reset times=9000000000000", "for times: expected a whole number from 1 to 10{12}$"),
        ("reset times=2 once=true", "expected times or once, not both"),
        ("reset once=maybe", "invalid value 'maybe' for once: expected true or false"),
        ("reset connections=2", "invalid value '2' for connections: expected a share"),
        ("reset connection=twelve", "'twelve' for connection: expected the id of a connection"),
        ("reset venue=spot", "invalid value 'spot' for venue: expected one of usdm, coinm"),
        ("http_503=1 path=fapi", "invalid value 'fapi' for path: expected a path"),
        ("stall mean=1m", "time is missing"),
        ("stall time=1s for=2s", "expected time or for, not both"),
        ("", "fault: expected KIND=VALUE"),
        (7, "invalid value 7 for fault"),
        ({}, "kind is missing: expected one of"),
        ({"kind": "reset", "after": True}, "invalid value True for after"),
        ({"kind": "refuse", "share": True}, "invalid value True for share"),
        ({"kind": "reset", "stream": ["a"]}, "for stream: expected A stream, or a pattern"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said(given: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_rule(given)


def test_a_window_does_not_open_in_the_past() -> None:
    rule = parse_rule("reset at=2026-01-01T00:00:00")
    assert opening_ms(rule.window, 1_767_225_600_000) == 1_767_225_600_000
    with pytest.raises(ConfigError, match="for at: expected a time from now on"):
        opening_ms(rule.window, 1_767_225_600_001)
