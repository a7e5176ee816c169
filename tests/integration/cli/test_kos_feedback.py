"""``kos feedback`` and ``kos accept --run``."""

from __future__ import annotations

from models.base import fetch_all
from tests.integration.cli.command_line import Kos
from tests.integration.cli.steps import rows


def test_a_thumb_is_given_counted_exported_and_withdrawn(kos: Kos, postgres_url: str) -> None:
    [task] = kos("submit", "Write it", "--json").json["ids"]
    assert "has no answer" in kos("feedback", "give", task, "up").err
    with rows(postgres_url):
        fetch_all("UPDATE tasks SET status = 'completed', result = 'good', model = 'm1'")

    kos("feedback", "give", task, "down", "--note", "too long")
    kos("feedback", "give", task, "up", "--note", "on second thought")

    assert kos("feedback", "--json").json["models"] == [{"name": "m1", "up": 1, "down": 0}]
    exported = kos("export").out
    assert '"thumb": "up"' in exported or '"thumb":"up"' in exported
    assert "on second thought" in exported
    kos("feedback", "withdraw", task)
    assert kos("feedback", "--json").json == {"experts": [], "models": []}


def test_the_answer_of_another_run_becomes_the_result(kos: Kos, postgres_url: str) -> None:
    [task] = kos("submit", "Write it", "--json").json["ids"]
    with rows(postgres_url):
        fetch_all("UPDATE tasks SET status = 'failed', last_error = 'echo'")
    [run] = kos("retry", task, "--again", "--json").json["reruns"]
    assert kos("accept", task, "--run", run["id"]).code == 2
    with rows(postgres_url):
        fetch_all(
            "UPDATE tasks SET status = 'completed', result = 'better' WHERE id = %s::uuid",
            (run["id"],),
        )

    assert kos("accept", task, "--run", run["id"], "--json").json["accepted_run"] == run["id"]

    shown = kos("show", task, "--json").json
    assert (shown["status"], shown["result"], shown["last_error"]) == ("completed", "better", None)
    assert shown["metadata"]["result_of"] == run["id"]
