"""Recordings as a source: played into a plant, at any speed, from and to any moment."""
