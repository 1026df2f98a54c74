"""The limit: picows hands over a frame, the reader of its stream makes a typed message of it."""

from __future__ import annotations

from picows import WSFrame, WSListener, WSTransport, ws_connect

from benchmarks.peers import tally
from benchmarks.peers.streams import COMBINED, STREAMS
from tickerplant.messages.readers import reader

NAME_AT = len(b'{"stream":"')
NECK_BYTES = len(b'","data":')


class _Listener(WSListener):
    def __init__(self, taken: tally.Tally) -> None:
        super().__init__()
        self._take = taken.take
        self._decoders = {name.encode(): reader(name).decode for name in STREAMS}

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002
        message = frame.get_payload_as_bytes()
        end = message.index(b'"', NAME_AT)
        decode = self._decoders[message[NAME_AT:end]]
        self._take(decode(message[end + NECK_BYTES : -1]))


async def client(url: str, taken: tally.Tally) -> None:
    """Take every message of one connection."""
    transport, _ = await ws_connect(lambda: _Listener(taken), url + COMBINED)
    await taken.all.wait()
    transport.disconnect()


if __name__ == "__main__":
    tally.run(client)
