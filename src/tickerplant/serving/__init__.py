"""Plant, source and server together, from ready to the totals."""
