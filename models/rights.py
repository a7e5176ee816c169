"""What a role needs that runs everything but migrations, and what of it this role lacks."""

from __future__ import annotations

from models.base import Row, fetch_all, fetch_one
from models.migrations.shared_tables import SHARED_TABLES

READ_ONLY_TABLES = ("domains",)
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")

# A trigger has the rights of the role that writes the row, so the tables that triggers of the site
# name are written as well, and those that the triggers of these name.
NEEDED = r"""
WITH RECURSIVE named AS (
  SELECT trigger.tgrelid AS by, other.oid FROM pg_trigger AS trigger
  JOIN pg_proc AS function ON function.oid = trigger.tgfoid AND NOT function.prosecdef
  JOIN pg_class AS other ON other.relkind IN ('r', 'p')
  JOIN pg_namespace AS place ON place.oid = other.relnamespace
    AND place.nspname !~ '^(pg_.*|information_schema)$'
    AND function.prosrc ~* concat('\m(into|update|from|join|only)\s+("?',
      regexp_replace(place.nspname, '\W', '.', 'g'), '"?[.])',
      CASE WHEN pg_table_is_visible(other.oid) THEN '?' END,
      '"?', regexp_replace(other.relname, '\W', '.', 'g'), '"?(\W|$)')
  WHERE NOT trigger.tgisinternal AND trigger.tgname NOT LIKE 'kos\_%%'
), written AS (
  SELECT oid FROM pg_class WHERE relkind IN ('r', 'p') AND pg_table_is_visible(oid)
    AND (relname LIKE 'kos\_%%' OR relname = ANY(%(shared)s))
  UNION SELECT named.oid FROM named JOIN written ON named.by = written.oid
), needed AS (
  SELECT oid, %(rights)s AS rights FROM written
  UNION ALL SELECT oid, 'SELECT' FROM pg_class
  WHERE relname = ANY(%(read)s) AND pg_table_is_visible(oid) AND oid NOT IN (TABLE written)
  UNION SELECT sequence.oid, 'USAGE, SELECT' FROM written
  JOIN pg_attrdef AS value ON value.adrelid = written.oid
  JOIN pg_depend AS uses ON uses.classid = 'pg_attrdef'::regclass AND uses.objid = value.oid
    AND uses.refclassid = 'pg_class'::regclass
  JOIN pg_class AS sequence ON sequence.oid = uses.refobjid AND sequence.relkind = 'S'
)
SELECT relnamespace::regnamespace::text AS schema, rights, relkind = 'S' AS is_sequence,
  format('%%I.%%I', nspname, relname) AS name,
  CASE relkind WHEN 'S' THEN has_sequence_privilege(class.oid, 'USAGE')
    ELSE (SELECT bool_and(has_table_privilege(class.oid, one))
          FROM unnest(string_to_array(rights, ', ')) AS one) END AS granted
FROM needed JOIN pg_class AS class USING (oid)
JOIN pg_namespace AS place ON place.oid = class.relnamespace ORDER BY name
"""


def grants(role: str, *, knowledge: bool = False) -> list[str]:
    """The statements that let ``role`` run everything except migrations; with ``knowledge``
    also write the answers into ``knowledge_nodes``."""
    quoted = fetch_one("SELECT quote_ident(%s) AS role", (role,)) or {}
    to = f"TO {quoted['role']};"
    needed = _needed(knowledge)
    named: dict[str, list[str]] = {}
    for row in needed:
        kind = "SEQUENCE " if row["is_sequence"] else ""
        named.setdefault(f"GRANT {row['rights']} ON {kind}", []).append(row["name"])
    schemas = sorted({row["schema"] for row in needed})
    return [
        f"GRANT USAGE ON SCHEMA {', '.join(schemas)} {to}",
        *(f"{grant}{', '.join(names)} {to}" for grant, names in named.items()),
    ]


def lacking(*, knowledge: bool = False) -> list[str]:
    """The tables and sequences of :func:`grants` on which this role lacks a right."""
    return [row["name"] for row in _needed(knowledge) if not row["granted"]]


def _needed(knowledge: bool) -> list[Row]:
    shared = [*SHARED_TABLES, *(["knowledge_nodes"] if knowledge else [])]
    rights = ", ".join(RIGHTS)
    read = list(READ_ONLY_TABLES)
    return fetch_all(NEEDED, {"shared": shared, "rights": rights, "read": read})
