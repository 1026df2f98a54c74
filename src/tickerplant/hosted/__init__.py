"""Markets that bring their own server: `replay` and `simulate`.

A child process serves the market on free ports of this machine.  It is started when the market is
opened, and ends with it.
"""
