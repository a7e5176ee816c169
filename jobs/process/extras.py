"""How the user installs an optional extra in this environment."""

from __future__ import annotations

import sys
from importlib import metadata

from jobs.settings.load import PROJECT

DISTRIBUTION = "knowledge-os-jobs"


def install_command(extra: str) -> str:
    """The command: from the checkout if there is one, else the packages of the extra by name."""
    pip = f"{sys.executable} -m pip install"
    if (PROJECT / "setup.cfg").is_file():
        return f"{pip} -e '{PROJECT}[{extra}]'"
    wanted = f'extra == "{extra}"'
    pairs = (text.partition(";") for text in metadata.requires(DISTRIBUTION) or ())
    needed = dict.fromkeys(name.strip() for name, _, marker in pairs if wanted in marker)
    return " ".join([pip, *(f"'{name}'" for name in needed)])
