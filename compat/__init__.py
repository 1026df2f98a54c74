"""Public client libraries against the server: `make compat`.

`python -m compat` starts a simulated market, runs one program per library, each in a virtual
environment of its own with pinned versions, and writes `docs/reference/compatibility.md`.  The
modules that programs import, and the programs, use nothing but the standard library and theirs.
"""
