"""Benchmarks of the plant: `python -m benchmarks`, loopback only, each held against a plain baseline.

Every figure is a median of repetitions that alternate with those of its baseline, and every clock
stops only when all that was sent has left the process.
"""
