"""Recordings of which only some streams or symbols are played."""

from __future__ import annotations

from pathlib import Path

import pytest
from played import SNAPSHOT, Replay, depth, recorded, trade
from stage import payloads

from tickerplant.errors import ConfigError
from tickerplant.replaying.choice import Choice, Chosen, chosen
from tickerplant.replaying.plan import Plan
from tickerplant.replaying.scan import scan

BTC, ETH = "btcusdt@trade", "ethusdt@trade"
BOOK = "btcusdt@depth@100ms"


def eth_trade(number: int) -> bytes:
    return trade(number, symbol="ETHUSDT")


def tape(folder: Path) -> Path:
    lines = [
        (0, "", b"https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000 " + SNAPSHOT)
    ]
    for number in range(1, 41):
        lines += [(number, BTC, trade(number)), (number, ETH, eth_trade(number))]
        lines += [(number, BOOK, depth(number, number - 1))]
    lines.append((3_000, BTC, trade(41, at_ms=3_000)))
    return recorded(folder / "lines", lines)


def played(path: Path, choice: Choice, *names: str) -> list[bytes]:
    found = chosen(scan([str(path)]), choice)
    assert found.files
    replay = Replay([path], {"usdm": names}, plan=Plan(speed=0, choice=choice))
    replay.run()
    return payloads(replay.listeners["usdm"].data)


@pytest.mark.parametrize(
    "choice",
    [Choice(symbols=["ETHUSDT"]), Choice(symbols=["ethusdt"]), Choice(["ETHUSDT@trade"])],
)
def test_only_what_is_chosen_is_played_and_byte_for_byte(tmp_path: Path, choice: Choice) -> None:
    assert played(tape(tmp_path), choice, BTC, ETH, BOOK) == [eth_trade(n) for n in range(1, 41)]


def test_what_is_not_chosen_is_not_derived_either(tmp_path: Path) -> None:
    path = tape(tmp_path)
    assert not played(path, Choice([BTC]), "btcusdt@bookTicker", "ethusdt@aggTrade")
    assert played(path, Choice([BTC]), "btcusdt@aggTrade")


def test_books_of_chosen_symbols_have_their_snapshot(tmp_path: Path) -> None:
    assert played(tape(tmp_path), Choice(symbols=["BTCUSDT"]), "btcusdt@bookTicker")


def test_the_contracts_are_those_of_what_is_chosen(tmp_path: Path) -> None:
    found = scan([str(tape(tmp_path))])
    by_symbol = chosen(found, Choice(symbols=["BTCUSDT"]))
    assert [each.symbol for each in by_symbol.instruments] == ["BTCUSDT"]
    assert by_symbol.streams("usdm") == {BTC, BOOK}
    by_name = chosen(found, Choice([ETH]))
    assert [each.symbol for each in by_name.instruments] == ["ETHUSDT"]
    assert chosen(found, Choice()) is found


def test_a_file_without_a_chosen_stream_is_not_read(tmp_path: Path) -> None:
    other = recorded(tmp_path / "other", [(1, "solusdt@trade", trade(1, symbol="SOLUSDT"))])
    found = chosen(scan([str(tape(tmp_path)), str(other)]), Choice(symbols=["SOLUSDT"]))
    assert [file.path for file in found.files] == [str(other)]


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        (Choice(symbols=["BTCUSD"]), "'BTCUSD' for --symbols: .* did you mean BTCUSDT"),
        (Choice(symbols=["btcu\u017fdt"]), "'btcu\u017fdt' for --symbols: .* did you mean BTCUSDT"),
        (
            Choice(["btcusdt@trades"]),
            "'btcusdt@trades' for --streams: .* did you mean btcusdt@trade",
        ),
        (Choice([BOOK], ["ETHUSDT"]), "for --streams: expected streams of ETHUSDT"),
    ],
)
def test_what_was_not_recorded_is_refused_with_what_is_near(
    tmp_path: Path, choice: Choice, text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        chosen(scan([str(tape(tmp_path))]), choice)


def test_a_pair_stream_is_one_of_each_contract_on_the_pair() -> None:
    choice = Choice(symbols=["BTCUSD_PERP"])
    assert choice.has_stream("btcusd@indexPrice")
    assert choice.has_stream("btcusd_perp@trade")
    assert not choice.has_stream("btcusd_260626@trade")
    assert not choice.has_stream("!bookTicker")
    assert Choice(["!bookTicker"]).has_symbol("BTCUSDT")


class Lines:
    """A recording of a few lines."""

    def __init__(self, *raw: bytes) -> None:
        self._lines = [(number, each) for number, each in enumerate(raw)]

    def batches(self, start_ns: int = 0, *, pauses: bool = False) -> list[list[tuple[int, bytes]]]:
        return [self._lines[start_ns:], []] if pauses else [self._lines[start_ns:]]


def test_lines_in_any_form_are_chosen_and_damage_is_kept_for_the_report() -> None:
    usual = b'{"stream":"btcusdt@trade","data":{}}'
    odd = b'{ "data": {}, "stream": "btcusdt@trade" }'
    other, torn = b'{"data":{},"stream":"ethusdt@trade"}', b'{"stream'
    lines = Chosen(Lines(usual, other, odd, torn, usual), Choice([BTC]))  # type: ignore[arg-type]
    assert [raw for batch in lines.batches() for _, raw in batch] == [usual, odd, torn, usual]
    assert list(lines.batches(pauses=True))[-1] == []
