"""A database as the system that ours replaces leaves it: its tables, triggers, rows and habits."""

from __future__ import annotations

import subprocess
from typing import Any

import psycopg2

from console.services.account import unprivileged_account
from console.services.binaries import postgres_programs

INIT = """
CREATE TABLE domains (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name varchar(255) UNIQUE NOT NULL, description text, created_at timestamptz DEFAULT now());
CREATE TABLE experts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name varchar(255) UNIQUE NOT NULL, role varchar(255) NOT NULL, department varchar(255),
  system_prompt text NOT NULL, metadata jsonb, created_at timestamptz DEFAULT now(),
  domain_id uuid REFERENCES domains(id), organizational_unit_id int, is_manager bool,
  manages_unit_id int, is_active bool DEFAULT true, last_learned_at timestamptz,
  version int DEFAULT 1);
CREATE TABLE knowledge_nodes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  domain_id uuid REFERENCES domains(id), content text NOT NULL, metadata jsonb,
  confidence_score float DEFAULT 1.0, is_verified bool DEFAULT false, source_ref text,
  created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
  expert_consensus jsonb, usage_count int DEFAULT 0);
CREATE TABLE expert_changelog (id serial PRIMARY KEY, expert_id uuid, at timestamptz);
CREATE TABLE tasks (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  title varchar(255) NOT NULL, description text, status varchar(50) DEFAULT 'pending',
  priority varchar(50) DEFAULT 'medium', assignee_expert_id uuid REFERENCES experts(id),
  creator_expert_id uuid REFERENCES experts(id), domain_id uuid REFERENCES domains(id),
  parent_task_id uuid REFERENCES tasks(id), metadata jsonb DEFAULT '{}', result text,
  actual_duration_minutes int, created_at timestamptz DEFAULT now(),
  updated_at timestamptz DEFAULT now(), completed_at timestamptz,
  orchestrator_version varchar(20), project_context varchar(255),
  task_type varchar(50) DEFAULT 'simple', complexity_score float DEFAULT 1.0,
  required_models jsonb, estimated_duration_min int);
CREATE INDEX idx_tasks_status ON tasks (status);
CREATE INDEX idx_tasks_assignee ON tasks (assignee_expert_id);
CREATE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN NEW.updated_at = now(); RETURN NEW; END $$;
CREATE TRIGGER update_tasks_updated_at BEFORE UPDATE ON tasks
  FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE FUNCTION log_expert_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO expert_changelog (expert_id, at) VALUES (NEW.id, now()); RETURN NEW; END $$;
CREATE TRIGGER experts_changes_trigger AFTER INSERT OR UPDATE ON experts
  FOR EACH ROW EXECUTE FUNCTION log_expert_change();
CREATE FUNCTION notify_experts() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM pg_notify('experts_changed', NEW.id::text); RETURN NEW; END $$;
CREATE TRIGGER experts_sync_trigger AFTER INSERT OR UPDATE ON experts
  FOR EACH ROW EXECUTE FUNCTION notify_experts();
INSERT INTO domains (name) VALUES ('Backend'), ('Content');
INSERT INTO experts (name, role, department, system_prompt, domain_id)
  SELECT 'Expert ' || n, 'Engineer', 'Department ' || n % 9, 'You are careful.',
    (SELECT id FROM domains WHERE name = 'Backend') FROM generate_series(1, 85) n;
"""

HISTORY_AND_DEPENDENCIES = """
CREATE TABLE schema_migrations (id serial PRIMARY KEY, migration_name varchar(255) UNIQUE,
  applied_at timestamptz DEFAULT now());
INSERT INTO schema_migrations (migration_name) VALUES ('001_init'), ('002_orchestrator');
CREATE TABLE task_dependencies (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  parent_task_id uuid NOT NULL REFERENCES tasks(id),
  child_task_id uuid NOT NULL REFERENCES tasks(id), dependency_type varchar(20),
  created_at timestamptz DEFAULT now());
"""

HALF_FAILED = """
DROP TRIGGER update_tasks_updated_at ON tasks;
ALTER TABLE tasks DROP COLUMN task_type, DROP COLUMN complexity_score, DROP COLUMN required_models;
ALTER TABLE tasks ALTER COLUMN id DROP DEFAULT, ALTER COLUMN metadata DROP DEFAULT;
CREATE TABLE schema_migrations (id serial PRIMARY KEY, migration_name varchar(255) UNIQUE,
  applied_at timestamptz DEFAULT now());
CREATE TABLE attempts (id int, login text);
CREATE TABLE loads (ship text);
"""

EXPERTS = 85
VECTORS = "CREATE EXTENSION vector; ALTER TABLE knowledge_nodes ADD COLUMN embedding vector(768)"
"""Its table of answers where pgvector is installed."""
FORMS = {
    "init only": INIT,
    "with history and dependencies": INIT + HISTORY_AND_DEPENDENCIES,
    "half failed": INIT + HALF_FAILED,
}

