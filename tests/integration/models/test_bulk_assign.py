"""One row that Postgres refuses does not keep the others of its page from their experts."""

from __future__ import annotations

from itertools import count

import pytest

from jobs.planning.assigner import Assigner, assign_page
from jobs.planning.roster import Roster
from models.base import fetch_all

pytestmark = pytest.mark.usefixtures("database_here")

FORBIDS_ONE = """
CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.title = 'cursed' AND NEW.assignee_expert_id IS NOT NULL THEN
    RAISE EXCEPTION 'nobody may work on this'; END IF;
  RETURN NEW; END $$;
CREATE TRIGGER forbid BEFORE UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION forbid();
INSERT INTO tasks (title, description) SELECT CASE n WHEN 25 THEN 'cursed' ELSE 'good' END, 'd'
FROM generate_series(1, 50) n RETURNING id
"""


def test_a_row_that_a_trigger_of_the_site_refuses_fails_alone_with_its_reason() -> None:
    fetch_all(FORBIDS_ONE)

    assign_page(Roster())

    (cursed,) = fetch_all("SELECT status, last_error FROM tasks WHERE title = 'cursed'")
    assert cursed["status"] == "failed"
    assert "nobody may work on this" in cursed["last_error"]
    (good,) = fetch_all(
        "SELECT count(*) AS n FROM tasks WHERE title = 'good' AND assignee_expert_id IS NOT NULL"
    )
    assert good["n"] == 49


def test_within_a_rest_urgent_and_high_rows_are_assigned_and_no_others() -> None:
    fetch_all(
        "INSERT INTO tasks (title, description, priority) SELECT 't', 'd', 'medium' "
        "FROM generate_series(1, 600) n RETURNING id"
    )
    assigner = Assigner(Roster(), clock=count().__next__)
    assigner.assign_new(fed=True)
    fetch_all(
        "INSERT INTO tasks (title, description, priority, assignee_expert_id) "
        "SELECT 'new', 'd', p, e.id FROM unnest(ARRAY['urgent', 'high', 'medium', 'low']) p, "
        "(SELECT NULL::uuid AS id UNION ALL (SELECT id FROM experts LIMIT 1)) e RETURNING id"
    )

    assigner.assign_new(fed=True)

    found = fetch_all(
        "SELECT priority, count(complexity) AS n FROM tasks WHERE title = 'new' GROUP BY 1"
    )
    assert {row["priority"]: row["n"] for row in found} == {
        "urgent": 2, "high": 2, "medium": 0, "low": 0
    }  # fmt: skip
    (left,) = fetch_all("SELECT count(*) AS n FROM tasks WHERE title = 't' AND complexity IS NULL")
    assert left["n"] == 100
