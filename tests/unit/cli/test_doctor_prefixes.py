"""What `kos doctor` says of the folder for beginnings of prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.operations.doctor.check import Check
from console.operations.doctor.machine import machine_checks
from jobs.settings.load import load


def checks(home: Path, name: str, **environ: str) -> list[Check]:
    settings = load({"KOS_HOME": str(home), **environ}, in_container=False)
    return [found for found in machine_checks(settings, running=True) if found.name == name]


def test_nothing_is_said_where_no_folder_is_set(tmp_path: Path) -> None:
    assert checks(tmp_path, "prefixes") == []


@pytest.mark.parametrize(("limit", "level"), [(2**20, "ok"), (2**60, "warning")])
def test_a_folder_needs_room_for_its_bytes(tmp_path: Path, limit: int, level: str) -> None:
    folder = {
        "MLX_PREFIX_CACHE_DIR": str(tmp_path / "not" / "yet"),
        "MLX_PREFIX_CACHE_DIR_BYTES": str(limit),
    }

    (found,) = checks(tmp_path, "prefixes", **folder)

    assert found.level.value == level


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")

    (found,) = checks(tmp_path, "prefixes", MLX_PREFIX_CACHE_DIR=str(tmp_path / "taken"))

    assert (found.level.value, "taken is not writable" in found.detail) == ("red", True)


def test_a_wrong_value_is_named_with_its_variable(tmp_path: Path) -> None:
    (found,) = checks(tmp_path, "mlx server", MLX_PREFIX_CACHE_DIR_BYTES="plenty")

    assert "MLX_PREFIX_CACHE_DIR_BYTES" in found.detail
