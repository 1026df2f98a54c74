"""Faults that are on: what they do to living connections, handshakes and requests."""
