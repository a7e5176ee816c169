"""One row that Postgres refuses does not keep the others of its page from their experts."""

from __future__ import annotations

import pytest

from jobs.planning.assigner import assign_page
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
