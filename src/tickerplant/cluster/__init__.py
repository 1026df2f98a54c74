"""Several processes that serve one market, joined by a bus."""
