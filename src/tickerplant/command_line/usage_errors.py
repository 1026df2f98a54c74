"""Usage errors on one line: what is wrong, what was expected, and where to read on."""

from __future__ import annotations

import click

from tickerplant.errors import ConfigError
from tickerplant.suggestions import suggestion

EXPECTED = {
    "KEY=VALUE": "a parameter such as symbol=BTCUSDT",
    "METHOD": "a method such as ticker.price, or a REST path such as /fapi/v1/klines",
    "PATH": "a recording: a folder, a segment, or a file of lines",
    "SHELL": "one of bash, zsh, fish",
    "STREAM": "a stream such as btcusdt@trade, @FILE with one in each line, or - for standard input",
    "URL-OR-STREAM": "a URL, a path, a stream or a method of the WebSocket API, @FILE, or -",
}
"""What is expected for each argument, by metavar."""


def error_text(error: Exception, command: str) -> str | None:
    """Return the one line about an error; None if it is none of the user's."""
    if isinstance(error, click.ClickException):
        return _usage_text(error)
    if isinstance(error, ConfigError):
        return _setting_text(error)
    if isinstance(error, ModuleNotFoundError):
        from tickerplant.libraries import is_optional, missing_library  # noqa: PLC0415

        return str(missing_library(error, command)) if is_optional(error) else None
    return str(error)


def _usage_text(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    text = " ".join(error.format_message().split()).rstrip(".")
    text = text[:1].lower() + text[1:]
    if isinstance(error, click.BadOptionUsage):
        return f"{error.option_name} is missing its value"
    if context is None:
        return text
    if isinstance(error, click.NoSuchOption):
        options = [
            name.removeprefix("--")
            for param in context.command.get_params(context)
            for name in (*param.opts, *param.secondary_opts)
            if name.startswith("--")
        ]
        hint = suggestion(error.option_name.lstrip("-"), options, "--{}")
        text = f"no such option {error.option_name!r}{hint}"
    elif isinstance(error, click.exceptions.NoSuchCommand):
        known = context.command.commands if isinstance(context.command, click.Group) else ()
        text = f"no such command {error.command_name!r}{suggestion(error.command_name, known)}"
    elif isinstance(error, click.MissingParameter) and error.param is not None:
        name = (error.param.metavar or error.param.make_metavar(context)).strip("[].").upper()
        text = f"{name} is missing: expected {EXPECTED.get(name, 'a value')}"
    return f"{text} (see {context.command_path} -h)"


def _setting_text(error: ConfigError) -> str:
    """Return the message of an invalid setting; an argument of Python is shown as its option."""
    from tickerplant.config.resolve import known_keys  # noqa: PLC0415

    if error.setting not in known_keys():
        return str(error)
    option = error.setting.replace("_", "-")
    return str(error).replace(f" for {error.setting}: ", f" for --{option}: ", 1)
