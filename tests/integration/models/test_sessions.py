"""What a session says of a Postgres that cannot serve now."""

from __future__ import annotations

import peewee
import pytest

from models.database import DatabaseUnavailable, database, session

RAISE = "DO $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '{code}'; END $$"


@pytest.mark.parametrize("code", ["53100", "53200", "57014", "58030"])
def test_a_postgres_without_disk_or_memory_is_unavailable_not_broken(
    database_here: str, code: str
) -> None:
    database.close()

    with pytest.raises(DatabaseUnavailable, match="no space left"), session():
        database.execute_sql(RAISE.format(code=code))

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
