from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from console.services.processes import runs
from tests.support.embedded import Server, redis_server

pytest_plugins = ["tests.support.embedded"]


def test_every_test_gets_an_empty_database_of_its_own(postgres_url: str, redis_url: str) -> None:
    with closing(psycopg2.connect(postgres_url)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE only_mine (id int)")
        cursor.execute("SELECT upper('привет'), current_setting('timezone')")
        assert cursor.fetchone() == ("ПРИВЕТ", "UTC")
    with closing(redis.Redis.from_url(redis_url)) as client:
        assert client.dbsize() == 0


def test_postgres_keeps_what_was_committed_before_it_was_killed(own_postgres: Server) -> None:
    with closing(psycopg2.connect(own_postgres.url)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        connection.commit()

    own_postgres.kill()
    own_postgres.start()

    with closing(psycopg2.connect(own_postgres.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT answer FROM kept")
        assert cursor.fetchone() == (42,)


def test_a_lock_file_that_names_a_recycled_process_id_does_not_stop_the_start(
    own_postgres: Server,
) -> None:
    own_postgres.stop()
    data = own_postgres.directory / "postgres" / "data"
    (data / "postmaster.pid").write_text(f"{os.getppid()}\n{data}\n1\n")

    own_postgres.start()

    with closing(psycopg2.connect(own_postgres.url)) as connection:
        assert connection.status


def test_a_postgres_that_outlived_its_supervisor_makes_room(own_postgres: Server) -> None:
    orphan = psutil.Process(own_postgres.pid)

    own_postgres.prepare()

    assert not runs(orphan)
    own_postgres.stop()
    own_postgres.start()


def test_redis_keeps_its_data_over_an_orderly_restart(own_redis: Server) -> None:
    with closing(redis.Redis.from_url(own_redis.url)) as client:
        client.set("key", "value")

    own_redis.stop()
    own_redis.start()

    with closing(redis.Redis.from_url(own_redis.url)) as client:
        assert client.get("key") == b"value"


def test_redis_asks_for_its_password(own_redis: Server) -> None:
    port = int(own_redis.url.rsplit(":", 1)[1].split("/")[0])
    with (
        closing(redis.Redis(port=port, retry=Retry(NoBackoff(), 0))) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_a_server_does_not_outlive_the_test_process_that_was_killed() -> None:
    program = (
        "import signal\n"
        "from tests.support.embedded import redis_server\n"
        "with redis_server() as server:\n"
        "    print(server.pid, flush=True)\n"
        "    signal.pause()\n"
    )
    root = Path(__file__).resolve().parents[3]
    starter = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert starter.stdout is not None
    server = psutil.Process(int(starter.stdout.readline()))

    starter.send_signal(signal.SIGKILL)
    starter.communicate(timeout=10)

    psutil.wait_procs([server], timeout=20)
    assert not runs(server)


def test_two_servers_at_once_do_not_meet() -> None:
    with redis_server() as one, redis_server() as other:
        assert one.url != other.url
