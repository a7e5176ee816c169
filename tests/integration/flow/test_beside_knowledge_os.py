"""``KOS_COMPAT=knowledge_os``: the real system beside the programs of the other one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from models import database
from tests.support import original_site
from tests.support.original_site import insert, run
from tests.support.system import System, running_system

DOMAIN = "(SELECT id FROM domains WHERE name = 'Backend')"
KNOWN = f"""
INSERT INTO knowledge_nodes (domain_id, content, confidence_score, is_verified, source_ref)
SELECT {DOMAIN}, 'Known fact number ' || n || ' of the domain', n / 10.0, n = 1, 'book ' || n
FROM generate_series(1, 9) n;
UPDATE tasks SET domain_id = NULL;
"""
GROUP = "expert_workers"


@pytest.fixture
def url(postgres_url: str) -> str:
    original_site.build(postgres_url, "init only", rows=10)
    run(postgres_url, KNOWN)
    return postgres_url


def metadata(system: System, task_id: str) -> dict[str, Any]:
    return dict(system.task(task_id)["metadata"])


def nodes(system: System, task_id: str) -> list[Any]:
    return system.sql("SELECT * FROM knowledge_nodes WHERE metadata->>'task_id' = %s", (task_id,))


def test_answers_and_knowledge_are_shared_and_delegated_rows_are_left_alone(
    url: str, redis_url: str, tmp_path: Path
) -> None:
    stream = redis.Redis.from_url(redis_url, decode_responses=True)
    stream.xgroup_create("expert_tasks", GROUP, mkstream=True)
    with running_system(url, redis_url, tmp_path, KOS_COMPAT="knowledge_os") as system:
        theirs = insert(url, "a domain")
        free = insert(url, "an assignee")
        for task_id in (theirs, free):
            stream.xadd("expert_tasks", {"payload": json.dumps({"task_id": task_id})})
        stream.xreadgroup(GROUP, "their-worker", {"expert_tasks": ">"}, count=1)
        system.sql(f"UPDATE tasks SET domain_id = {DOMAIN} WHERE id = %s", (free,))
        twice = insert(url, "doubly encoded metadata")
        system.start()

        done = system.wait_status(free, "completed")
        system.wait_status(twice, "completed")
        system.wait(lambda: bool(system.attempts(theirs)), what="a look at the delegated row")
        system.wait(lambda: system.task(theirs)["status"] == "pending", what="left alone")

        written = metadata(system, free)
        assert written["used_model"] == done["model"]
        assert written["attempt_count"] == 0
        assert written["validation_score"] == pytest.approx(done["validation_score"], abs=1e-4)
        assert metadata(system, twice)["source"] == "bot"
        assert [a["error_code"] for a in system.attempts(theirs)] == ["delegated"]
        assert stream.xlen("expert_tasks") == 1  # nobody reads of the row that we worked

        system.wait(lambda: len(nodes(system, free)) == 1, what="the answer among the nodes")
        (node,) = nodes(system, free)
        expert = system.sql("SELECT name, department FROM experts WHERE id = %s",
                            (done["assignee_expert_id"],))[0]  # fmt: skip
        heading = f"📊 REPORT BY {expert['name']}: an assignee"
        assert node["content"] == f"{heading}\n\n{done['result']}"
        assert (node["confidence_score"], node["source_ref"]) == (0.85, "autonomous_worker")
        assert node["metadata"] == {
            "task_id": free, "expert": expert["name"], "fallback_used": False,
            "department": expert["department"],
        }  # fmt: skip

        prompt = system.attempts(free)[-1]["messages"][-1]["content"]
        assert [n for n in range(1, 10) if f"Known fact number {n} of" in prompt] == [1, 8, 9]
        reasons = system.sql("SELECT reason FROM kos_decisions WHERE task_id = %s", (free,))
        assert any("book 1 (" in row["reason"] for row in reasons)
    database.close_all()


def test_an_exhausted_task_asks_for_a_person_as_its_owner_wants(
    url: str, redis_url: str, tmp_path: Path
) -> None:
    run(url, "ALTER TABLE knowledge_nodes RENAME TO gone")  # costs no task anything
    with running_system(
        url, redis_url, tmp_path, KOS_COMPAT="knowledge_os", KOS_MAX_ATTEMPTS="2",
        KOS_EXHAUSTED="completed_with_note",
    ) as system:  # fmt: skip
        for server in (system.ollama, system.mlx):
            server.fault("blank", rate=1.0)
        system.start()
        task_id = insert(url, "a scout")

        done = system.wait_status(task_id, "completed")

        assert "ручная проверка" in done["result"]
        assert [a["outcome"] for a in system.attempts(task_id)] == ["retried", "failed"]
        written = metadata(system, task_id)
        assert written.items() >= {
            "source": "scout", "attempt_count": 2, "last_attempt_failed": True,
            "deferred_to_human": True, "board_escalated": True,
            "execution_mode": "minimal_response",
        }.items()  # fmt: skip
        assert written["last_error"] == done["last_error"]
        assert "next_retry_after" not in written
    database.close_all()
