"""What really was: the books, the trades, and what was sent to each connection."""
