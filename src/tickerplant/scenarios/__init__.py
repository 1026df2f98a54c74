"""Scenarios: timed changes to a simulated market and to what its clients get, and a library of them."""
