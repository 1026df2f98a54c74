"""The other side of the protocol: what a client must know to hear everything, as state machines."""
