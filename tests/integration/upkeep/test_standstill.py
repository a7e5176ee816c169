"""A backlog that could move and does not is red, and so is an actor that raises."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from console.operations.connections import Connections
from console.operations.doctor.services import service_checks
from console.operations.status import gather
from jobs.health_checker import HealthChecker, build
from jobs.queues.actor_errors import read_errors
from jobs.runtime import connect
from jobs.settings.load import load
from jobs.upkeep.health.checks import HealthCheck
from tests.support.system import System

NO_PLAN_CAN_BE_WRITTEN = """
CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'the plan is cursed'; END $$;
CREATE TRIGGER broken BEFORE INSERT ON kos_blocks FOR EACH ROW EXECUTE FUNCTION broken()
"""
RED_WITHIN_SECONDS = 30.0


@pytest.fixture
def checker(system: System) -> Iterator[HealthChecker]:
    runtime = connect(load(system.environ), program="health-test")
    yield build(runtime)
    runtime.close()


def wait_for(checker: HealthChecker, name: str, *, ok: bool, seconds: float) -> HealthCheck:
    deadline = time.monotonic() + seconds
    while True:
        check = next(check for check in checker.round() if check.name == name)
        if check.ok == ok:
            return check
        assert time.monotonic() < deadline, check


def test_a_planner_that_raises_is_red_and_shown_everywhere_and_green_again(
    system: System, checker: HealthChecker
) -> None:
    system.sql(NO_PLAN_CAN_BE_WRITTEN)
    system.start()
    task_id = system.insert("Hello", "Say hello to the world in one sentence, please.")

    actors = wait_for(checker, "actors", ok=False, seconds=RED_WITHIN_SECONDS)
    backlog = wait_for(checker, "backlog", ok=False, seconds=RED_WITHIN_SECONDS)

    assert "the plan is cursed" in actors.detail
    assert "no planning cycle has ended" in backlog.detail
    assert [one.actor for one in read_errors(checker.runtime.redis)] == ["plan"]
    connections = Connections(checker.runtime.settings)
    doctor = {check.name: check.level.value for check in service_checks(connections)}
    assert (doctor["actors"], doctor["backlog"]) == ("red", "red")
    status = gather(connections)
    assert {"actors", "backlog"} <= {check.name for check in status.health if not check.ok}

    system.sql("DROP TRIGGER broken ON kos_blocks")
    system.wait_status(task_id, "completed")
    wait_for(checker, "backlog", ok=True, seconds=5.0)
