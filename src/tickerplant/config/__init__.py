"""The settings of the program.

Each field of a settings Struct declares one setting: name, type, bounds, default and help text.
Its command-line option (`--usdm-port`), environment variable (`TICKERPLANT_USDM_PORT`) and key in
a TOML file (`usdm_port`) follow from the declaration.

Flags beat the environment, which beats the file given by `--config`, which beats the defaults.  A
variable such as `TICKERPLANT_SPEED`, and a key at the top of the file, apply to every command that
has the setting; `TICKERPLANT_REPLAY_SPEED`, and a key in the table `[replay]`, apply to that
command and win.  A command ignores the settings of others, so one file can serve all; a key that
no command knows is an error.
"""
