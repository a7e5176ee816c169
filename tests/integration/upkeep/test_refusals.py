"""What Postgres refuses has its remedy whatever language the server speaks."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing

import peewee
import psycopg2
import pytest

from console.cli.error_mapping import UNREACHABLE, run_guarded
from jobs.upkeep.health.refusals import BY_SQLSTATE, CHECK_CONNECTION, remedy
from models.database import DatabaseUnavailable, database, session

OTHERWISE = "see the line above"
REFUSAL = {
    b"S": "ВАЖНО",
    b"V": "FATAL",
    b"C": "28P01",
    b"M": 'пользователь "kos" не прошёл проверку подлинности (по паролю)',
}


@pytest.fixture
def russian_server() -> Iterator[str]:
    """The URL of a server that refuses one connection in Russian, as Postgres words it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.settimeout(60)
        thread = threading.Thread(target=_refuse_one, args=(listening,))
        thread.start()
        yield f"postgresql://kos:x@127.0.0.1:{listening.getsockname()[1]}/kos?sslmode=disable"
        thread.join()


def _refuse_one(listening: socket.socket) -> None:
    client, _ = listening.accept()
    with closing(client):
        client.recv(4096)
        fields = b"".join(key + text.encode() + b"\0" for key, text in REFUSAL.items()) + b"\0"
        client.sendall(b"E" + struct.pack("!i", len(fields) + 4) + fields)


@pytest.mark.usefixtures("database_here")
@pytest.mark.parametrize("code", sorted(BY_SQLSTATE))
def test_a_refused_statement_is_known_by_its_code(code: str) -> None:
    with pytest.raises((peewee.DatabaseError, DatabaseUnavailable)) as refused, session():
        database.execute_sql(
            f"DO $$ BEGIN RAISE EXCEPTION 'нет доступа' USING ERRCODE = '{code}'; END $$"
        )

    assert remedy(refused.value, OTHERWISE) == BY_SQLSTATE[code]


@pytest.mark.usefixtures("database_here")
def test_a_lock_of_somebody_else_is_no_server_that_is_away(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refused() -> None:
        with session():
            database.execute_sql(
                "DO $$ BEGIN RAISE EXCEPTION 'locked' USING ERRCODE = '55P03'; END $$"
            )

    assert run_guarded(refused, log_directory=lambda: None) == UNREACHABLE

    told = capsys.readouterr().err
    assert told.startswith("kos: Postgres refuses (")
    assert BY_SQLSTATE["55P03"] in told


def test_a_refused_connection_is_known_to_be_answered(russian_server: str) -> None:
    with pytest.raises(psycopg2.OperationalError) as refused:
        psycopg2.connect(russian_server)

    assert "не прошёл проверку" in str(refused.value)
    assert remedy(refused.value, OTHERWISE) == CHECK_CONNECTION


def test_a_server_that_does_not_answer_is_another_matter() -> None:
    with pytest.raises(psycopg2.OperationalError) as refused:
        psycopg2.connect("postgresql://kos:x@127.0.0.1:9/kos")

    assert remedy(refused.value, OTHERWISE) == OTHERWISE
