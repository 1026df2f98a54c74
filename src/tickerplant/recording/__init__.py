"""The market on tape: how recordings are written down, and read again."""
