"""The real system on the database of another one: all that its programs insert completes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from models import database, rights
from models.migrations import runner
from tests.support import original_site
from tests.support.original_site import SHAPES, insert, run
from tests.support.system import System, running_system


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
        statements = rights.grants(name)
    for statement in statements:
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
