"""The official modular SDK: one subscription for each stream, parsed into its models."""

from __future__ import annotations

from typing import Any

from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketStreams
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import (  # type: ignore[import-not-found]  # only in the environment of this peer
    DerivativesTradingUsdsFutures,
)

from benchmarks.peers import tally
from benchmarks.peers.streams import SYMBOLS


async def client(url: str, taken: tally.Tally) -> None:
    """Take every message of the two connections that the SDK opens."""
    sdk = DerivativesTradingUsdsFutures(
        config_rest_api=ConfigurationRestAPI(api_key="any"),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=url),
    )
    connection = await sdk.websocket_streams.create_connection()
    for name in SYMBOLS:
        symbol = name.lower()
        handles: list[Any] = [
            await connection.individual_symbol_book_ticker_streams(symbol=symbol),
            await connection.aggregate_trade_streams(symbol=symbol),
            await connection.partial_book_depth_streams(symbol=symbol, levels=20),
            await connection.kline_candlestick_streams(symbol=symbol, interval="1m"),
            await connection.individual_symbol_ticker_streams(symbol=symbol),
            await connection.mark_price_stream(symbol=symbol, update_speed="1s"),
        ]
        for handle in handles:
            handle.on("message", taken.take)
    await taken.all.wait()
    await connection.close_connection(close_session=True)


if __name__ == "__main__":
    tally.run(client)
