"""The client: sockets and HTTP around the state machines of `feed`."""
