"""Rows that a stranger inserts with plain SQL: each is told its fault, and the others run.

All rows of the table go in by one transaction, together with good ones, before a program runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras
import pytest

from tests.integration.bad_input.doors import kos, says
from tests.support.embedded import Server, drop_database, fresh_database
from tests.support.system import System, running_system

HIS_REQUEST = "Name three rivers of Europe and say in one sentence where each of them flows."
GOOD = 6
UNKNOWN = "00000000-0000-4000-8000-00000000dead"


@dataclass(frozen=True, slots=True)
class Bad:
    """A row, the status it must end in, and what ``last_error`` or ``kos why`` must say."""

    name: str
    status: str
    says: tuple[str, ...]
    columns: Mapping[str, Any] = field(default_factory=dict)
    metadata: Any = None
    after: tuple[str, ...] = ()


def left_out(key: str, value: Any, *message: str) -> Bad:
    """A metadata key that is left out and named: the task itself runs."""
    return Bad(f"metadata {key}", "completed", (f"{key}:", *message), metadata={key: value})


def unread(name: str, path: str, *message: str) -> Bad:
    """A file that the model cannot get: the task runs with its description, and says which."""
    return Bad(name, "completed", ("files left out", *message), metadata={"file_paths": [path]})


METADATA = (
    left_out("preferred_source", 5, "expected text in quotes", "the number 5"),
    left_out("preferred_model", ["a"], "expected text in quotes", "a list"),
    left_out("required_backend", {}, "expected text in quotes", "an object"),
    left_out("source", 1.5, "expected text in quotes"),
    left_out("file_path", 7, "expected text in quotes"),
    left_out("file_paths", "a.py", "expected a list of texts", 'write ["a.py"]'),
    left_out("keywords", "one", "expected a list of texts"),
    left_out("bug_probability", "high", "expected a number", "write 0 to 1"),
    left_out("assignee_hint", False, "expected text in quotes"),
    left_out("response_schema", "{}", "expected a JSON Schema object"),
    left_out("files_required", "yes", "expected true or false"),
    Bad("a file that must be there", "failed", ("files_required", "a file cannot be read"),
        metadata={"file_paths": ["nowhere.py"], "files_required": True}),
    left_out("max_tokens", "many", "expected a whole number"),
    left_out("num_ctx", -1, "write a whole number from 128"),
    left_out("complex", "yes", "expected true or false"),
    left_out("delegate", "victor", "unknown value", "did you mean victoria?"),
    left_out("validator", 3, "expected one of rules, llm"),
    left_out("language", "klingon", "write ru or en"),
    left_out("required_parts", 1, "expected a list of texts"),
    Bad("keywords with a number", "completed", ("keywords[1]:",), metadata={"keywords": ["a", 2]}),
    Bad("max_tokens beyond reason", "completed", ("max_tokens: is", "1000000"),
        metadata={"max_tokens": 10**9}),
    Bad("bug_probability of two", "completed", ("bug_probability: is the number 2",),
        metadata={"bug_probability": 2}),
    Bad("blank hint", "completed", ("assignee_hint: is blank",), metadata={"assignee_hint": " "}),
    Bad("bad schema", "completed", ("response_schema: is not a valid JSON Schema",),
        metadata={"response_schema": {"type": "objekt"}}),
    Bad("schema elsewhere", "completed", ("response_schema: refers to",),
        metadata={"response_schema": {"$ref": "http://127.0.0.1:9/s.json"}}),
    Bad("schema that looks back", "completed", ("response_schema: holds the pattern", "not served"),
        metadata={"response_schema": {"type": "string", "pattern": r"(a)\1"}}),
    Bad("metadata is a list", "completed", ("metadata: expected an object, got a list",),
        metadata=[1, 2]),
    Bad("metadata is a number", "completed", ("metadata: expected an object, got the number 7",),
        metadata=7),
    Bad("metadata in quotes", "completed", ("metadata: is an object in quotes",),
        metadata='{"keywords": ["a"]}'),
    Bad("two faults at once", "completed", ("num_ctx:", "complex:"),
        metadata={"num_ctx": "x", "complex": 1}),
)  # fmt: skip

COLUMNS = (
    Bad("category of metadata", "failed", ("category: unknown value", "did you mean coding?"),
        metadata={"category": "codign"}),
    Bad("category in a word of the site's own", "completed",
        ("category: unknown value", "trends"), metadata={"category": "trends"}),
    Bad("category of a wrong type", "failed", ("category: expected one of",),
        metadata={"category": 5}),
    Bad("category column", "failed", ("category: unknown value", "poetry"),
        columns={"category": "poetry"}),
    Bad("priority", "completed", ("priority: \"asap\" is unknown and counts as medium",),
        columns={"priority": "asap"}),
    Bad("unknown expert", "completed", ("assignee_expert_id names no expert",),
        columns={"assignee_expert_id": UNKNOWN}),
    Bad("unknown expert and category", "failed", ("category: unknown value",),
        columns={"assignee_expert_id": UNKNOWN}, metadata={"category": "codign"}),
    Bad("chosen expert and a wrong key", "completed", ("num_ctx:",),
        columns={"assignee_expert_id": UNKNOWN}, metadata={"num_ctx": []}),
    Bad("nothing to do", "failed", ("description is empty",),
        columns={"title": None, "description": None}),
    Bad("blank to do", "failed", ("description is empty",),
        columns={"title": " ", "description": "\n \t"}),
    Bad("unknown backend", "completed", ("there is no backend nowhere, which the task requires",),
        metadata={"required_backend": "nowhere"}),
    Bad("unknown model", "completed", ("no server can run gpt-17 now, which the task requires",),
        metadata={"preferred_model": "gpt-17"}),
    Bad("unknown source", "completed", ("no processor for the source nowhere",),
        metadata={"source": "nowhere"}),
    Bad("huge text", "failed", ("the prompt has about", "tokens, and the context of", "not sent"),
        columns={"description": "word " * 600_000}),
    Bad("unknown status", "pendng", ("nothing runs a task whose status is 'pendng'",),
        columns={"status": "pendng"}),
    Bad("null priority and metadata", "completed", ("assigned to",),
        columns={"priority": None, "metadata": None, "status": None}),
    Bad("escape codes", "completed", ("submitted",), columns={"title": "\x1b[2J\x07 gone"}),
    Bad("unknown parent and domain", "completed", ("submitted",),
        columns={"parent_task_id": UNKNOWN, "domain_id": UNKNOWN}),
    Bad("born in eternity", "completed", ("assigned to",), columns={"created_at": "infinity"}),
    Bad("born before time", "completed", ("assigned to",), columns={"created_at": "-infinity"}),
    Bad("born in antiquity", "completed", ("assigned to",),
        columns={"created_at": "4000-01-01 00:00 BC"}),
    Bad("born too late", "completed", ("assigned to",), columns={"created_at": "20000-01-01"}),
    Bad("due never", "pending", ("waits",), columns={"next_attempt_at": "infinity"}),
    Bad("due too late", "pending", ("waits",), columns={"next_attempt_at": "20000-01-01"}),
    Bad("complexity is no number", "completed", ("assigned to",), columns={"complexity": "NaN"}),
    Bad("avoid holds a number", "completed", ("assigned to",), columns={"avoid": "[5]"}),
    Bad("avoid holds an object", "completed", ("assigned to",),
        columns={"avoid": '[["mlx", {}], {"a": 1}, ["x", "y", "z"]]'}),
    Bad("checkpoint is a list", "completed", ("assigned to",), columns={"checkpoint": "[1]"}),
    Bad("progress is a text", "completed", ("assigned to",), columns={"progress": '"x"'}),
)  # fmt: skip

FILES = (
    unread("missing file", "missing.py", "missing.py: does not exist"),
    unread("outside the roots", "/etc/passwd", "/etc/passwd: is outside the allowed directories"),
    unread("upwards", "../secret.txt", 'holds ".."'),
    unread("symbolic link", "link.txt", "link.txt: is a symbolic link"),
    unread("link on the way", "linked/secret.txt", "goes through the symbolic link"),
    unread("fifo", "fifo", "fifo: is a FIFO"),
    unread("directory", "directory", "directory: is a directory; name a file"),
    unread("empty file", "empty.txt", "empty.txt: is empty"),
    unread("name too long", "n" * 5000, "has a name that is too long"),
    Bad("one file of two", "completed", ("missing.py: does not exist",),
        metadata={"file_paths": ["good.py", "missing.py"]}),
)  # fmt: skip

DEPENDENCIES = (
    Bad("self", "failed", ("dependency cycle: the task depends on itself",), after=("self",)),
    Bad("ring a", "failed", ("dependency cycle",), after=("ring b",)),
    Bad("ring b", "failed", ("dependency cycle",), after=("ring c",)),
    Bad("ring c", "failed", ("dependency cycle",), after=("ring a",)),
    Bad("behind the ring", "failed", ("dependency", "is failed"), after=("ring a",)),
    Bad("far behind it", "failed", ("dependency", "is failed"), after=("behind the ring",)),
    Bad("after nobody", "completed", ("depends_on_id:", "is no task"), after=(UNKNOWN,)),
)  # fmt: skip

TABLE = METADATA + COLUMNS + FILES + DEPENDENCIES


@dataclass(frozen=True, slots=True)
class House:
    """What became of the rows: ids by the name of the case."""

    system: System
    ids: Mapping[str, str]
    good: tuple[str, ...]


@pytest.fixture(scope="module")
def house(
    shared_postgres: Server,
    empty_redis: str,
    files: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[House]:
    url = fresh_database(shared_postgres.url, migrated=True)
    _lay_out(files)
    with running_system(
        url,
        empty_redis,
        tmp_path_factory.mktemp("system"),
        KOS_FILE_ROOTS=str(files),
        SMART_WORKER_ADAPTIVE_CONCURRENCY="false",
    ) as system:
        ids = _insert(url)
        assert kos(system.environ, "recover", "--json").json["cyclic"] == 4
        system.start()
        wanted = {ids[bad.name] for bad in TABLE if not bad.status.startswith("pend")}
        system.wait(lambda: wanted <= _ended(system), deadline_seconds=60, what="every row's end")
        yield House(system, ids, tuple(ids[f"good {n}"] for n in range(GOOD)))
    drop_database(shared_postgres.url, url)


@pytest.mark.parametrize("bad", TABLE, ids=[bad.name for bad in TABLE])
def test_a_bad_row_is_told_its_fault(house: House, bad: Bad) -> None:
    task_id = house.ids[bad.name]

    row = house.system.task(task_id)
    why = kos(house.system.environ, "why", task_id)
    shown = kos(house.system.environ, "show", task_id, "--json")

    assert row["status"] == bad.status, row["last_error"]
    says(f"{row['last_error'] or ''}\n{why.out}", bad.says)
    assert (why.code, shown.code) == (0, 0)
    assert "\x1b" not in why.out
    assert shown.json["status"] == bad.status


def test_the_good_rows_beside_them_are_completed(house: House) -> None:
    for task_id in house.good:
        row = house.system.task(task_id)
        assert row["status"] == "completed"
        assert (row["attempt_count"], row["last_error"]) == (0, None)


def test_a_status_that_nobody_knows_is_named_by_the_doctor(house: House) -> None:
    checks = {row["check"]: row for row in kos(house.system.environ, "doctor", "--json").json}

    assert checks["statuses"]["level"] == "warning"
    assert "'pendng' (1)" in checks["statuses"]["detail"]


def test_no_program_wrote_a_traceback_or_died(house: House) -> None:
    for name, process in house.system.programs.items():
        assert process.poll() is None
        assert "Traceback" not in house.system.log(name)


def _lay_out(files: Path) -> None:
    (files.parent / "secret.txt").write_text("secret")
    (files / "good.py").write_text("def f(x):\n    return x + 1\n")
    (files / "link.txt").symlink_to(files.parent / "secret.txt")
    (files / "linked").symlink_to(files.parent)
    (files / "directory").mkdir()
    (files / "empty.txt").touch()
    os.mkfifo(files / "fifo")


def _insert(url: str) -> dict[str, str]:
    """Every row of the table and the good ones, in one transaction."""
    good = [Bad(f"good {n}", "completed", ()) for n in range(GOOD)]
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        ids = {bad.name: _insert_one(cursor, bad) for bad in (*good, *TABLE)}
        for bad in TABLE:
            for parent in bad.after:
                cursor.execute(
                    "INSERT INTO kos_dependencies (task_id, depends_on_id) VALUES (%s, %s)",
                    (ids[bad.name], ids.get(parent, parent)),
                )
    return ids


def _insert_one(cursor: Any, bad: Bad) -> str:
    columns = {"title": "Rivers", "description": HIS_REQUEST, **bad.columns}
    if bad.metadata is not None:
        columns["metadata"] = json.dumps(bad.metadata)
    marks = ", ".join(["%s"] * len(columns))
    cursor.execute(
        f"INSERT INTO tasks ({', '.join(columns)}) VALUES ({marks}) RETURNING id::text",
        list(columns.values()),
    )
    return str(cursor.fetchone()[0])


def _ended(system: System) -> set[str]:
    rows = system.sql(
        "SELECT id::text FROM tasks WHERE status IN ('completed', 'failed', 'cancelled')"
    )
    return {row["id"] for row in rows}
