from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs.settings.load import PROJECT, SETTING_NAMES
from jobs.settings.names import unknown_names

NAME = re.compile(r"\bKOS_[A-Z_]*[A-Z]\b")
SCRIPTS = sorted(
    path for path in (PROJECT / "scripts").rglob("*") if path.suffix == ".sh" or not path.suffix
)


@pytest.mark.parametrize(
    "script", [path for path in SCRIPTS if path.is_file()], ids=lambda path: path.name
)
def test_what_a_script_reads_is_not_called_a_typo(script: Path) -> None:
    named = set(NAME.findall(script.read_text(encoding="utf-8")))

    assert unknown_names(named, SETTING_NAMES) == ()
