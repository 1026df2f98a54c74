"""How this program starts itself again, as a process of another kind."""

from __future__ import annotations

import sys
from pathlib import Path

_PROGRAM = "import sys; sys.path.append({root!r}); from {module} import main; main()"


def command_of(module: str, *words: str) -> list[str]:
    """Return the command line that runs `main` of a module of this package.

    Args:
        module: Its full name.
        words: Further arguments, which only show what the process is.
    """
    root = str(Path(__file__).parents[2])
    return [sys.executable, "-P", "-c", _PROGRAM.format(root=root, module=module), *words]
