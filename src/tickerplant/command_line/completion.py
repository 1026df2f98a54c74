"""Completion in bash, zsh and fish: the scripts, and what they ask this program for.

A script runs `tickerplant completions SHELL --line LINE`, which prints one line for each
completion: its kind, the word and a description, separated by tabs.
"""

from __future__ import annotations

from collections.abc import Iterator

import click
from click.shell_completion import CompletionItem, ShellComplete, split_arg_string

from tickerplant.command_line.values import FILES, FOLDERS, WORD

_BASH = r"""_tickerplant() {
    local kind word help
    COMPREPLY=()
    while IFS=$'\t' read -r kind word help; do
        case $kind in
            files) compopt -o filenames 2>/dev/null; COMPREPLY+=($(IFS=$'\n'; compgen -f -- "$2")) ;;
            folders) compopt -o filenames 2>/dev/null; COMPREPLY+=($(IFS=$'\n'; compgen -d -- "$2")) ;;
            prefix) compopt -o nospace 2>/dev/null; COMPREPLY+=("$word") ;;
            *) COMPREPLY+=("$word") ;;
        esac
    done < <("$1" completions bash --line "${COMP_LINE:0:COMP_POINT}" --word "$2" 2>/dev/null)
}
complete -F _tickerplant tickerplant
"""
_ZSH = r"""#compdef tickerplant
_tickerplant() {
    local kind word help
    local -a described bare
    while IFS=$'\t' read -r kind word help; do
        case $kind in
            files) _files ;;
            folders) _files -/ ;;
            prefix) compadd -U -S '' -- "$word" ;;
            *) if [[ -n $help ]]; then described+=("${word//:/\\:}:$help"); else bare+=("$word"); fi ;;
        esac
    done < <("${words[1]}" completions zsh --line "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)
    (( $#described )) && _describe -V option described -U
    (( $#bare )) && compadd -U -a bare
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _tickerplant "$@"; else compdef _tickerplant tickerplant; fi
"""
_FISH = r"""function __tickerplant_complete
    set -l program (commandline -cpo)[1]
    $program completions fish --line (commandline -cp) 2>/dev/null | while read -l -d \t kind word help
        switch $kind
            case files
                __fish_complete_path (commandline -ct)
            case folders
                __fish_complete_directories (commandline -ct)
            case '*'
                printf '%s\t%s\n' $word $help
        end
    end
end
complete -c tickerplant -f -a '(__tickerplant_complete)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
"""The script of each shell."""
_KINDS = {"plain": WORD, "file": FILES, "dir": FOLDERS}
"""Our names for the kinds of the library."""
_HELP_CHARACTERS = 60
_SPECIAL_IN_BASH = "!<>|&;()$`\\\"' *?#"
"""Characters that bash would not take literally."""


def completion_lines(
    root: click.Group, shell: str, line: str, word: str | None = None
) -> Iterator[str]:
    """Yield the completions of the last word of a command line.

    Args:
        root: The program.
        shell: Which shell asks.
        line: The command line up to the cursor.
        word: For bash, the part of the last word that it replaces; it divides words at `@` and `=`.
    """
    words = split_arg_string(line)[1:]
    last = words.pop() if words and not line.endswith((" ", "\t")) else ""
    for item in completions(root, words, last):
        kind = _KINDS.get(item.type, item.type)
        text = str(item.value)
        if shell == "bash" and word is not None:
            replaced = _in_bash(text, last, word, is_quoted=_is_quoted(line))
            if replaced is None:
                continue
            text = replaced
        help_text = " ".join((item.help or "").split())[:_HELP_CHARACTERS]
        yield f"{kind}\t{text}\t{help_text}"


def completions(root: click.Group, words: list[str], last: str) -> list[CompletionItem[str]]:
    """Return what the last word of a command line can be completed to.

    Args:
        root: The program.
        words: The words before it, without the name of the program.
        last: What is written of it.
    """
    option, equals, value = last.partition("=")
    is_option = bool(equals) and option.startswith("--")
    before = [*words, option] if is_option else words
    found = ShellComplete(root, {}, "tickerplant", "").get_completions(
        before, value if is_option else last
    )
    if not is_option:
        return found
    return [CompletionItem(f"{option}={each.value}", each.type, each.help) for each in found]


def _in_bash(text: str, last: str, word: str, *, is_quoted: bool) -> str | None:
    """Return what bash is to put in the place of `word`; None if it cannot be put there."""
    if text.startswith(last) and last:
        rest = text[len(last) :]
        if is_quoted:
            return word + rest
        return (f"\\{word}" if word.startswith("!") else word) + "".join(map(_escaped, rest))
    if word != last:
        return None
    return text if is_quoted else "".join(map(_escaped, text))


def _is_quoted(line: str) -> bool:
    """Whether the last word of a command line begins with a quote that is open."""
    return line.rpartition(" ")[2][:1] in {"'", '"'}


def _escaped(character: str) -> str:
    return f"\\{character}" if character in _SPECIAL_IN_BASH else character
