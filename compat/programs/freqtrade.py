"""freqtrade: a dry run of futures, from its first candles to a simulated entry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from compat.recipes import recipes
from compat.trial import REST, USDM, Server, Trial, until

LIBRARY = "freqtrade"
PATIENCE_S = 150.0
"""A candle ends within a minute, and the bot looks every few seconds."""
STRATEGY = """
from freqtrade.strategy import IStrategy


class Always(IStrategy):
    timeframe = "1m"
    minimal_roi = {"0": 10}
    stoploss = -0.9
    startup_candle_count = 20

    def populate_indicators(self, dataframe, metadata):
        print("CANDLE", dataframe["date"].iloc[-1], flush=True)
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe["enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        return dataframe
"""
SIGNS = {
    "markets": "Whitelist with 1 pairs",
    "candles": "CANDLE",
    "dry-run entry": "entry_fill",
}
"""What the bot prints when it has got so far."""


def steps(log: Path) -> set[str]:
    """Return how far the bot got, by its log."""
    text = log.read_text(encoding="utf-8")
    return {name for name, sign in SIGNS.items() if sign in text}


def run(server: Server, folder: Path) -> set[str]:
    """Run the bot until it has completed every step, or the timeout expires; return how far it got."""
    recipe = next(each for each in recipes() if each.library == LIBRARY)  # it writes config.json
    subprocess.run([sys.executable, "-c", recipe.at(server)], cwd=folder, check=True)  # noqa: S603
    (folder / "always.py").write_text(STRATEGY, encoding="utf-8")
    words = ["trade", "-c", "config.json", "--strategy", "Always", "--strategy-path", str(folder)]
    words += ["--userdir", str(folder), "--db-url", "sqlite://"]
    log = folder / "log"
    with (
        log.open("w", encoding="utf-8") as out,
        subprocess.Popen(  # noqa: S603  # our own words
            [str(Path(sys.prefix) / "bin" / "freqtrade"), *words],
            cwd=folder, stdout=out, stderr=subprocess.STDOUT,
        ) as bot,
    ):  # fmt: skip
        until(lambda: bot.poll() is not None or len(steps(log)) == len(SIGNS), PATIENCE_S)
        bot.terminate()
    sys.stderr.write(log.read_text(encoding="utf-8"))
    return steps(log)


def main() -> None:
    """Try a dry run."""
    trial = Trial(LIBRARY)
    with TemporaryDirectory() as folder:
        found = run(trial.server, Path(folder))
    for name in SIGNS:
        reason = "" if name in found else "the bot did not get so far; see its log"
        trial.add(USDM, REST, name, reason)


if __name__ == "__main__":
    main()
