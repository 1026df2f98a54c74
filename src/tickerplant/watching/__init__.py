"""The client library on the command line: `watch`, `record` and `ask`."""
