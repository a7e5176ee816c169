from __future__ import annotations

import importlib.util
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from console.operations.doctor.check import Check
from console.operations.doctor.machine import bare_checks


def imports() -> Check:
    return next(check for check in bare_checks() if check.name == "imports")


def test_our_own_packages_are_found() -> None:
    assert imports().level.value == "ok"


def test_a_package_of_another_program_in_front_of_ours_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec

    def shadowed(name: str, package: str | None = None) -> ModuleSpec | None:
        if name != "llm":
            return found(name, package)
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(tmp_path / "llm")]
        return spec

    monkeypatch.setattr(importlib.util, "find_spec", shadowed)

    check = imports()

    assert check.level.value == "red"
    assert str(tmp_path / "llm") in check.detail
    assert "pipx" in (check.remedy or "")


def test_a_package_that_shares_our_directory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = {"llm": ["knowledge-os-jobs", "llm"]}
    monkeypatch.setattr(metadata, "packages_distributions", lambda: owners)

    assert imports().detail == "llm is also in the package llm"
