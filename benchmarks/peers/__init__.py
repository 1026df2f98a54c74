"""Clients that are measured: `python -m benchmarks.peers.<name> URL COUNT`, each a process of its own.

A peer runs in the environment of its library, so what all of them share needs nothing but Python.
"""
