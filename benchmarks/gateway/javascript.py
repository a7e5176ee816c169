"""The official JavaScript clients of npm against the gateway; left out, by name, without node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.gateway.stage import deployment

SCRIPT = Path(__file__).with_name("clients.mjs")


def javascript(directory: Path) -> dict[str, Any]:
    """What each check says: ``passed``, or why not."""
    if not shutil.which("node") or not shutil.which("npm"):
        return {"left out": "node and npm are not installed here"}
    modules = directory / "javascript"
    modules.mkdir()
    script = shutil.copy(SCRIPT, modules)
    subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "openai", "ollama"],
        cwd=modules, check=True,
    )  # fmt: skip
    with deployment(directory, profile="ollama", slots=8, time_scale=200.0) as (_, url):
        found = subprocess.run(
            ["node", script, url, "ollama/phi3.5:3.8b"],
            cwd=modules, check=True, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    results: dict[str, Any] = json.loads(found.stdout)
    return results
