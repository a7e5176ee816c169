from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from jobs.settings.load import PROJECT, Settings
from llm.mlx_server.settings import ServerSettings

HOLDERS = frozenset({"settings", "_settings"})
CHECKS_ONLY = "_contradictions"


def reads(path: Path) -> Iterator[str]:
    """Names that are read of something called settings; a check of a value is no use of it."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    inside = path == PROJECT / "jobs" / "settings" / "load.py"
    checks = {
        id(node)
        for function in ast.walk(module)
        if isinstance(function, ast.FunctionDef) and function.name == CHECKS_ONLY
        for node in ast.walk(function)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and id(node) not in checks:
            holder = node.value.attr if isinstance(node.value, ast.Attribute) else node.value
            name = holder.id if isinstance(holder, ast.Name) else holder
            if name in HOLDERS or (inside and name == "self"):
                yield node.attr


def test_every_setting_is_read_by_somebody() -> None:
    """What the MLX server has of the same name it reads from the environment by itself."""
    by_the_mlx_server = {
        f"MLX_{field.name.upper()}" for field in dataclasses.fields(ServerSettings)
    }
    read = {
        name
        for wing in ("jobs", "console", "gateway")
        for path in (PROJECT / wing).rglob("*.py")
        for name in reads(path)
    }

    dead = [
        field.metadata["env"]
        for field in dataclasses.fields(Settings)
        if "env" in field.metadata
        and field.name not in read
        and field.metadata["env"] not in by_the_mlx_server
    ]

    assert dead == []
