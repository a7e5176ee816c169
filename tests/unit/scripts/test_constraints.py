"""constraints.txt names a version for all that setup.cfg asks for."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[3]


def required() -> list[Requirement]:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    lists = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    return [Requirement(line) for text in lists for line in text.split("\n") if line.strip()]


def pinned() -> dict[str, list[Version]]:
    """Versions by name: more than one where Pythons need different ones."""
    found: dict[str, list[Version]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        pin = Requirement(line)
        (specifier,) = pin.specifier
        found.setdefault(canonicalize_name(pin.name), []).append(Version(specifier.version))
    return found


@pytest.mark.parametrize("requirement", required(), ids=str)
def test_every_dependency_is_pinned_to_a_version_that_it_allows(requirement: Requirement) -> None:
    versions = pinned().get(canonicalize_name(requirement.name), [])

    assert versions, f"run scripts/constraints: {requirement.name} has no version"
    assert all(version in requirement.specifier for version in versions)