ROWS = """
INSERT INTO tasks (id, title, description, status, priority, assignee_expert_id, metadata, result,
                   created_at, completed_at)
SELECT gen_random_uuid(), 'task ' || n, repeat('text ', n % 50),
  CASE n % 11 WHEN 0 THEN 'failed' WHEN 1 THEN 'cancelled' ELSE 'completed' END,
  (ARRAY['low', 'medium', 'high', 'urgent', NULL])[1 + n % 5],
  (SELECT id FROM experts ORDER BY name OFFSET n % 85 LIMIT 1),
  (ARRAY['{"source": "scout"}', '"text"', '[1, 2]', '7', 'null', '"{\\"a\\": 1}"', NULL])[1 + n % 7]
    ::jsonb,
  CASE WHEN n % 11 > 1 THEN 'answer ' || n END, now() - n * interval '1 minute',
  CASE WHEN n % 3 > 0 THEN now() END
FROM generate_series(1, :count) n
"""


EXPERT = "(SELECT id FROM experts ORDER BY name LIMIT 1)"
DOMAIN = "(SELECT id FROM domains ORDER BY name LIMIT 1)"
PARENT = "(SELECT id FROM tasks WHERE status = 'completed' ORDER BY created_at LIMIT 1)"
TEXT = "'Explain in two sentences why a database needs an index.'"

# What its orchestrator, scouts, dashboards, bot, API and nightly jobs write: column -> SQL.
SHAPES: dict[str, dict[str, str]] = {
    "title and description": {},
    "a status": {"status": "'pending'"},
    "status and priority": {"status": "'pending'", "priority": "'high'"},
    "nulls": {"status": "NULL", "priority": "NULL", "metadata": "NULL", "created_at": "NULL"},
    "an assignee": {"assignee_expert_id": EXPERT, "status": "'pending'"},
    "assignee and creator": {
        "assignee_expert_id": EXPERT, "creator_expert_id": EXPERT, "priority": "'urgent'"},
    "a domain": {"domain_id": DOMAIN, "creator_expert_id": EXPERT, "priority": "'low'"},
    "a scout": {"metadata": """'{"source": "scout", "category": "trends", "keywords": ["a"]}'"""},
    "a prediction": {
        "metadata": """'{"bug_probability": 0.7, "file_path": "src/a.py"}'"""},
    "a group": {
        "metadata": """'{"batch_group": "g1", "complex": true}'""", "task_type": "'complex'"},
    "doubly encoded metadata": {"metadata": """'"{\\"source\\": \\"bot\\"}"'"""},
    "a part of a task": {"parent_task_id": PARENT, "project_context": "'atlas'"},
    "all columns": {
        "id": "gen_random_uuid()", "status": "'pending'", "priority": "'medium'",
        "assignee_expert_id": EXPERT, "creator_expert_id": EXPERT, "domain_id": DOMAIN,
        "parent_task_id": PARENT, "metadata": """'{"source": "nightly"}'""", "result": "NULL",
        "actual_duration_minutes": "NULL", "created_at": "now()", "updated_at": "now()",
        "completed_at": "NULL", "orchestrator_version": "'3.1'", "project_context": "'atlas'",
        "task_type": "'simple'", "complexity_score": "2.5", "required_models": "'[\"a\"]'",
        "estimated_duration_min": "5"},
}  # fmt: skip


def build(url: str, form: str, *, rows: int) -> None:
    """Make the tables of that form with ``rows`` tasks that ended long ago."""
    run(url, FORMS[form])
    run(url, ROWS.replace(":count", str(rows)))


def insert(url: str, shape: str) -> str:
    """Insert a row of that shape as one of its programs would, in the columns that there are; its
    id."""
    present = columns(url).split(", ")
    values = {"title": f"'{shape}'", "description": TEXT, **SHAPES[shape]}
    values = {name: value for name, value in values.items() if name in present}
    statement = f"INSERT INTO tasks ({', '.join(values)}) VALUES ({', '.join(values.values())})"
    return str(run(url, f"{statement} RETURNING id")[0][0])


def fingerprint(url: str, columns: str, *, condition: str = "true") -> str:
    """An md5 over these columns of every task, or of those that meet the condition."""
    rows = run(
        url,
        "SELECT md5(string_agg(t::text, '|' ORDER BY t.id)) "
        f"FROM (SELECT {columns} FROM tasks WHERE {condition}) t",
    )
    return str(rows[0][0])


def columns(url: str) -> str:
    """The columns of ``tasks``, for :func:`fingerprint`."""
    rows = run(
        url,
        "SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute "
        "WHERE attrelid = 'tasks'::regclass AND attnum > 0 AND NOT attisdropped",
    )
    return str(rows[0][0])


def schema(url: str) -> str:
    """What ``pg_dump -s`` writes, without the word that is random in every dump."""
    programs = postgres_programs(account=unprivileged_account())
    finished = subprocess.run(
        [str(programs.bin / "pg_dump"), "-s", url],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = finished.stdout.splitlines()
    return "\n".join(line for line in lines if not line.startswith(("\\restrict", "\\unrestrict")))


def run(url: str, statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()
