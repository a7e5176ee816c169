"""The gateway's record of requests while a real Postgres is stopped."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway import request_log
from gateway.request_log import Record, RequestLog
from models import database
from models.base import fetch_all
from tests.support.embedded import Server
from tests.support.system import migrate

FEW = 3


def test_rows_of_an_outage_are_written_after_it_up_to_the_bound(
    own_postgres: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    migrate(own_postgres.url)
    monkeypatch.setattr(request_log, "MOST_UNWRITTEN", FEW)
    kept = RequestLog()

    async def write() -> None:
        await kept._write()

    own_postgres.stop()
    for number in range(FEW + 2):
        kept.add(Record(caller="me", api="/v1/chat/completions", asked=f"model {number}"))
        with caplog.at_level(logging.WARNING):
            asyncio.run(write())
    own_postgres.start()
    asyncio.run(write())
    asyncio.run(write())

    assert "requests_not_written_yet rows=3" in caplog.text
    with database.session():
        rows = fetch_all("SELECT asked FROM kos_requests ORDER BY asked")
    database.close_all()
    assert [row["asked"] for row in rows] == ["model 2", "model 3", "model 4"]


def test_rows_before_the_migration_are_written_after_it(postgres_url: str) -> None:
    database.configure(postgres_url, pool_size=2)
    kept = RequestLog()
    kept.add(Record(caller="me", api="/v1/chat/completions", asked="early"))
    asyncio.run(kept._write())
    migrate(postgres_url)

    asyncio.run(kept._write())

    with database.session():
        rows = fetch_all("SELECT asked FROM kos_requests")
    database.close_all()
    assert [row["asked"] for row in rows] == ["early"]
