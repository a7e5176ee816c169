"""The command line against running workers and simulated model servers."""

from __future__ import annotations

import json

import pytest

from tests.integration.cli.command_line import Kos
from tests.support.system import System


@pytest.fixture
def running(kos: Kos, system: System) -> System:
    kos.setenv("OLLAMA_API_URL", system.ollama.url)
    kos.setenv("MLX_API_URL", system.mlx.url)
    system.environ["KOS_FILE_ROOTS"] = str(kos.files)
    system.start()
    return system


def test_a_file_of_tasks_runs_to_its_answers(kos: Kos, running: System) -> None:
    (kos.files / "report.md").write_text("Revenue rose by four percent in March.")
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    source = kos.files / "tasks.jsonl"
    lines = [
        {"custom_id": "read", "description": "Summarise report.md", "files": ["report.md"]},
        {"custom_id": "judge", "description": "Is it good news?", "schema": schema},
        {"custom_id": "mail", "description": "Write a mail about it", "after": ["read", "judge"]},
        {"custom_id": "refused", "description": "x", "category": "poetry"},
    ]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))

    submitted = kos("submit", "--from", str(source), "--json")
    waited = kos("wait", "--all", "--timeout", "90")

    assert submitted.code == 2
    assert waited.code == 0, running.tell()
    rows = {row["custom_id"]: row for row in kos("tasks", "--json").json}
    assert {row["status"] for row in rows.values()} == {"completed"}
    assert isinstance(json.loads(rows["judge"]["result"])["ok"], bool)
    mail = kos("show", "mail", "--json").json
    assert mail["started_at"] >= max(rows[key]["completed_at"] for key in ("read", "judge"))
    assert mail["attempts"][0]["worker"]
    stages = [decision["stage"] for decision in kos("why", "mail", "--json").json["decisions"]]
    assert {"assign", "route", "plan"} <= set(stages)
    assert len(kos("export", "--status", "completed").out.splitlines()) == 3


def test_one_task_is_submitted_and_answered(kos: Kos, running: System) -> None:
    ran = kos("submit", "Explain heartbeats in three lines", "--wait", "--timeout", "60")

    assert ran.code == 0, running.tell()
    assert "simulated" in ran.out


def test_a_paused_backend_gets_nothing_until_it_is_resumed(kos: Kos, running: System) -> None:
    running.wait(
        lambda: all(row["consumers"] for row in kos("queues", "--json").json), what="consumers"
    )
    for name in ("mlx", "ollama"):
        kos("pause", name)

    (task_id,) = kos("submit", "Wait for it", "--json").json["ids"]
    early = kos("wait", task_id, "--timeout", "1.5")
    kos("resume", "mlx")
    late = kos("wait", task_id, "--timeout", "60")

    assert early.code == 3
    assert late.code == 0, running.tell()
    assert kos("show", task_id, "--json").json["backend"] == "mlx"


def test_backends_tell_what_is_in_memory_after_a_task(kos: Kos, running: System) -> None:
    kos("submit", "Hello there", "--backend", "ollama", "--wait", "--timeout", "60")

    rows = {row["name"]: row for row in kos("backends", "--json").json}

    assert rows["ollama"]["healthy"]
    assert len(rows["ollama"]["resident"]) == 1
    assert rows["ollama"]["resident"][0] in rows["ollama"]["models"]
    assert rows["ollama"]["breaker"] == "closed"
