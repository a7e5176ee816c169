"""The whole deployment under supervisord: started, killed, stopped, started again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from console.supervision.addresses import dashboard_url
from jobs.settings.load import PROJECT
from tests.acceptance.house import House, house, parsed
from tests.support.embedded import furnish

LONG_TASK = "Write a long study of the history of databases, with every detail that you know."
PROGRAMS = {
    "infra:postgres", "infra:redis", "servers:simulator-ollama", "servers:simulator-mlx",
    "jobs:scheduler", "jobs:listener", "jobs:control", "jobs:llm-ollama", "jobs:llm-mlx",
    "watch:health", "watch:dashboard", "watch:gateway",
}  # fmt: skip


@pytest.fixture(scope="module")
def running(migrated_cluster: Path) -> Iterator[House]:
    with house(
        KOS_SIMULATOR_SPEED="30",
        KOS_HEALTH_INTERVAL_SECONDS="1",
        KOS_DRAIN_SECONDS="2",
        SMART_WORKER_RETRY_DELAY_SEC="1",
    ) as made:
        furnish(made.home, migrated_cluster)
        made.up()
        made.kos("experts", "add", "--from", str(PROJECT / "examples" / "experts.jsonl"))
        yield made


def all_run(made: House) -> bool:
    return all(made.pids().values())


def test_every_program_runs_and_health_is_green(running: House) -> None:
    assert set(running.pids()) == PROGRAMS
    running.wait(lambda: all_run(running), what="all programs running")
    running.wait(lambda: running.health()["status"] == "green", what="green health")


def test_a_row_inserted_by_sql_reaches_a_model_server_within_a_second(running: House) -> None:
    warm = running.insert("Warm", "Name three rivers.")
    running.wait_status(warm, "completed")

    inserted_at = time.time()
    task_id = running.insert("Review", "Review this function: def f(x): return x + 1")

    done = running.wait_status(task_id, "completed")
    journal = running.simulator(done["backend"], "GET", "stats?journal=50")["journal"]
    arrived_at = next(
        entry["arrived_at"] for entry in journal if (entry["task_id"] or "").startswith(task_id)
    )
    assert arrived_at - inserted_at < 1.0


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_a_killed_program_comes_back_and_work_goes_on(running: House, program: str) -> None:
    running.wait(lambda: all_run(running), what="all programs running")
    before = running.pids()[program]
    assert before is not None

    os.kill(before, signal.SIGKILL)

    running.wait(lambda: running.pids()[program] not in (None, before), what=f"{program} again")
    running.wait(lambda: all_run(running), what="all programs running")
    task_id = ""

    def inserted() -> bool:
        nonlocal task_id
        task_id = running.insert("Again", f"Say what {program} is for.")
        return True

    running.wait(inserted, what="an insert")
    running.wait_status(task_id, "completed", deadline_seconds=90)


def test_a_program_is_restarted_from_its_page_which_has_the_end_of_its_log(
    running: House,
) -> None:
    running.wait(lambda: all_run(running), what="all programs running")
    before = running.pids()["jobs:scheduler"]
    address = f"{dashboard_url(running.settings)}/programs/jobs:scheduler"
    browser = requests.Session()
    running.wait(lambda: browser.get(address, timeout=30).ok, what="the dashboard answers")
    shown = browser.get(address, timeout=30).text
    token = re.search(r'name="csrf" value="([0-9a-f]+)"', shown)
    assert token

    refused = browser.post(f"{address}/restart", data={"csrf": "of another"}, timeout=60)
    after = browser.post(f"{address}/restart", data={"csrf": token[1]}, timeout=60)

    assert "scheduler_ready" in shown
    assert refused.status_code == 403
    assert "Restarted." in after.text
    assert running.pids()["jobs:scheduler"] not in (None, before)


def test_a_second_up_changes_nothing(running: House) -> None:
    running.wait(lambda: all_run(running), what="all programs running")
    before = running.pids()

    running.up()

    assert running.pids() == before


def test_supervisorctl_works_by_itself_once_the_environment_is_loaded(running: House) -> None:
    supervisorctl = (
        f'"{sys.executable}" -m supervisor.supervisorctl -c "{PROJECT}/supervisord.conf"'
    )

    def ctl(*words: str) -> str:
        script = f'. "{running.home}/env" && {supervisorctl} {" ".join(words)}'
        done = subprocess.run(
            ["sh", "-c", script], capture_output=True, text=True, check=False,
            env={"PATH": os.environ["PATH"]}, cwd="/", timeout=60,
        )  # fmt: skip
        return done.stdout

    assert ctl("status").count("RUNNING") == len(PROGRAMS)
    assert "stopped" in ctl("stop", "jobs:llm-mlx")
    assert running.pids()["jobs:llm-mlx"] is None
    assert "started" in ctl("start", "jobs:llm-mlx")
    assert "listener_ready" in ctl("tail", "jobs:listener")


def test_a_rolling_restart_under_load_fails_nothing_and_spends_no_attempt(running: House) -> None:
    running.wait(lambda: all_run(running), what="all programs running")
    running.sql(
        "INSERT INTO tasks (title, description) SELECT 'Rolling ' || n, "
        "'Summarise what is known about river ' || n || ' in some sentences.' "
        "FROM generate_series(1, 60) AS n"
    )

    for program in ("jobs:llm-ollama", "jobs:llm-mlx", "jobs:control"):
        running.kos("ctl", "restart", program)

    def ended() -> bool:
        row = running.sql(
            "SELECT count(*) FILTER (WHERE status = 'completed') AS done, "
            "count(*) FILTER (WHERE status = 'failed') AS failed "
            "FROM tasks WHERE title LIKE 'Rolling %'"
        )[0]
        assert row["failed"] == 0
        return bool(row["done"] == 60)

    running.wait(ended, deadline_seconds=120, what="all tasks completed")
    spent = running.sql(
        "SELECT count(*) AS n FROM tasks WHERE title LIKE 'Rolling %' "
        "AND (attempt_count > 0 OR crash_count > 0)"
    )
    assert spent[0]["n"] == 0


def test_a_paused_backend_rests_until_it_is_resumed(running: House) -> None:
    for backend in ("ollama", "mlx"):
        running.kos("pause", backend)
    task_id = running.insert("Paused", "Name three lakes.")
    running.wait(
        lambda: running.task(task_id)["assignee_expert_id"] is not None, what="the assignment"
    )
    assert running.task(task_id)["status"] == "pending"

    for backend in ("ollama", "mlx"):
        running.kos("resume", backend)

    running.wait_status(task_id, "completed")


def test_a_hung_model_server_is_restarted_and_its_tasks_run_elsewhere(running: House) -> None:
    running.wait(lambda: all_run(running), what="all programs running")
    loading = running.insert("Load", "Name three seas.", metadata={"preferred_source": "mlx"})
    assert running.wait_status(loading, "completed")["backend"] == "mlx"
    running.sql("UPDATE kos_attempts SET finished_at = now() - interval '1 hour'")
    before = running.pids()["servers:simulator-mlx"]

    running.simulator("mlx", "POST", "faults", {"fault": "dead"})
    meanwhile = running.insert(
        "Meanwhile", "Name three hills.", metadata={"preferred_source": "ollama"}
    )

    running.wait_status(meanwhile, "completed")
    running.wait(
        lambda: running.pids()["servers:simulator-mlx"] not in (None, before),
        deadline_seconds=60,
        what="the restart",
    )
    after = running.insert("After", "Name three bays.", metadata={"preferred_source": "mlx"})
    running.wait_status(after, "completed", deadline_seconds=90)


def test_down_keeps_work_in_flight_and_up_completes_it(running: House) -> None:
    running.wait(lambda: all_run(running), what="all programs running")
    for backend in ("ollama", "mlx"):
        running.simulator(backend, "DELETE", "faults")
        running.simulator(backend, "POST", "faults", {"fault": "drip", "seconds": 0.5})
    task_id = running.insert("Study", LONG_TASK)
    running.wait(
        lambda: running.task(task_id)["status"] == "in_progress", what="the task in progress"
    )

    began = time.monotonic()
    running.kos("down")
    took_seconds = time.monotonic() - began

    assert took_seconds < 30
    running.up()
    done = running.wait_status(task_id, "completed", deadline_seconds=90)
    assert done["attempt_count"] == 0
    assert running.outcomes(task_id) == ["interrupted", "completed"]


def test_status_tells_what_runs(running: House) -> None:
    document = parsed(running.kos("status", "--json", code=None))

    assert {program["name"] for program in document["programs"]} == PROGRAMS
    assert document["tasks"]["completed"] > 0
