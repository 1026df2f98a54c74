"""The settings of the program, each declared once.

A field of a settings Struct is a setting: its name, its type with the bounds, its default and one
sentence of help.  From that declaration come the command-line option (`--usdm-port`), the name in
the environment (`TICKERPLANT_USDM_PORT`) and the key in a TOML file (`usdm_port`).

Flags beat the environment, which beats the file given by `--config`, which beats the defaults.  In
the file a key at the top holds for every command that has the setting; a key in a table named
after the command, such as `[replay]`, holds for that command and wins.  A command passes over what
it does not have, so that one file serves all; what no command has is refused.
"""
