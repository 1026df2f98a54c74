"""Recordings as a program reads them: typed messages, and tables of their columns."""
