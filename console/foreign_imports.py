"""Finds packages of others in the place of ours: ``jobs``, ``models`` and ``llm`` are common names.

Imports none of ours but this package, so it also runs where they cannot be imported.
"""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path

OURS = ("jobs", "models", "llm", "console", "gateway", "kos_client")
OF_ITS_OWN = "install into an environment of its own: pipx or uv tool install, and unset PYTHONPATH"
_HERE = Path(__file__).resolve().parents[1]


def foreign_import() -> str | None:
    """What is found instead of a package of ours, or shares its directory."""
    for name in OURS:
        spec = importlib.util.find_spec(name)
        places = list(spec.submodule_search_locations or [spec.origin or ""]) if spec else []
        if [Path(place).resolve() for place in places] != [_HERE / name]:
            return f"{name} is that of {', '.join(places) or 'nobody'}"
    owners = metadata.packages_distributions()
    ours = set(owners.get("kos_client", ()))  # the one name that is ours alone
    for name in OURS:
        if others := sorted(set(owners.get(name, ())) - ours):
            return f"{name} is also in the package {others[0]}"
    return None
