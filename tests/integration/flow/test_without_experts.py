"""A company without experts still answers, and one that comes is used at once."""

from __future__ import annotations

from tests.support.system import System


def test_without_any_expert_the_built_in_assistant_answers(system: System) -> None:
    system.sql("DELETE FROM experts RETURNING id")
    system.start()

    task_id = system.insert("Hello", "Say hello to the world in one sentence, please.")

    done = system.wait_status(task_id, "completed")
    (expert,) = system.sql("SELECT id, name, is_active FROM experts")
    assert (expert["name"], expert["is_active"]) == ("Assistant", True)
    assert done["assignee_expert_id"] == expert["id"]


def test_an_assistant_that_was_deactivated_stays_so_and_an_expert_that_comes_is_used_at_once(
    system: System,
) -> None:
    system.sql("DELETE FROM experts RETURNING id")
    system.sql("INSERT INTO experts (name, is_active) VALUES ('Assistant', false) RETURNING id")
    system.start()
    task_id = system.insert("Hello", "Say hello to the world in one sentence, please.")
    system.wait(lambda: "nobody_to_assign" in system.log("control"), what="a plan without experts")
    assert system.task(task_id)["status"] == "pending"

    system.sql("INSERT INTO experts (name, system_prompt) VALUES ('Vera', 'Be kind') RETURNING id")

    done = system.wait_status(task_id, "completed", deadline_seconds=10)
    (vera,) = system.sql("SELECT id FROM experts WHERE name = 'Vera'")
    assert done["assignee_expert_id"] == vera["id"]


def test_an_expert_that_is_activated_again_is_used_at_once(system: System) -> None:
    system.sql("UPDATE experts SET is_active = false RETURNING id")
    system.sql("INSERT INTO experts (name, is_active) VALUES ('Assistant', false) RETURNING id")
    system.start()
    task_id = system.insert("Hello", "Say hello to the world in one sentence, please.")
    system.wait(lambda: "nobody_to_assign" in system.log("control"), what="a plan without experts")

    system.sql("UPDATE experts SET is_active = true WHERE name = 'Anna' RETURNING id")

    system.wait_status(task_id, "completed", deadline_seconds=10)
