"""Metadata of the distribution `tickerplant`, taken from the project at the root."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

CORE = "tickerplant-core"
SHARED = ("classifiers", "keywords", "urls")


class Metadata(MetadataHookInterface):
    """Requires the core of the same version, with its server, and passes the other extras on."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add to `metadata` what is not in pyproject.toml."""
        root = Path(self.root).parents[1]
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        version = metadata["version"]
        metadata |= {name: project[name] for name in SHARED}
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": (root / "README.md").read_text(encoding="utf-8"),
        }
        metadata["dependencies"] = [f"{CORE}[server]=={version}"]
        metadata["optional-dependencies"] = {
            extra: [f"{CORE}[{extra}]=={version}"] for extra in project["optional-dependencies"]
        }
