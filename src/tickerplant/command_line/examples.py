"""The examples in the help of each command: what for, and the command line."""

from __future__ import annotations

_PLANT = "ws://127.0.0.1:9001"

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("A simulated market, and what its clients see", "tickerplant simulate"),
        ("In a second terminal", f"tickerplant watch btcusdt@trade --url {_PLANT}"),
    ),
    "simulate": (
        ("Both venues on ports 9001 and 9002, from now on", "tickerplant simulate"),
        (
            "Two symbols of a market that is the same in every run",
            "tickerplant simulate --symbols BTCUSDT,ETHUSDT --seed 7 --start 2026-01-31",
        ),
        (
            "A test of a client: a lost connection every 30 s, and strict routes",
            "tickerplant simulate --fault reset=30s --profile current --routing strict",
        ),
        (
            "A crash of two symbols, the same in every run",
            "tickerplant simulate --scenario flash-crash --symbols BTCUSDT,ETHUSDT --start 2026-01-31",
        ),
        ("Ten thousand clients, on four cores", "tickerplant simulate --workers 4"),
    ),
    "replay": (
        ("A recording in real time", "tickerplant replay tape"),
        (
            "Ten minutes of it at ten times the speed",
            "tickerplant replay tape --from +1h --to +10m --speed 10",
        ),
        (
            "As fast as two clients read, then exit",
            "tickerplant replay tape --speed 0 --wait-for 2 --exit-at-end",
        ),
    ),
    "relay": (
        ("The exchange, for any number of local clients", "tickerplant relay"),
        (
            "Another plant, recorded on the way",
            f"tickerplant relay --usdm-url {_PLANT} --record tape",
        ),
    ),
    "test-server": (
        (
            "Addresses and token as one line of JSON, for a test suite",
            "tickerplant test-server --json",
        ),
        (
            "One symbol of another market, whose clock runs ten times as fast",
            "tickerplant test-server --symbols BTCUSDT --seed 7 --speed 10",
        ),
        (
            "Fixed ports and a fixed token, for a service of a continuous integration",
            "tickerplant test-server --usdm-port 9001 --coinm-port 9002 --control-token test",
        ),
    ),
    "edge": (
        (
            "Ports of this host for the plant of another",
            "tickerplant edge --bus nats://10.0.0.1:4222 --host 0.0.0.0",
        ),
        (
            "One of two plants on a bus with a password, in four processes",
            "tickerplant edge --bus nats://nats.lan --bus-user edges --plant night --workers 4",
        ),
    ),
    "watch": (
        (
            "Trades and best prices of the exchange",
            "tickerplant watch btcusdt@trade btcusdt@bookTicker",
        ),
        (
            "The streams named in a file, of a local plant",
            f"tickerplant watch @streams.txt --url {_PLANT}",
        ),
        (
            "Prices for another program, for ten seconds",
            "tickerplant watch btcusdt@aggTrade --json --duration 10s | jq -r .data.p",
        ),
    ),
    "record": (
        (
            "A trading day of two streams",
            "tickerplant record btcusdt@trade btcusdt@depth@100ms --out tape --duration 1d",
        ),
        (
            "Names from standard input, from a local plant",
            f"echo btcusdt@trade | tickerplant record - -o tape --url {_PLANT}",
        ),
    ),
    "control": (
        ("Pause the market and go on by ten seconds", "tickerplant control step 10s"),
        (
            "Drop a tenth of the depth messages of one symbol for a minute",
            "tickerplant control fault drop=0.1 stream=btcusdt@depth* for=60s",
        ),
        ("A crash and a recovery, now", "tickerplant control scenario flash-crash"),
    ),
    "ask": (
        ("A method of the WebSocket API", "tickerplant ask ticker.price symbol=BTCUSDT"),
        (
            "A REST path of a local plant",
            f"tickerplant ask klines symbol=BTCUSDT interval=1m limit=2 --url {_PLANT}",
        ),
    ),
    "verify": (
        ("Everything in a folder", "tickerplant verify tape"),
        ("For a script: the findings as JSON", "tickerplant verify tape --json | jq .complete"),
    ),
    "plot": (
        ("All of a recording", "tickerplant plot tape BTCUSDT --out btcusdt.svg"),
        (
            "The last five minutes, as a PNG",
            "tickerplant plot tape BTCUSDT --from -5m -o btcusdt.png",
        ),
    ),
    "export": (
        ("Parquet with Hive partitions", "tickerplant export tape --out lake"),
        (
            "An hour of trades",
            "tickerplant export tape -o lake --tables trades --from +1h --to +1h",
        ),
    ),
    "explain": (
        (
            "Why a stream stays silent",
            "tickerplant explain wss://fstream.binance.com/ws/BTCUSDT@trade",
        ),
        (
            "The weight of a request",
            "tickerplant explain '/fapi/v1/depth?symbol=BTCUSDT&limit=500'",
        ),
        ("Which names of a file stay silent", "tickerplant explain @streams.txt"),
    ),
    "streams": (
        ("All streams with their speeds", "tickerplant streams"),
        ("Their names only", "tickerplant streams --json | jq -r '.[].stream'"),
    ),
    "queries": (
        ("All endpoints with their weights", "tickerplant queries"),
        ("The paths only", "tickerplant queries --json | jq -r '.[].rest_path'"),
    ),
    "scenarios": (
        ("The library", "tickerplant scenarios"),
        ("What happens in one of them", "tickerplant scenarios flash-crash"),
        ("To begin one of your own", "tickerplant scenarios flash-crash --toml"),
        ("To check it", "tickerplant scenarios mine.toml"),
    ),
    "version": (("For a bug report", "tickerplant version --json"),),
    "completions": (
        ("bash: in ~/.bashrc", 'eval "$(tickerplant completions bash)"'),
        ("zsh: in ~/.zshrc, after compinit", 'eval "$(tickerplant completions zsh)"'),
        ("fish: in ~/.config/fish/config.fish", "tickerplant completions fish | source"),
    ),
}
"""By command; those of the program under an empty name."""
