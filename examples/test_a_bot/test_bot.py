"""Three bad moments of an exchange, and what a bot must do in them."""

from collections.abc import Iterator

import pytest
from bot import Bot

from tickerplant.testing import Exchange

pytestmark = pytest.mark.exchange(seed=7, symbols=["BTCUSDT"])


@pytest.fixture
def bot(exchange: Exchange) -> Iterator[Bot]:
    """A bot that is connected and has a book."""
    bot = Bot(exchange.usdm_url, exchange.usdm_ws_url, "BTCUSDT", lambda: exchange.time_ms)
    bot.start()
    exchange.wait_until(lambda: bot.is_connected)
    let_pass(exchange, bot, "5s")
    yield bot
    bot.stop()


def let_pass(exchange: Exchange, bot: Bot, duration: str) -> None:
    """Let market time pass, and the bot read what was sent in it."""
    exchange.step(duration)
    newest = exchange.truth.book("BTCUSDT").update_id
    exchange.wait_until(lambda: bot.update_id >= newest, message="the bot has read everything")


def test_the_book_is_right_after_an_update_was_lost(exchange: Exchange, bot: Bot) -> None:
    with exchange.fault("drop", stream="btcusdt@depth*", after=5, once=True) as hole:
        let_pass(exchange, bot, "10s")
    assert hole.hits == 1
    exchange.truth.assert_book(bot, "BTCUSDT")


def test_a_trade_that_comes_twice_counts_once(exchange: Exchange, bot: Bot) -> None:
    with exchange.fault("duplicate", stream="btcusdt@trade", times=3):
        let_pass(exchange, bot, "10s")
    exchange.truth.assert_trades(bot.trades, "BTCUSDT")


def test_the_bot_does_not_trade_while_it_hears_nothing(exchange: Exchange, bot: Bot) -> None:
    assert bot.may_trade()
    with exchange.fault("stall"):
        exchange.step("30s")
        assert not bot.may_trade()
