"""Real supervisord and databases; the programs of the jobs are stand-ins that sleep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from console.services.errors import ServiceError
from console.services.postgres import wait_until_connectable
from console.services.processes import runs
from console.supervision.__main__ import main
from console.supervision.choices import choose_socket
from console.supervision.client import SupervisorNotRunning, connected
from console.supervision.health import listeners
from console.supervision.orphans import supervisord_pid
from console.supervision.status import restart, status
from console.supervision.stop import down
from jobs.settings.load import PROJECT, Settings
from tests.support.embedded import furnish
from tests.support.standins import House, stand_in_house

pytest_plugins = ["tests.support.embedded"]
DEADLINE_SECONDS = 30.0


@pytest.fixture
def new_house() -> Iterator[House]:
    with stand_in_house() as house:
        yield house


@pytest.fixture
def house(new_house: House, migrated_cluster: Path) -> House:
    """Its first start finds a database."""
    furnish(new_house.home, migrated_cluster)
    return new_house


@pytest.fixture(scope="module")
def shared(migrated_cluster: Path) -> Iterator[House]:
    """One that runs, for tests that leave it running."""
    with stand_in_house() as house:
        furnish(house.home, migrated_cluster)
        house.up()
        yield house


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def pids(settings: Settings) -> dict[str, int | None]:
    return {program.name: program.pid for program in status(settings)}


def test_up_brings_every_program_and_down_leaves_none(new_house: House) -> None:
    settings = new_house.up()

    programs = status(settings)
    assert {program.state for program in programs} == {"RUNNING"}
    assert {program.name for program in programs} == {
        "infra:postgres", "infra:redis", "jobs:scheduler", "jobs:listener", "jobs:control",
        "jobs:llm-ollama", "jobs:llm-mlx", "watch:health", "watch:dashboard", "watch:gateway",
    }  # fmt: skip
    processes = [psutil.Process(program.pid) for program in programs]

    assert down(settings)

    assert [process for process in processes if runs(process)] == []
    assert supervisord_pid(settings.home) is None
    with pytest.raises(SupervisorNotRunning):
        status(settings)


def test_a_second_up_changes_nothing(shared: House) -> None:
    before = pids(shared.settings())

    again = shared.up()

    assert pids(again) == before


def test_data_passwords_and_ports_outlive_a_down(house: House) -> None:
    settings = house.up()
    with closing(psycopg2.connect(settings.database_url)) as connection:
        connection.cursor().execute("CREATE TABLE kept (id int)")
        connection.commit()

    down(settings)
    again = house.up()

    assert again == settings
    with closing(psycopg2.connect(again.database_url)) as connection:
        connection.cursor().execute("SELECT id FROM kept")


def test_a_system_with_a_stopped_program_runs_but_is_not_healthy(
    shared: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in shared.environ().items():
        monkeypatch.setenv(name, text)
    assert main(["healthy"]) == 0

    with connected(choose_socket(shared.settings())) as supervisor:
        supervisor.stop("jobs:*")
        eventually(lambda: main(["healthy"]) == 1)

    assert "jobs:control STOP" in capsys.readouterr().out
    assert main(["running"]) == 0
    shared.up()
    assert main(["healthy"]) == 0


def test_a_host_of_workers_runs_nothing_else_also_after_a_second_up(
    new_house: House, postgres_url: str, redis_url: str
) -> None:
    with pytest.raises(ServiceError, match="DATABASE_URL and REDIS_URL"):
        new_house.up(KOS_ROLE="workers")

    for _ in range(2):
        settings = new_house.up(KOS_ROLE="workers", DATABASE_URL=postgres_url, REDIS_URL=redis_url)

        assert {program.name for program in status(settings)} == {
            "jobs:llm-ollama", "jobs:llm-mlx", "watch:health",
        }  # fmt: skip


def test_two_ups_at_once_make_one_supervisord(house: House) -> None:
    results: list[Settings | ServiceError] = []

    def start() -> None:
        try:
            results.append(house.up())
        except ServiceError as error:
            results.append(error)

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)

    assert [result for result in results if isinstance(result, ServiceError)] == []
    assert len(results) == 2
    assert {program.state for program in status(house.settings())} == {"RUNNING"}


def test_killed_programs_come_back(shared: House) -> None:
    settings = shared.up()
    killed = pids(settings)
    for pid in killed.values():
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def all_came_back() -> bool:
        return all(
            program.state == "RUNNING" and program.pid != killed[program.name]
            for program in status(settings)
        )

    eventually(all_came_back)
    wait_until_connectable(settings.database_url or "", timeout_seconds=DEADLINE_SECONDS)


def test_up_after_supervisord_was_killed_takes_over(house: House) -> None:
    settings = house.up()
    orphans = [psutil.Process(pid) for pid in pids(settings).values()]
    pid = supervisord_pid(settings.home)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: supervisord_pid(settings.home) is None)

    again = house.up()

    assert {program.state for program in status(again)} == {"RUNNING"}
    assert [orphan for orphan in orphans if runs(orphan)] == []
    assert again.database_url == settings.database_url


def test_a_program_that_does_not_stay_up_is_named_with_its_last_words(house: House) -> None:
    (house.broken / "jobs.listener").touch()

    with pytest.raises(ServiceError, match=r"jobs:listener does not stay up .*is broken; see"):
        house.up(timeout_seconds=20)


def test_down_ends_a_program_that_ignores_the_signal(house: House) -> None:
    (house.stubborn / "jobs.worker").touch()
    settings = house.up()
    before = [psutil.Process(pid) for pid in pids(settings).values()]

    down(settings, timeout_seconds=9)

    assert [process for process in before if runs(process)] == []


def test_supervisorctl_works_once_the_env_file_is_loaded(shared: House) -> None:
    settings = shared.up()
    supervisorctl = (
        f'"{sys.executable}" -m supervisor.supervisorctl -c "{PROJECT}/supervisord.conf"'
    )

    def ctl(*words: str) -> subprocess.CompletedProcess[str]:
        script = f'. "{settings.home}/env" && {supervisorctl} {" ".join(words)}'
        return subprocess.run(
            ["sh", "-c", script], capture_output=True, text=True, check=False,
            env={"PATH": os.environ["PATH"]}, cwd="/", timeout=60,
        )  # fmt: skip

    assert ctl("status").stdout.count("RUNNING") == 10
    assert "stopped" in ctl("stop", "jobs:llm-ollama").stdout
    states = {program.name: program.state for program in status(settings)}
    assert states["jobs:llm-ollama"] == "STOPPED"
    assert states["jobs:llm-mlx"] == "RUNNING"
    assert "started" in ctl("start", "jobs:llm-ollama").stdout
    assert ctl("tail", "infra:postgres").returncode == 0


def test_a_shell_that_loaded_the_env_file_still_gets_the_embedded_services(shared: House) -> None:
    settings = shared.up()
    assert settings.database_url is not None
    loaded: dict[str, Any] = {"DATABASE_URL": settings.database_url,
              "KOS_EMBEDDED_DATABASE_URL": settings.database_url}  # fmt: skip

    again = shared.up(**loaded)

    assert again.embedded_postgres
    assert "infra:postgres" in pids(again)


def test_a_demo_simulates_what_does_not_answer_and_a_plain_up_ends_that(house: House) -> None:
    settings = house.up(demo=True)

    assert settings.simulated == ("ollama", "mlx")
    assert {"servers:simulator-ollama", "servers:simulator-mlx"} <= set(pids(settings))
    assert set(listeners(settings)) >= {"servers:simulator-ollama", "servers:simulator-mlx"}

    plain = house.up()

    assert plain.simulated == ()
    assert not [name for name in pids(plain) if name.startswith("servers:")]


def test_restart_gives_a_program_a_new_process(shared: House) -> None:
    settings = shared.up()
    before = pids(settings)["jobs:listener"]

    after = restart(settings, "jobs:listener")

    assert after.state == "RUNNING"
    assert after.pid != before


def test_an_unreachable_database_of_ones_own_is_named(new_house: House) -> None:
    with pytest.raises(ServiceError, match=r"Postgres does not answer.*check DATABASE_URL"):
        new_house.up(DATABASE_URL="postgresql://u:p@127.0.0.1:9/db")


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with stand_in_house() as house:
        elsewhere = House(blocked / "home", house.python, house.broken, house.stubborn, house.ports)
        with pytest.raises(ServiceError, match="set KOS_HOME to a directory that is"):
            elsewhere.up()


def test_a_database_that_cannot_start_is_named_at_once_with_its_last_words(house: House) -> None:
    settings = house.up()
    down(settings)
    version = (settings.home / "postgres" / "data" / "PG_VERSION").resolve()
    version.write_text("7\n")

    with pytest.raises(ServiceError, match=r"infra:postgres does not stay up .*Postgres 7"):
        house.up()
