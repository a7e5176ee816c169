"""What a session says of a Postgres that cannot serve now."""

from __future__ import annotations

import uuid
from contextlib import suppress

import peewee
import psycopg2
import pytest

from models import decision
from models.database import DatabaseUnavailable, TookTooLong, database, session, time_limit
from models.decision import NewDecision

# Disk, memory, an operator, I/O, a read-only server, serialization, a deadlock, a lock timeout.
NOT_NOW = ("53100", "53200", "57014", "58030", "25006", "40001", "40P01", "55P03")
RAISE = "DO $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '{code}'; END $$"
SPOIL = f"CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS {RAISE[3:]}"
EVERY_DECISION = (
    "CREATE TRIGGER spoil BEFORE INSERT ON kos_decisions FOR EACH ROW EXECUTE FUNCTION spoil()"
)


def spoil_decisions(code: str) -> None:
    """Every bulk statement that writes decisions meets the error ``code``."""
    with session():
        database.execute_sql(SPOIL.format(code=code))
        database.execute_sql(EVERY_DECISION)


def record_a_decision() -> None:
    decision.record([NewDecision(str(uuid.uuid4()), "plan", None, "no reason")])


def record_a_decision_on_a_cut_connection() -> None:
    with suppress(peewee.DatabaseError):
        database.execute_sql("SELECT pg_terminate_backend(pg_backend_pid())")
    record_a_decision()


@pytest.mark.parametrize("code", NOT_NOW)
def test_a_postgres_without_disk_or_memory_is_unavailable_not_broken(
    database_here: str, code: str
) -> None:
    database.close()

    with pytest.raises(DatabaseUnavailable, match="no space left"), session():
        database.execute_sql(RAISE.format(code=code))

    with session():
        assert database.execute_sql("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("code", NOT_NOW)
def test_a_bulk_statement_without_disk_or_memory_is_unavailable_too(
    database_here: str, code: str
) -> None:
    database.close()
    spoil_decisions(code)

    with pytest.raises(DatabaseUnavailable, match="no space left"), session():
        record_a_decision()

    with session():
        assert database.execute_sql("SELECT 1").fetchone() == (1,)


def test_a_wrong_bulk_statement_is_no_outage(database_here: str) -> None:
    database.close()
    spoil_decisions("22012")

    with pytest.raises(psycopg2.errors.DivisionByZero), session():
        record_a_decision()


def test_a_bulk_statement_on_a_cut_connection_is_an_outage(database_here: str) -> None:
    database.close()

    with pytest.raises(DatabaseUnavailable), session():
        record_a_decision_on_a_cut_connection()

    with session():
        assert database.execute_sql("SELECT 1").fetchone() == (1,)


def test_a_wrong_statement_is_no_outage(database_here: str) -> None:
    database.close()

    with pytest.raises(peewee.ProgrammingError), session():
        database.execute_sql("SELECT nothing_of_that_name")


def test_a_connection_that_is_cut_is_an_outage(database_here: str) -> None:
    database.close()

    with pytest.raises(DatabaseUnavailable), session():
        database.execute_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    with session():
        assert database.execute_sql("SELECT 1").fetchone() == (1,)


def test_what_takes_too_long_is_ended_and_the_session_goes_on(database_here: str) -> None:
    with session():
        with pytest.raises(TookTooLong), time_limit(0.1):
            database.execute_sql("SELECT pg_sleep(60)")

        assert database.execute_sql("SHOW statement_timeout").fetchone() == ("0",)


def test_a_time_limit_in_another_sends_no_transaction_of_its_own(
    database_here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    execute = database.execute_sql

    def recorded(sql: str, *parameters: object) -> object:
        sent.append(sql)
        return execute(sql, *parameters)

    monkeypatch.setattr(database, "execute_sql", recorded)
    with session():
        with time_limit(60), pytest.raises(TookTooLong), time_limit(0.1):
            database.execute_sql("SELECT pg_sleep(60)")

        assert execute("SHOW statement_timeout").fetchone() == ("0",)
    assert not [sql for sql in sent if sql.startswith("SAVEPOINT")]
