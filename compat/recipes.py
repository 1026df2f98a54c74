"""The programs of the page that shows how to point each library here: run as they stand there.

A recipe is a whole program.  It runs with keys that mean nothing, must come to its end, and
must show that the server refused the order that it placed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compat.environment import ENVIRONMENTS, ROOT, problem_of, python_of, version_of
from compat.network import environment_of
from compat.trial import COINM, USDM, Outcome, Result, Server

if TYPE_CHECKING:
    from compat.libraries import Program  # whose import needs the server's packages

PAGE = ROOT / "docs" / "how-to" / "use-your-client.md"
KIND = "recipe"
REFUSED = "API-key format invalid"
"""What the exchange answers to an order without a key, and the server to every order (-2014)."""
TIMEOUT_S = 120.0
ADDRESSES = {USDM: "127.0.0.1:9001", COINM: "127.0.0.1:9002"}
"""The addresses in the page, which stand for those of the server."""
RUNNERS = {"python": "python", "javascript": "node"}
_PART = re.compile(
    r"^#+ (?P<title>[^\n]+)$|^```(?P<language>python|javascript) needs=(?P<library>\S+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Recipe:
    """A program of the page, the library that it is for, and its name: the heading above it."""

    name: str
    library: str
    language: str
    text: str

    @property
    def venues(self) -> str:
        """The venues that it uses."""
        return ", ".join(venue for venue, address in ADDRESSES.items() if address in self.text)

    def at(self, server: Server) -> str:
        """Return the program with the addresses of a server."""
        text = self.text
        for venue, address in ADDRESSES.items():
            text = text.replace(address, server.address(venue))
        return text


def recipes(page: str | None = None) -> Iterator[Recipe]:
    """Yield the programs of the page."""
    title, number = "", 0
    for part in _PART.finditer(PAGE.read_text(encoding="utf-8") if page is None else page):
        if part["title"]:
            title, number = part["title"], 0
        else:
            number += 1
            yield Recipe(f"{title}, {number}", part["library"], part["language"], part["text"])


def tried(program: Program, server: Server) -> Iterator[Result]:
    """Run the recipes of a program's libraries; yield a result for each, and for one that lacks."""
    folder, mine = ENVIRONMENTS / program.name, list(recipes())
    for library in program.libraries:
        version = version_of(program.name, library)
        found = [each for each in mine if each.library == library]
        for recipe in found:
            name = re.sub(r"\W+", "-", f"recipe {recipe.name} {server.profile}".lower())
            log = ENVIRONMENTS / f"{name}.log"
            runner = python_of(program.name).with_name(RUNNERS[recipe.language])
            reason = problem(recipe, server, runner, folder, log)
            outcome = Outcome.FAILED if reason else Outcome.OK
            yield Result(library, version, recipe.venues, KIND, recipe.name, outcome, reason)
        if not found:
            reason = f"{PAGE.name} has none"
            yield Result(library, version, "", KIND, library, Outcome.FAILED, reason)


def problem(recipe: Recipe, server: Server, interpreter: Path, folder: Path, log: Path) -> str:
    """Run a recipe in a folder, with its output in a log; return what is wrong with it, if anything."""
    suffix = {"python": ".py", "javascript": ".mjs"}[recipe.language]
    script = folder / f"{log.stem}{suffix}"
    script.write_text(recipe.at(server), encoding="utf-8")
    trusted = {"SSL_CERT_FILE": server.certificate, "REQUESTS_CA_BUNDLE": server.certificate}
    environment = environment_of(ROOT / "src") | (trusted if server.certificate else {})
    command = [str(interpreter), str(script)]
    if end := problem_of(command, TIMEOUT_S, log, cwd=folder, env=environment):
        return end
    if REFUSED not in log.read_text(encoding="utf-8", errors="replace"):
        return f"no order was refused with {REFUSED!r}; see {os.path.relpath(log, ROOT)}"
    return ""
