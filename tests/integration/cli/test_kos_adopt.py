"""``kos adopt`` and what a role without the tables may do, on the database of another system."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest

from console.supervision.tables import prepare_tables
from jobs.settings.load import from_environment
from models import database
from models.migrations import runner
from tests.integration.cli.command_line import Kos
from tests.support import original_site
from tests.support.commands import Ran
from tests.support.original_site import run

WITH_HISTORY = "with history and dependencies"


AUDIT_IN_ANOTHER_SCHEMA = """
CREATE SCHEMA "the audit"; CREATE TABLE "the audit".lines (id serial, entry int);
CREATE TABLE "the audit".entries (id serial, at timestamptz DEFAULT now());
CREATE FUNCTION note_line() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN insert into "the audit".lines (entry) VALUES (NEW.id); RETURN NULL; END $$;
CREATE TRIGGER entries AFTER INSERT ON "the audit".entries
  FOR EACH ROW EXECUTE FUNCTION note_line();
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO "the audit".entries DEFAULT VALUES; RETURN NULL; END $$;
CREATE TRIGGER changes AFTER UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION note_change();
"""
"""A trigger of tasks writes a table whose trigger writes another."""


@pytest.fixture
def kos(kos_without_tables: Kos) -> Kos:
    return kos_without_tables


@pytest.fixture
def role(postgres_url: str) -> Iterator[str]:
    """A URL of a role that owns nothing and was granted nothing."""
    name = f"runner_{urlsplit(postgres_url).path.rpartition('/')[2]}"
    run(postgres_url, f"CREATE ROLE {name} LOGIN PASSWORD 'p'")
    parts = urlsplit(postgres_url)
    yield urlunsplit(parts._replace(netloc=f"{name}:p@{parts.hostname}:{parts.port}"))
    database.close_all()
    run(postgres_url, f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.parametrize(
    ("part", "wrong", "remedy"),
    [
        ("path", "/nowhere", "create that database"),
        ("netloc", "kos:wrong@{hostname}:{port}", "write its user and password in DATABASE_URL"),
        ("netloc", "kos@no-such-host.invalid", "write the host name of Postgres in DATABASE_URL"),
    ],
)
def test_a_database_that_refuses_is_not_answered_with_kos_up(
    kos: Kos, postgres_url: str, part: str, wrong: str, remedy: str
) -> None:
    parts = urlsplit(postgres_url)
    there = {"hostname": parts.hostname, "port": parts.port}
    kos.setenv("DATABASE_URL", urlunsplit(parts._replace(**{part: wrong.format(**there)})))

    refused = kos("adopt")

    assert refused.code == 4
    assert remedy in refused.err
    assert "kos up" not in refused.err


@pytest.mark.parametrize("form", original_site.FORMS)
def test_adopting_looks_first_and_adds_only_when_it_is_told_to(
    kos: Kos, postgres_url: str, form: str
) -> None:
    original_site.build(postgres_url, form, rows=300)
    schema = original_site.schema(postgres_url)

    seen = kos("adopt", "--json")

    assert original_site.schema(postgres_url) == schema
    assert (seen.code, seen.json["applied"], seen.json["obstacles"]) == (0, [], [])
    assert "table tasks with 300 rows" in str(seen.json["database"])
    assert "kos adopt --apply" in kos("adopt").out
    assert "KOS_COMPAT is not set" in str(seen.json["environment"])
    assert kos("adopt", "--apply", "--json").json["applied"] == seen.json["will_add"]
    assert kos("adopt", "--json").json["will_add"] == []
    assert "nothing is to be added" in kos("adopt").out


def test_it_names_what_is_odd_and_what_it_means(
    kos: Kos, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original_site.build(postgres_url, WITH_HISTORY, rows=300)
    run(
        postgres_url,
        "INSERT INTO tasks (title, status, priority, required_models, complexity_score, metadata) "
        "VALUES ('a', 'in_review', 'High', NULL, 1, '{}'), "
        "('b', NULL, 'low', '[\"m\"]', 3, '{\"batch_group\": \"g\"}')",
    )
    for name in ("SMART_WORKER_MAX_ATTEMPTS", "SMART_WORKER_BATCH_GROUP_MAX", "SMART_WORKER_ODD"):
        monkeypatch.setenv(name, "7")

    seen = kos("adopt", "--json").json

    meanings = {item["found"]: item["meaning"] for item in seen["database"]}
    assert meanings["status 'in_review' in 1 rows"] == "nothing works them"
    assert meanings["priority 'High' in 1 rows"] == "worked as medium"
    assert meanings["status is NULL in 1 rows"] == "worked as pending"
    assert meanings["trigger update_tasks_updated_at on tasks"] == "stays and fires for us too"
    for name in ("tasks.required_models", "tasks.complexity_score", "metadata.batch_group"):
        assert meanings[f"{name} is set in 1 open rows"].startswith("not used: ")
    environment = {item["found"]: item["meaning"] for item in seen["environment"]}
    assert environment["SMART_WORKER_MAX_ATTEMPTS"] == "honoured; its name here is KOS_MAX_ATTEMPTS"
    assert environment["SMART_WORKER_BATCH_GROUP_MAX"].startswith("not used: ")
    assert "SMART_WORKER_ODD" in environment
    assert from_environment().max_attempts == 7


def test_the_doctor_names_what_the_site_writes_and_nothing_reads(
    kos: Kos, postgres_url: str
) -> None:
    original_site.build(postgres_url, "init only", rows=0)
    run(postgres_url, "INSERT INTO tasks (title, complexity_score) VALUES ('a', 3)")
    kos("adopt", "--apply")

    details = [check["detail"] for check in kos("doctor", "--json").json]

    assert any("complexity_score is set in 1 open rows; not used" in text for text in details)


def test_the_doctor_goes_on_after_a_fault_and_sends_nobody_to_what_fails(
    kos: Kos, postgres_url: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original_site.build(postgres_url, WITH_HISTORY, rows=10)
    monkeypatch.setenv("DATABASE_URL", role)

    checks = kos("doctor", "--json").json

    red = [check for check in checks if not check["ok"]]
    remedies = {check["check"]: check["remedy"] for check in red}
    assert "kos adopt --apply with the DATABASE_URL of the owner" in remedies["tables"]
    assert any("table tasks belongs to" in check["detail"] for check in red)
    assert {"experts", "statuses", "redis", "model server ollama"} <= {
        check["check"] for check in checks
    }
    assert kos("adopt", "--apply").code == 1


def test_a_constraint_in_the_way_is_named_with_the_statement_that_widens_it(
    kos: Kos, postgres_url: str
) -> None:
    original_site.build(postgres_url, "init only", rows=0)
    run(
        postgres_url,
        "ALTER TABLE tasks ADD CONSTRAINT known CHECK (status IN ('pending', 'completed'))",
    )

    seen = kos("adopt", "--apply", "--json")

    assert (seen.code, seen.json["applied"]) == (1, [])
    assert "constraint known of table tasks forbids" in seen.json["obstacles"][0]["found"]
    assert "run ALTER TABLE tasks DROP CONSTRAINT known" in seen.json["obstacles"][0]["meaning"]


def test_a_settings_fault_does_not_hide_the_checks_of_the_machine(
    kos: Kos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOS_MAX_ATTEMPTS", "many")

    checks = {check["check"]: check["ok"] for check in kos("doctor", "--json").json}

    assert checks["settings"] is False
    assert checks["python"]


def test_a_role_that_owns_nothing_is_told_who_takes_the_tables_back(
    kos: Kos, postgres_url: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kos("migrate", "up").code == 0
    granted = kos("migrate", "grants", urlsplit(role).username or "", "--json").json
    for statement in granted["statements"]:
        run(postgres_url, statement)
    monkeypatch.setenv("DATABASE_URL", role)

    refused = kos("migrate", "down", "--yes")

    assert refused.code != 0
    assert "run this with the DATABASE_URL of the owner of the tables" in refused.err


def test_a_role_with_the_grants_alone_migrates_nothing_and_works_rows(
    kos: Kos, postgres_url: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original_site.build(postgres_url, WITH_HISTORY, rows=10)
    kos("adopt", "--apply")
    name = urlsplit(role).username or ""
    for statement in kos("migrate", "grants", name, "--json").json["statements"]:
        run(postgres_url, statement)
    monkeypatch.setenv("DATABASE_URL", role)
    monkeypatch.setenv("KOS_COMPAT", "knowledge_os")

    checks = {check["check"]: check for check in kos("doctor", "--json").json}
    assert checks["rights"]["detail"].endswith("may not write public.knowledge_nodes")
    assert "kos migrate grants" in checks["rights"]["remedy"]
    assert kos("migrate", "up", "--json").json == {"applied": []}
    assert "tables" not in {c["check"] for c in kos("doctor", "--json").json if not c["ok"]}
    (first,) = kos.submit({"description": "a"})["ids"]
    assert kos("cancel", first).code == 0


def test_the_grants_cover_what_triggers_of_the_site_write(
    kos: Kos, postgres_url: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original_site.build(postgres_url, WITH_HISTORY, rows=10)
    run(postgres_url, AUDIT_IN_ANOTHER_SCHEMA)
    kos("adopt", "--apply")
    statements = kos("migrate", "grants", urlsplit(role).username or "", "--json").json
    run(postgres_url, next(one for one in statements["statements"] if "SCHEMA" in one))
    owner = postgres_url
    monkeypatch.setenv("DATABASE_URL", role)

    refused = kos("experts", "deactivate", "Expert 1")

    assert (refused.code, "kos migrate grants" in refused.err) == (4, True)
    for statement in statements["statements"]:
        run(owner, statement)
    assert kos("experts", "deactivate", "Expert 1").code == 0
    (first,) = kos.submit({"description": "a"})["ids"]
    assert kos("cancel", first).code == 0
    assert run(owner, 'SELECT count(*) FROM "the audit".entries') == [(1,)]


def test_a_view_of_every_column_stops_the_way_back_and_is_named(
    kos: Kos, postgres_url: str
) -> None:
    original_site.build(postgres_url, WITH_HISTORY, rows=10)
    kos("adopt", "--apply")
    run(postgres_url, "CREATE VIEW open_tasks AS SELECT * FROM tasks")

    refused = take_back_all(kos)

    assert (refused.code, "view open_tasks depends on column" in refused.err) == (1, True)
    assert "drop that, take all steps back, then create it again" in refused.err
    run(postgres_url, "DROP VIEW open_tasks")
    assert take_back_all(kos).code == 0


@pytest.mark.parametrize("options", ["?options=-csearch_path%3Dno_such", ""])
def test_a_role_without_a_schema_is_told_so(
    kos: Kos, postgres_url: str, role: str, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(postgres_url, "REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    monkeypatch.setenv("DATABASE_URL", role + options)

    refused = kos("migrate", "up")

    assert refused.code == 1
    assert "may use no schema of its search_path: run kos migrate grants" in refused.err


def test_a_demo_adds_no_sample_experts_to_a_database_of_others(kos: Kos, postgres_url: str) -> None:
    original_site.build(postgres_url, "init only", rows=10)

    lines = prepare_tables(from_environment(), demo=True)

    assert run(postgres_url, "SELECT count(*) FROM experts") == [(85,)]
    assert lines == ("the experts of this database take the tasks; no sample experts were added",)
    assert not runner.pending()


def take_back_all(kos: Kos) -> Ran:
    """The command that took back the last step, or that was refused."""
    while True:
        ran = kos("migrate", "down", "--yes", "--json")
        if ran.code or not ran.json["taken_back"]:
            return ran
