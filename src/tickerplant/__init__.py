"""The market-data feed of a futures exchange as software you can run."""

__version__ = "0.1.0"
