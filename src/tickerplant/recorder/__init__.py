"""Writes recordings: their files, and the messages of a server or a plant in them."""
