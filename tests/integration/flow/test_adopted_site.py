"""The real system on the database of another one: all that its programs insert completes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from models import database, site
from models.migrations import runner
from tests.support import original_site
from tests.support.original_site import run
from tests.support.system import System, running_system

EXPERT = "(SELECT id FROM experts ORDER BY name LIMIT 1)"
DOMAIN = "(SELECT id FROM domains ORDER BY name LIMIT 1)"
PARENT = "(SELECT id FROM tasks WHERE status = 'completed' ORDER BY created_at LIMIT 1)"
TEXT = "'Explain in two sentences why a database needs an index.'"

# What its orchestrator, scouts, dashboards, bot, API and nightly jobs write: column -> SQL.
SHAPES: dict[str, dict[str, str]] = {
    "title and description": {},
    "a status": {"status": "'pending'"},
    "status and priority": {"status": "'pending'", "priority": "'high'"},
    "nulls": {"status": "NULL", "priority": "NULL", "metadata": "NULL", "created_at": "NULL"},
    "an assignee": {"assignee_expert_id": EXPERT, "status": "'pending'"},
    "assignee and creator": {
        "assignee_expert_id": EXPERT, "creator_expert_id": EXPERT, "priority": "'urgent'"},
    "a domain": {"domain_id": DOMAIN, "creator_expert_id": EXPERT, "priority": "'low'"},
    "a scout": {"metadata": """'{"source": "scout", "category": "trends", "keywords": ["a"]}'"""},
    "a prediction": {
        "metadata": """'{"bug_probability": 0.7, "file_path": "src/a.py"}'"""},
    "a group": {
        "metadata": """'{"batch_group": "g1", "complex": true}'""", "task_type": "'complex'"},
    "doubly encoded metadata": {"metadata": """'"{\\"source\\": \\"bot\\"}"'"""},
    "a part of a task": {"parent_task_id": PARENT, "project_context": "'atlas'"},
    "all columns": {
        "id": "gen_random_uuid()", "status": "'pending'", "priority": "'medium'",
        "assignee_expert_id": EXPERT, "creator_expert_id": EXPERT, "domain_id": DOMAIN,
        "parent_task_id": PARENT, "metadata": """'{"source": "nightly"}'""", "result": "NULL",
        "actual_duration_minutes": "NULL", "created_at": "now()", "updated_at": "now()",
        "completed_at": "NULL", "orchestrator_version": "'3.1'", "project_context": "'atlas'",
        "task_type": "'simple'", "complexity_score": "2.5", "required_models": "'[\"a\"]'",
        "estimated_duration_min": "5"},
}  # fmt: skip


def insert(url: str, shape: str) -> str:
    columns = {"title": f"'{shape}'", "description": TEXT, **SHAPES[shape]}
    statement = f"INSERT INTO tasks ({', '.join(columns)}) VALUES ({', '.join(columns.values())})"
    return str(run(url, f"{statement} RETURNING id")[0][0])


@pytest.fixture
def adopted(postgres_url: str) -> str:
    """The URL of the owner, after the adoption."""
    original_site.build(postgres_url, "with history and dependencies", rows=500)
    database.configure(postgres_url, pool_size=5)
    runner.up()
    return postgres_url


@pytest.fixture
def granted(adopted: str) -> Iterator[str]:
    """A URL of a role that has the grants we print and owns nothing."""
    name = f"runner_{urlsplit(adopted).path.rpartition('/')[2]}"
    run(adopted, f"CREATE ROLE {name} LOGIN PASSWORD 'p'")
    with database.session():
        statements = site.grants(name)
    changelog = f"GRANT ALL ON expert_changelog, expert_changelog_id_seq TO {name}"
    for statement in (*statements, changelog):
        run(adopted, statement)
    parts = urlsplit(adopted)
    yield urlunsplit(parts._replace(netloc=f"{name}:p@{parts.hostname}:{parts.port}"))
    database.close_all()
    run(adopted, f"DROP OWNED BY {name}; DROP ROLE {name}")


def test_every_shape_of_an_insert_completes_with_the_grants_alone(
    adopted: str, granted: str, redis_url: str, tmp_path: Path
) -> None:
    assert len(SHAPES) == 13
    before = [insert(adopted, shape) for shape in SHAPES]
    repository = tmp_path / "repository"
    (repository / "src").mkdir(parents=True)
    (repository / "src" / "a.py").write_text("x = 1\n")
    with running_system(granted, redis_url, tmp_path, KOS_FILE_ROOTS=str(repository)) as system:
        system.start("control", "llm-ollama", "llm-mlx", "listener", "scheduler")
        after = [insert(adopted, shape) for shape in SHAPES]
        child = insert(adopted, "title and description")
        run(adopted, f"INSERT INTO task_dependencies (parent_task_id, child_task_id) "
                     f"VALUES ('{after[0]}', '{child}')")  # fmt: skip
        ids = [*before, *after, child]

        system.wait(lambda: completed(system, ids) == len(ids), deadline_seconds=40)

        assert system.sql(
            "SELECT count(*) AS n FROM kos_attempts WHERE outcome IS DISTINCT FROM 'completed'"
        ) == [{"n": 0}]
        assert system.task(child)["started_at"] >= system.task(after[0])["completed_at"]
        assert system.sql("SELECT count(*) AS n FROM experts")[0]["n"] == 87  # two of the test


def completed(system: System, ids: list[str]) -> int:
    rows = system.sql(
        "SELECT count(*) AS n FROM tasks WHERE id = ANY(%s::uuid[]) AND status = 'completed' "
        "AND result <> ''", (ids,)
    )  # fmt: skip
    return int(rows[0]["n"])
