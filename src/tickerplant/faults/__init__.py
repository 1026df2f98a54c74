"""Faults on demand: which there are, which are on, what they are aimed at, and when they happen."""
