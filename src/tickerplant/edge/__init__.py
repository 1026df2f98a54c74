"""The server side of an edge: what asks the plant, and what answers there."""
