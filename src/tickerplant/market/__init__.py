"""What is true now: the state of each market, derived from its events."""
