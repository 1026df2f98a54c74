"""The conversation with clients, without sockets: text and time in, actions out."""
