"""The shells that do I/O: one port per venue that carries HTTP and WebSocket."""
