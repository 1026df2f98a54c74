"""The settings of the program.

Each field of a settings Struct declares one setting: name, type, bounds, default and help text.
Its command-line option (`--usdm-port`), environment variable (`TICKERPLANT_USDM_PORT`) and key in
a TOML file (`usdm_port`) follow from the declaration.

Flags beat the environment, which beats the file given by `--config`, which beats the defaults.  A
key at the top of the file applies to every command that has the setting; a key in the table of a
command, such as `[replay]`, applies to that command and wins.  A command ignores the settings of
others, so one file can serve all; a key that no command knows is an error.
"""
