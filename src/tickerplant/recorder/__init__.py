"""Writes the market on tape: the files of a recording, and who hears what is written into them."""
