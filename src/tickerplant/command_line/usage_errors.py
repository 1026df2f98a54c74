"""Usage errors on one line: what is wrong, what was expected, and where to read on."""

from __future__ import annotations

import click

from tickerplant.errors import ConfigError
from tickerplant.suggestions import one_of, suggestion

EXPECTED = {
    "KEY=VALUE": "a parameter such as symbol=BTCUSDT",
    "METHOD": "a method such as ticker.price, or a REST path such as /fapi/v1/klines",
    "PATH": "a recording: a folder, a segment, or a file of lines",
    "SHELL": "one of bash, zsh, fish",
    "STREAM": "a stream such as btcusdt@trade, @FILE with one in each line, or - for standard input",
    "URL-OR-STREAM": "a URL, a path, a stream or a method of the WebSocket API, @FILE, or -",
}
"""What is expected for each argument, by metavar."""


def usage_text(error: click.ClickException) -> str:
    """Return the message of a usage error, on one line."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if isinstance(error, click.BadOptionUsage):
        return f"{error.option_name} is missing its value"
    if context is None:
        return _in_one_line(error)
    if isinstance(error, click.NoSuchOption):
        text = _no_such_option(error.option_name, context)
    elif isinstance(error, click.MissingParameter) and error.param is not None:
        name = _name_of(error.param, context)
        text = f"{name} is missing: expected {EXPECTED.get(name, 'a value')}"
    else:
        text = _in_one_line(error)
    return f"{text} (see {context.command_path} -h)"


def setting_text(error: ConfigError) -> str:
    """Return the message of an invalid setting; an argument of Python is shown as its option."""
    from tickerplant.config.resolve import known_keys  # noqa: PLC0415

    option = error.setting.replace("_", "-")
    if option.replace("-", "_") not in known_keys():
        return str(error)
    return str(error).replace(f" for {error.setting}: ", f" for --{option}: ", 1)


def no_such_command(name: str, context: click.Context, known: list[str]) -> click.UsageError:
    """Return the error of an unknown command."""
    return click.UsageError(f"no such command {name!r}{suggestion(name, known)}", context)


def invalid_choice(
    name: str, value: str, choices: list[str], context: click.Context
) -> click.UsageError:
    """Return the error of an argument that is none of the choices."""
    return click.UsageError(
        f"invalid value {value!r} for {name}: expected {one_of(value, choices)}", context
    )


def _in_one_line(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split()).rstrip(".")
    return text[:1].lower() + text[1:]


def _no_such_option(option: str, context: click.Context) -> str:
    known = [
        name.removeprefix("--")
        for param in context.command.get_params(context)
        for name in (*param.opts, *param.secondary_opts)
        if name.startswith("--")
    ]
    return f"no such option {option!r}{suggestion(option.lstrip('-'), known, '--{}')}"


def _name_of(param: click.Parameter, context: click.Context) -> str:
    return (param.metavar or param.make_metavar(context)).strip("[].").upper()
