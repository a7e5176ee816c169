"""How an optional part is added to this environment, in words for a person."""

from __future__ import annotations

import sys
from importlib import metadata

from jobs.settings.load import PROJECT

DISTRIBUTION = "knowledge-os-jobs"


def install_command(extra: str) -> str:
    """From the checkout where there is one, else the packages of the extra by their names."""
    pip = f"{sys.executable} -m pip install"
    if (PROJECT / "setup.cfg").is_file():
        return f"{pip} -e '{PROJECT}[{extra}]'"
    wanted = f'extra == "{extra}"'
    pairs = (text.partition(";") for text in metadata.requires(DISTRIBUTION) or ())
    needed = dict.fromkeys(name.strip() for name, _, marker in pairs if wanted in marker)
    return " ".join([pip, *(f"'{name}'" for name in needed)])
