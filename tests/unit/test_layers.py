"""Who may import whom, read off the source of every module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("llm", "models", "jobs", "console", "gateway", "kos_client")

# The rooms of ``jobs`` from the bottom up: each may import those before it, and never one after it.
ROOMS = (
    "jobs.settings",
    "jobs.process",
    "jobs.queues",
    "jobs.admission",
    "jobs.planning",
    "jobs.attempt",
    "jobs.upkeep",
    "jobs.actors",
)
VALUES = ("jobs.policy", "llm", "models")

# The first rule whose prefix fits a module holds; it lists every package of ours it may import.
RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("llm", ("llm",)),
    ("models", ("models",)),
    (
        "jobs.policy",
        ("jobs.policy", "llm.types", "llm.kinds", "llm.errors", "llm.detectors", "models.states"),
    ),
    (
        "jobs.simulation",
        (
            "jobs.simulation",
            "jobs.policy",
            "llm.types",
            "llm.kinds",
            "llm.errors",
            "llm.simulator.prefix_cache",
            "models.states",
        ),
    ),
    *((room, (*ROOMS[: place + 1], *VALUES)) for place, room in enumerate(ROOMS)),
    ("jobs", ("jobs", "llm", "models")),
    ("console", ("console", "jobs", "llm", "models", "kos_client")),
    ("gateway", ("gateway", "jobs", "llm", "models")),
    ("kos_client", ("kos_client",)),
)


def violations(root: Path) -> list[str]:
    """Every import that its rule does not allow, as ``file:line: module imports other``."""
    return [
        f"{path.relative_to(root)}:{line}: {module} imports {imported}"
        for path in _sources(root)
        for module in [_module_name(path.relative_to(root))]
        for line, imported in _imports(path)
        if imported.split(".")[0] in OURS and not _allowed(module, imported)
    ]


def test_every_import_keeps_to_its_wing() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("module", "bad_import"),
    [
        ("llm/stray.py", "from jobs.settings.load import Settings"),
        ("llm/backends/stray.py", "import models.task"),
        ("models/stray.py", "from llm.types import Scan"),
        ("jobs/policy/stray.py", "from jobs.settings.load import Settings"),
        ("jobs/settings/stray.py", "from jobs.process.clock import utc_now"),
        ("jobs/process/stray.py", "from jobs.queues.names import SCAN"),
        ("jobs/queues/stray.py", "from jobs.admission.slots import Slots"),
        ("jobs/admission/stray.py", "from jobs.planning.planner import Planner"),
        ("jobs/planning/stray.py", "from jobs.attempt.execution import Execution"),
        ("jobs/attempt/stray.py", "from jobs.upkeep.recovery import recover_all"),
        ("jobs/upkeep/stray.py", "from jobs.actors import plan"),
        ("jobs/actors/stray.py", "from jobs.worker import main"),
        ("jobs/attempt/stray.py", "from jobs.runtime import Runtime"),
        ("gateway/stray.py", "from console.home import free_port"),
        ("console/stray.py", "from gateway.app import build_app"),
        ("kos_client/stray.py", "from models.task import Task"),
        ("jobs/policy/stray.py", "from llm.backends.registry import Backends"),
        ("jobs/simulation/stray.py", "import jobs.runtime"),
        ("jobs/stray.py", "def late():\n    from console.cli import main"),
    ],
)
def test_a_planted_bad_import_is_found(tmp_path: Path, module: str, bad_import: str) -> None:
    planted = tmp_path / module
    planted.parent.mkdir(parents=True)
    planted.write_text(f"{bad_import}\n")

    found = violations(tmp_path)

    assert len(found) == 1
    assert module in found[0]


def test_a_policy_reads_no_clock_environment_or_service() -> None:
    forbidden = {"time", "os", "random", "requests", "redis", "peewee", "psycopg2", "socket"}
    found = [
        f"{path.relative_to(ROOT)}:{line}: {imported}"
        for path in _sources(ROOT)
        if path.is_relative_to(ROOT / "jobs" / "policy")
        for line, imported in _imports(path)
        if imported.split(".")[0] in forbidden
    ]
    assert found == []


CLOCK_OF_THIS_HOST = {
    "jobs/process/clock.py": "notices sleep and steps of this clock",
    "jobs/upkeep/maintenance.py": "ages of files, which this host wrote",
    "gateway/dialects/ollama_from_openai.py": "a field of the answer",
    "gateway/dialects/openai_from_ollama.py": "a field of the answer",
    "console/supervision/client.py": "compared with a time of supervisord",
    "console/web/security/sessions.py": "cookies of this host",
    "console/cli/error_mapping.py": "a log line",
    "console/operations/doctor/services.py": "compares it with that of Postgres",
}
"""Who may read it, and what for. All others take ``utc_now`` and ``epoch_seconds``, which hosts
with different clocks share."""


def test_decisions_read_the_clock_that_all_hosts_share() -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in _sources(ROOT)
        if path.relative_to(ROOT).parts[0] in ("jobs", "gateway", "console")
        and re.search(r"\btime\.time\b|\b(datetime|pendulum)\.now\(", path.read_text())
    }

    assert found == set(CLOCK_OF_THIS_HOST)


def test_every_room_of_jobs_has_a_rule() -> None:
    rooms = {f"jobs.{path.parent.name}" for path in (ROOT / "jobs").glob("*/__init__.py")}

    assert rooms == {*ROOMS, "jobs.policy", "jobs.simulation"}


def test_jobs_keeps_its_programs_and_little_else_at_the_top() -> None:
    assert len(list((ROOT / "jobs").glob("*.py"))) <= 8


def test_files_and_functions_stay_small() -> None:
    large: list[str] = []
    for path in _sources(ROOT):
        text = path.read_text(encoding="utf-8")
        lines = text.count("\n")
        if lines > 400:
            large.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                length = node.end_lineno - node.lineno + 1
                if length > 60:
                    large.append(f"{path.relative_to(ROOT)}: {node.name} has {length} lines")
    assert large == []


def _sources(root: Path) -> Iterator[Path]:
    for wing in OURS:
        yield from sorted((root / wing).rglob("*.py"))


def _module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def _allowed(module: str, imported: str) -> bool:
    for wing, allowed in RULES:
        if module == wing or module.startswith(f"{wing}."):
            return any(
                imported == package or imported.startswith(f"{package}.") for package in allowed
            )
    return False
