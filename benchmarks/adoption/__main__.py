"""Adoption: the database of another system moved in, worked and left as it was.

    scripts/bench adoption [--rows 50000] [--form "half failed"]

For each form of that database (tests/support/original_site.py) by the command line alone: `kos
adopt`, `kos adopt --apply`, `kos up --demo`, every shape of an insert before and after the start,
`kos down`, and `kos migrate down` to the end. Exits 1 where a task did not complete, an expert was
added, a row of the site's history changed, or `pg_dump -s` differs.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from models import database
from tests.acceptance.house import House, house, parsed
from tests.support import original_site
from tests.support.embedded import fresh_database, postgres_server, redis_server
from tests.support.original_site import FORMS, SHAPES, VECTORS, insert, run

HISTORY = "title LIKE 'task %'"
DONE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of each step, and what it left. ``completed`` of ``inserted`` tasks."""

    form: str
    look_seconds: float
    apply_seconds: float
    up_seconds: float
    work_seconds: float
    inserted: int
    completed: int
    same_experts: bool
    same_rows: bool
    same_schema: bool

    @property
    def kept(self) -> bool:
        whole = self.completed == self.inserted
        return whole and self.same_experts and self.same_rows and self.same_schema


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--form", choices=list(FORMS), action="append")
    options = parser.parse_args()
    with postgres_server() as postgres:
        found = [
            _measure(fresh_database(postgres.url), form, options.rows)
            for form in options.form or FORMS
        ]
    _print(found, options.rows)
    return 0 if all(one.kept for one in found) else 1


def _measure(url: str, form: str, rows: int) -> Measured:
    original_site.build(url, form, rows=rows)
    run(url, VECTORS)
    schema, columns = original_site.schema(url), original_site.columns(url)
    history = original_site.fingerprint(url, columns, condition=HISTORY)
    with redis_server() as redis, house(DATABASE_URL=url, REDIS_URL=redis.url) as site:
        look = _seconds(site, "adopt")
        same_schema = original_site.schema(url) == schema
        apply = _seconds(site, "adopt", "--apply")
        ids = [insert(url, shape) for shape in SHAPES]
        up = _seconds(site, "up", "--demo")
        began = time.monotonic()
        ids += [insert(url, shape) for shape in SHAPES]
        completed = _completed(site, ids)
        work = time.monotonic() - began
        experts = run(url, "SELECT count(*) FROM experts")[0][0]
        site.kos("down")
        database.close_all()
        while parsed(site.kos("migrate", "down", "--yes", "--json"))["taken_back"]:
            pass
    return Measured(
        form=form,
        look_seconds=look,
        apply_seconds=apply,
        up_seconds=up,
        work_seconds=work,
        inserted=len(ids),
        completed=completed,
        same_experts=experts == original_site.EXPERTS,
        same_rows=original_site.fingerprint(url, columns, condition=HISTORY) == history,
        same_schema=same_schema and original_site.schema(url) == schema,
    )


def _seconds(site: House, *words: str) -> float:
    began = time.monotonic()
    site.kos(*words)
    return time.monotonic() - began


def _completed(site: House, ids: list[str]) -> int:
    """How many of them are completed, as soon as all are or the time is up."""

    def completed() -> int:
        rows = site.sql(
            "SELECT count(*) AS n FROM tasks WHERE id = ANY(%s::uuid[]) "
            "AND status = 'completed' AND result <> ''",
            (ids,),
        )
        return int(rows[0]["n"])

    end = time.monotonic() + DONE_SECONDS
    while completed() < len(ids) and time.monotonic() < end:
        time.sleep(0.2)
    return completed()


def _print(found: list[Measured], rows: int) -> None:
    heads = ("form", "adopt s", "--apply s", "up s", "tasks s", "completed", "experts", "rows",
             "pg_dump -s")  # fmt: skip
    table = Table(*heads, title=f"{rows} rows of history")
    for one in found:
        table.add_row(
            one.form,
            *(f"{seconds:.1f}" for seconds in (
                one.look_seconds, one.apply_seconds, one.up_seconds, one.work_seconds)),
            f"{one.completed} of {one.inserted}",
            *("the same" if same else "CHANGED" for same in (
                one.same_experts, one.same_rows, one.same_schema)),
        )  # fmt: skip
    Console(width=110).print(table)


if __name__ == "__main__":
    sys.exit(main())
