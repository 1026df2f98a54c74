"""The control plane as its clients see it: the clock, and a client of `/plant/v1/`."""
