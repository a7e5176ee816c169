"""What comes due with no notification is seen, however much is notified."""

from __future__ import annotations

from tests.support.system import System


def test_a_lease_that_runs_out_is_seen_among_inserts_that_never_end(system: System) -> None:
    system.start("control", "listener")
    system.wait(lambda: "listener_ready" in system.log("listener"), what="the listener")
    orphan = system.insert("orphan", "Its worker is gone.")
    system.sql(
        "UPDATE tasks SET status = 'in_progress', epoch = 1, backend = 'ollama', model = 'm', "
        "lease_owner = 'elsewhere/1/1', lease_expires_at = now() + interval '1 second' "
        "WHERE id = %s",
        (orphan,),
    )

    def returned_meanwhile() -> bool:
        system.sql("NOTIFY kos_tasks")
        return system.task(orphan)["lease_owner"] is None

    system.wait(returned_meanwhile, deadline_seconds=15, what="the orphan's return")
