"""Fixtures that every layer of tests may use, and the order of the files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from llm.mlx_server.openblas import load_openblas

load_openblas(threads=1)  # Before a test imports MLX, as the server does.

# A busy machine must fail no test: none has a time limit of its own.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

pytest_plugins = ["tests.support.embedded", "tests.support.system"]

TESTS = Path(__file__).parent
LONGEST_FIRST = (
    "acceptance/chaos", "acceptance", "integration/gateway", "integration/flow", "browser",
    "integration/services", "integration/upkeep", "unit/mlx_server", "unit/model_files",
    "unit/simulation", "integration", "conformance",
)  # fmt: skip
"""Files run side by side: a long one that starts last is waited for by itself."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _place(item.path))


def _place(path: Path) -> int:
    """Of the first directory in the list that holds it; all others follow."""
    within = path.relative_to(TESTS).parent.as_posix() + "/"
    fits = (within.startswith(directory + "/") for directory in LONGEST_FIRST)
    return next((place for place, fit in enumerate(fits) if fit), len(LONGEST_FIRST))
