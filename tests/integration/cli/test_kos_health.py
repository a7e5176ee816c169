"""Status, doctor, migrate, plan, recover; and all of them without services."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest
import redis

from jobs.queues.names import HEALTH
from models.base import fetch_all
from models.database import database, session
from tests.integration.cli.command_line import Kos
from tests.integration.cli.steps import add_expert, complete, queue, rows
from tests.support.embedded import Server
from tests.support.simulators import simulator

DEAD = "postgresql://kos:kos@127.0.0.1:9/nothing"
NEEDS_POSTGRES = (
    ["tasks"], ["show", "x"], ["why", "x"], ["wait", "--all"], ["cancel", "x"], ["retry", "x"],
    ["export"], ["experts"], ["submit", "x"], ["plan"], ["migrate", "up"], ["migrate", "status"],
    ["submit", "--from", "-"], ["recover"],
)  # fmt: skip
NEEDS_REDIS = (["queues"], ["pause", "mlx"], ["backends"], ["recover"])


def test_status_tells_what_it_can_when_no_program_runs(kos: Kos) -> None:
    kos.submit({"description": "a"})

    ran = kos("status", "--json")

    assert ran.code == 4
    assert "kos up" in ran.err
    assert all(set(row) == {"name", "url", "simulated"} for row in ran.json["backends"])
    assert [row["simulated"] for row in ran.json["backends"]] == [False, False]
    assert set(ran.json) == {"programs", "tasks", "health", "backends", "urls", "verdict", "badges"}
    assert ran.json["verdict"]["level"] == "bad"
    assert ran.json["verdict"]["text"].startswith("Nothing runs: 1 wait.")
    assert ran.json["verdict"]["problems"][0]["remedy"] == "kos up"
    assert kos("status").out.startswith("Nothing runs: 1 wait.")
    assert ran.json["tasks"] == {
        "pending": 1, "queued": 0, "in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0,
    }  # fmt: skip
    assert ran.json["urls"]["dashboard"].startswith("http://127.0.0.1:")
    assert {check["name"]: check["ok"] for check in ran.json["health"]} == {
        "postgres": True, "redis": True,
    }  # fmt: skip


def test_status_shows_the_last_round_of_the_health_checker(kos: Kos, redis_url: str) -> None:
    checks = [
        {"name": "scheduler", "ok": False, "detail": "late", "remedy": "restart it", "hung": None}
    ]
    with redis.Redis.from_url(redis_url) as client:
        client.set(HEALTH, json.dumps({"at": time.time(), "checks": checks}))

    found = {row["name"]: row for row in kos("status", "--json").json["health"]}

    assert found["scheduler"]["ok"] is False
    assert found["scheduler"]["remedy"] == "restart it"
    assert "late → restart it" in kos("status").out


def test_the_doctor_names_a_remedy_for_every_red_check(kos_without_tables: Kos) -> None:
    ran = kos_without_tables("doctor", "--json")

    red = {check["check"]: check["remedy"] for check in ran.json if not check["ok"]}
    assert ran.code == 1
    assert red["tables"] == "kos migrate up"
    assert "ollama serve" in red["model server ollama"]
    assert all(remedy for remedy in red.values())
    assert {"python", "packages", "disk", "open files", "home", "redis", "postgres"} <= {
        check["check"] for check in ran.json if check["ok"]
    }


def test_the_doctor_is_green_when_all_is_well(kos: Kos, postgres_url: str) -> None:
    with rows(postgres_url):
        add_expert()
    with simulator("ollama") as server:
        kos.setenv("OLLAMA_API_URL", server.url)

        ran = kos("doctor")

    assert ran.code == 0, ran.out
    assert "✗" not in ran.out
    assert "! model server mlx" in ran.out


def test_a_redis_that_takes_no_write_is_red_with_its_remedy(kos: Kos, own_redis: Server) -> None:
    """A full disk, a full memory and a replica answer every read."""
    kos.setenv("REDIS_URL", own_redis.url)
    with redis.Redis.from_url(own_redis.url) as client:
        client.replicaof("127.0.0.1", 9)

    checks = {check["check"]: check for check in kos("doctor", "--json").json}

    assert checks["redis"]["ok"] is False
    assert "read only replica" in checks["redis"]["detail"]
    assert checks["redis"]["remedy"] == "REDIS_URL names a replica: name its primary"


def test_a_postgres_that_takes_no_write_is_red_with_its_remedy(
    kos: Kos, own_postgres: Server
) -> None:
    kos.setenv("DATABASE_URL", own_postgres.url)
    assert kos("migrate", "up").code == 0
    kos.setenv("DATABASE_URL", f"{own_postgres.url}?options=-cdefault_transaction_read_only%3Don")

    checks = [check for check in kos("doctor", "--json").json if check["check"] == "postgres"]

    assert [check["ok"] for check in checks] == [True, False]
    assert "read-only" in checks[1]["detail"]
    assert checks[1]["remedy"] == "DATABASE_URL names a read-only server: name its primary"


def test_the_doctor_reads_secrets_that_others_can_read_as_red(kos: Kos) -> None:
    kos.home.mkdir()
    (kos.home / "env").write_text("")
    (kos.home / "env").chmod(0o644)

    checks = {check["check"]: check for check in kos("doctor", "--json").json}

    assert checks["home"]["remedy"] == f"chmod 600 '{kos.home / 'env'}'"


def test_the_doctor_works_with_wrong_settings(kos: Kos) -> None:
    kos.setenv("KOS_LEASE_SECONDS", "soon")

    ran = kos("doctor", "--json")

    assert ran.code == 1
    assert "KOS_LEASE_SECONDS" in ran.json[0]["detail"]
    assert kos("tasks").code == 2


def test_the_doctor_works_when_nothing_runs(kos: Kos) -> None:
    kos.setenv("DATABASE_URL", DEAD)
    kos.setenv("REDIS_URL", "redis://127.0.0.1:9/0")

    checks = {check["check"]: check for check in kos("doctor", "--json").json}

    assert checks["postgres"]["remedy"] == "check DATABASE_URL"
    assert checks["redis"]["remedy"] == "check REDIS_URL"


def test_migrations_go_up_and_down_and_tell_where_they_are(kos_without_tables: Kos) -> None:
    kos = kos_without_tables
    before = kos("migrate", "status", "--json").json
    applied = kos("migrate", "up", "--json").json["applied"]
    again = kos("migrate", "up", "--json").json
    down = kos("migrate", "down", "--yes", "--json").json

    assert [step["applied_at"] for step in before] == [None] * len(before)
    assert applied == [step["name"] for step in before]
    assert again == {"applied": []}
    assert down == {"taken_back": [applied[-1]]}
    assert "pending" in kos("migrate", "status").out


def test_taking_back_asks_first(kos: Kos) -> None:
    assert kos("migrate", "down", stdin="n\n").code == 130
    assert "pending" not in kos("migrate", "status").out


def test_without_tables_the_message_says_how_to_make_them(kos_without_tables: Kos) -> None:
    ran = kos_without_tables("tasks")

    assert ran.code == 4
    assert "kos migrate up" in ran.err


def test_the_plan_in_force_is_listed(kos: Kos, postgres_url: str) -> None:
    (task_id,) = kos.submit({"description": "a"})["ids"]
    with rows(postgres_url):
        queue(task_id)

    (found,) = kos("plan", "--json").json["blocks"]

    assert (found["backend"], found["model"], found["size"]) == ("mlx", "qwen:4b", 1)
    assert "alone" in kos("plan").out


def test_a_plan_for_show_changes_nothing(kos: Kos, postgres_url: str) -> None:
    with rows(postgres_url):
        add_expert("Anna")
    (task_id,) = kos.submit({"description": "a", "expert": "Anna"})["ids"]
    with simulator("ollama") as server:
        kos.setenv("OLLAMA_API_URL", server.url)

        made = kos("plan", "--dry-run", "--policy", "fifo", "--json").json

    assert made["policy"] == "fifo"
    assert [block["task_ids"] for block in made["blocks"]] == [[task_id]]
    assert kos("plan", "--json").json == {"blocks": []}
    assert kos("show", task_id, "--json").json["status"] == "pending"


def test_recovery_returns_a_row_whose_message_is_gone(kos: Kos, postgres_url: str) -> None:
    (task_id,) = kos.submit({"description": "a"})["ids"]
    with rows(postgres_url):
        queue(task_id)
        fetch_all("UPDATE tasks SET queued_at = now() - interval '1 hour'")

    ran = kos("recover", "--json")

    assert ran.json["unsent"] == 1
    assert kos("show", task_id, "--json").json["status"] == "pending"
    assert kos("recover").out == "nothing was orphaned or stuck\n"


def test_history_is_replayed_by_the_simulator(kos: Kos, postgres_url: str) -> None:
    ids = kos.submit(*({"description": str(n)} for n in range(3)))["ids"]
    none_yet = kos("simulate", "--from-history")
    with rows(postgres_url):
        for task_id in ids:
            complete(task_id)

    document = kos("simulate", "--from-history", "--json").json

    assert none_yet.code == 2
    assert document["tasks"] == 3
    assert {"policy", "makespan_seconds", "lower_bound_seconds", "ratio", "reloads",
            "reload_bound", "per_backend", "wait_seconds"} <= set(document)  # fmt: skip


@pytest.mark.parametrize("typed", NEEDS_POSTGRES, ids=" ".join)
def test_without_postgres_a_command_says_so_in_one_line(kos: Kos, typed: list[str]) -> None:
    kos.setenv("DATABASE_URL", DEAD)

    ran = kos(*typed, stdin='{"description": "x"}\n')

    assert ran.code == 4
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1
    assert "Postgres" in ran.err


@pytest.mark.parametrize("typed", NEEDS_REDIS, ids=" ".join)
def test_without_redis_a_command_says_so_in_one_line(kos: Kos, typed: list[str]) -> None:
    kos.setenv("REDIS_URL", "redis://127.0.0.1:9/0")

    ran = kos(*typed)

    assert ran.code == 4
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1
    assert "Redis" in ran.err


def test_frozen_services_end_a_command_instead_of_hanging_it(
    kos: Kos, own_postgres: Server, own_redis: Server
) -> None:
    kos.setenv("DATABASE_URL", own_postgres.url)
    kos.setenv("REDIS_URL", own_redis.url)
    own_postgres.freeze()
    own_redis.freeze()

    tasks, queues, status = kos("tasks"), kos("queues"), kos("status")

    assert [ran.code for ran in (tasks, queues, status)] == [4, 4, 4]
    assert "Postgres" in tasks.err
    assert "Redis" in queues.err
    assert {check["ok"] for check in kos("status", "--json").json["health"]} == {False}


def test_postgres_lost_in_the_middle_of_a_file_says_how_to_go_on(
    kos: Kos, own_postgres: Server, tmp_path: Path
) -> None:
    kos.setenv("DATABASE_URL", own_postgres.url)
    assert kos("migrate", "up").code == 0
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def feed() -> None:
        with pipe.open("w") as out:
            out.writelines(f'{{"description": "{n}", "custom_id": "{n}"}}\n' for n in range(1001))
            out.flush()
            own_postgres.kill()

    feeder = threading.Thread(target=feed)
    feeder.start()
    ran = kos("submit", "--from", str(pipe))
    feeder.join(timeout=30)

    assert ran.code == 4
    assert "run `kos up`" in ran.err
    assert "then submit the same again" in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "294276-12-31Z", "4713-01-01Z BC"])
@pytest.mark.parametrize("state", ["pending", "queued", "in_progress", "completed"])
def test_times_of_a_row_that_python_cannot_hold_stop_no_command(
    kos: Kos, state: str, moment: str
) -> None:
    kos.submit({"description": "one"})
    with session():
        database.execute_sql(
            "UPDATE tasks SET status = %(state)s, backend = 'mlx', created_at = %(at)s, "
            "updated_at = %(at)s, queued_at = %(at)s, started_at = %(at)s, completed_at = %(at)s, "
            "next_attempt_at = %(at)s, lease_expires_at = %(at)s",
            {"state": state, "at": moment},
        )

    for command in (["status"], ["tasks"], ["plan"], ["export"], ["recover"], ["projects"]):
        ran = kos(*command)
        assert "unexpected" not in ran.err, (command, ran.err)
