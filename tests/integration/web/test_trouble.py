"""What is told when something that is needed is not there."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg2
import requests

from console.home import free_port
from tests.integration.web.dashboards import running_dashboard
from tests.support.embedded import Server
from tests.support.system import migrate


def _environ(directory: Path, postgres: str, redis: str) -> dict[str, str]:
    return {
        "DATABASE_URL": postgres,
        "REDIS_URL": redis,
        "KOS_HOME": str(directory / "home"),
        "OLLAMA_API_URL": f"http://127.0.0.1:{free_port()}",
        "MLX_API_URL": "disabled",
    }


def test_without_postgres_the_pages_say_so_and_what_to_do(tmp_path: Path, redis_url: str) -> None:
    nowhere = f"postgresql://kos@127.0.0.1:{free_port()}/kos"
    with running_dashboard(_environ(tmp_path, nowhere, redis_url), tmp_path) as dashboard:
        page, api = dashboard.get("/"), dashboard.get("/api/v1/tasks")

        assert (page.status_code, api.status_code) == (503, 503)
        assert "kos doctor" in page.text
        assert "kos doctor" in api.json()["error"]["message"]
        assert dashboard.get("/schedule").status_code == 200
        metrics = dashboard.get("/metrics").text
        assert 'kos_up{service="postgres"} 0.0' in metrics
        assert 'kos_up{service="redis"} 1.0' in metrics
        assert "kos_queue_messages{" in metrics
        assert "Traceback" not in page.text + api.text


def test_without_redis_tasks_are_still_shown(tmp_path: Path, migrated_url: str) -> None:
    migrate(migrated_url)
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    with running_dashboard(_environ(tmp_path, migrated_url, nowhere), tmp_path) as dashboard:
        assert dashboard.get("/").status_code == 503
        assert dashboard.get("/tasks").status_code == 200
        assert dashboard.post("/api/v1/tasks", json={"description": "x"}).status_code == 201
        metrics = dashboard.get("/metrics").text
        assert 'kos_up{service="redis"} 0.0' in metrics
        assert 'kos_up{service="postgres"} 1.0' in metrics
        assert "kos_leases_late 0.0" in metrics
        assert "kos_tasks{" not in metrics


def test_before_the_migration_it_says_what_to_run(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    with running_dashboard(_environ(tmp_path, postgres_url, redis_url), tmp_path) as dashboard:
        answer = dashboard.get("/tasks")

    assert answer.status_code == 503
    assert "kos migrate up" in answer.text


def test_it_recovers_when_postgres_comes_back(
    tmp_path: Path, own_postgres: Server, redis_url: str
) -> None:
    migrate(own_postgres.url)
    environ = _environ(tmp_path, own_postgres.url, redis_url)
    with running_dashboard(environ, tmp_path) as dashboard:
        assert dashboard.get("/tasks").status_code == 200

        own_postgres.stop()
        assert dashboard.get("/tasks").status_code == 503
        own_postgres.start()

        assert _first_good(f"{dashboard.url}/tasks").status_code == 200
        assert _first_good(dashboard.url).status_code == 200


def test_it_stops_soon_though_pages_are_open(
    tmp_path: Path, migrated_url: str, redis_url: str
) -> None:
    migrate(migrated_url)
    with running_dashboard(_environ(tmp_path, migrated_url, redis_url), tmp_path) as dashboard:
        pages = [
            requests.get(f"{dashboard.url}{path}", stream=True, timeout=30)
            for path in ("/feed", "/feed", "/api/v1/events")
        ]

        dashboard.process.terminate()

        assert dashboard.process.wait(15) is not None
        for page in pages:
            page.close()


def _first_good(url: str, tries: int = 20) -> requests.Response:
    answer = requests.get(url, timeout=20)
    for _ in range(tries):
        if answer.ok:
            break
        answer = requests.get(url, timeout=20)
    return answer


def test_a_list_that_takes_too_long_is_left_out_and_the_page_says_so(
    tmp_path: Path, migrated_url: str, redis_url: str
) -> None:
    migrate(migrated_url)
    tables = {
        "/tasks?q=lease": ("kos_feedback", "the tasks"),
        "/webhooks": ("kos_webhooks", "the webhooks"),
        "/projects": ("kos_projects", "the projects"),
        "/schedule": ("kos_schedules", "the recurring work"),
    }
    with (
        running_dashboard(_environ(tmp_path, migrated_url, redis_url), tmp_path) as dashboard,
        closing(psycopg2.connect(migrated_url)) as person,
        person.cursor() as transaction,
    ):
        transaction.execute("INSERT INTO tasks (title, description) VALUES ('A lease', 'Explain')")
        person.commit()
        for table, _ in tables.values():
            transaction.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")

        for path, (_, part) in tables.items():
            page = dashboard.get(path)

            assert page.status_code == 200, (path, page.text)
            assert f"which is left out: {part}" in page.text
            assert 'class="empty"' not in page.text
        person.rollback()
        assert "left out" not in dashboard.get("/tasks?q=lease").text
