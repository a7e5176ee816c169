from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest
import redis

from jobs.queues.names import live_key, watch_key
from models import block, task_views
from models.base import fetch_all
from tests.integration.cli.command_line import Kos
from tests.integration.cli.steps import add_expert, complete, decide, fail, queue, rows, start

TASK_FIELDS = {
    "id", "title", "status", "priority", "category", "expert", "backend", "model",
    "attempt_count", "created_at", "started_at", "completed_at", "result", "last_error",
    "validation_score", "custom_id", "project", "tags", "thumb", "thumb_note",
}  # fmt: skip
ATTEMPT_FIELDS = {
    "number", "epoch", "backend", "model", "started_at", "first_token_seconds", "load_seconds",
    "duration_seconds", "prompt_tokens", "completion_tokens", "outcome", "verdict", "error",
    "worker",
}  # fmt: skip


def three(kos: Kos, postgres_url: str) -> list[str]:
    """One completed, one failed, one pending."""
    ids: list[str] = kos.submit(
        {"description": "good one", "custom_id": "good"},
        {"description": "bad one", "custom_id": "bad"},
        {"description": "later", "custom_id": "later", "after": ["bad"]},
    )["ids"]
    with rows(postgres_url):
        complete(ids[0])
        fail(ids[1])
    return ids


def test_the_list_has_the_fields_of_the_contract(kos: Kos, postgres_url: str) -> None:
    three(kos, postgres_url)

    listed = kos("tasks", "--json").json

    assert len(listed) == 3
    assert all(set(row) == TASK_FIELDS for row in listed)
    good = next(row for row in listed if row["custom_id"] == "good")
    assert (good["status"], good["result"], good["backend"]) == ("completed", "the answer", "mlx")
    assert good["validation_score"] > 0.89


def test_a_list_that_takes_too_long_ends_with_what_to_do(
    kos: Kos, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_views, "LIST_SECONDS", 0.2)
    with closing(psycopg2.connect(postgres_url)) as person, person.cursor() as transaction:
        transaction.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")

        ran = kos("tasks")

    assert (ran.code, ran.out) == (3, "")
    assert "narrow it" in ran.err


def test_pages_of_tasks_of_one_moment_neither_skip_nor_repeat(kos: Kos, postgres_url: str) -> None:
    ids = kos.submit(*({"description": f"task {n}"} for n in range(60)))["ids"]

    pages = []
    with rows(postgres_url):
        for offset in range(0, 60, 20):
            pages += [row.id for row in task_views.listing(limit=20, offset=offset)]
            # A row that was written moves to another place in the table.
            fetch_all("UPDATE tasks SET updated_at = now() WHERE id = %s RETURNING 1", (pages[0],))

    assert sorted(pages) == sorted(ids)


@pytest.mark.parametrize("text", ["100%", "a_b", "c:\\dir"])
def test_what_is_searched_for_is_taken_as_it_is_written(kos: Kos, text: str) -> None:
    kos.submit({"description": f"about {text} here"}, {"description": "about 100, axb, c:dir"})

    found = kos("tasks", "--json", "--search", text).json

    assert [row["title"] for row in found] == [f"about {text} here"]


def test_filters_narrow_the_list(kos: Kos, postgres_url: str) -> None:
    three(kos, postgres_url)

    def ids(*filters: str) -> list[str]:
        return sorted(row["custom_id"] for row in kos("tasks", "--json", *filters).json)

    assert ids("--status", "failed") == ["bad"]
    assert ids("--status", "failed", "--status", "pending") == ["bad", "later"]
    assert ids("--backend", "mlx") == ["bad", "good"]
    assert ids("--search", "GOOD") == ["good"]
    assert ids("--since", "1h", "--limit", "2") != []
    assert len(ids("--limit", "2")) == 2
    assert ids("--since", "2099-01-01") == []


def test_an_empty_list_says_what_to_do(kos: Kos) -> None:
    assert "kos submit" in kos("tasks").out
    assert kos("tasks", "--status", "failed").out == "No task matches.\n"
    assert kos("tasks", "--json").json == []


def test_a_task_is_shown_whole(kos: Kos, postgres_url: str) -> None:
    task_id = three(kos, postgres_url)[0]

    row = kos("show", task_id, "--json").json

    assert set(row) >= TASK_FIELDS | {"attempts", "metadata", "depends_on"}
    assert set(row["attempts"][0]) >= ATTEMPT_FIELDS
    assert row["attempts"][0]["outcome"] == "completed"
    assert row["attempts"][0]["load_seconds"] == 2.0


def test_a_custom_id_wins_over_a_beginning_and_a_short_beginning_is_no_name(kos: Kos) -> None:
    (victim,) = kos.submit({"description": "not meant"})["ids"]
    short, long = victim[:4], victim[:8]
    (named, other) = kos.submit(
        {"description": "a", "custom_id": short}, {"description": "b", "custom_id": long}
    )["ids"]

    assert kos("cancel", short, long, "--json").json["cancelled"] == [named, other]
    refused = kos("cancel", victim[:5])

    assert refused.code == 2
    assert "at least 6 digits" in refused.err
    assert victim in refused.err
    assert kos("show", victim, "--json").json["status"] == "pending"


def test_a_task_is_found_by_beginning_and_by_custom_id(kos: Kos, postgres_url: str) -> None:
    task_id = three(kos, postgres_url)[0]

    for written in (task_id[:8], task_id[:13], task_id.upper(), "good"):
        assert kos("show", written, "--json").json["id"] == task_id


def test_an_ambiguous_or_unknown_id_is_told_apart(kos: Kos, postgres_url: str) -> None:
    kos.submit({"description": "a"}, {"description": "b"})
    with rows(postgres_url):
        fetch_all("UPDATE tasks SET id = ('abcd' || substr(id::text, 5))::uuid")

    ambiguous, unknown = kos("show", "abcd"), kos("show", "no-such-task")

    assert (ambiguous.code, unknown.code) == (2, 2)
    assert "several ids" in ambiguous.err
    assert "kos tasks" in unknown.err


@pytest.mark.parametrize("written", ["\udcff", "-", "", "%", "'; DROP TABLE tasks", "a" * 5000])
def test_no_word_in_the_place_of_an_id_is_a_surprise(kos: Kos, written: str) -> None:
    ran = kos("show", "--", written)

    assert ran.code == 2
    assert "unexpected" not in ran.err


def test_the_story_is_told_in_order(kos: Kos, postgres_url: str) -> None:
    (task_id,) = kos.submit({"description": "a"})["ids"]
    with rows(postgres_url):
        add_expert()
        decide(task_id)
        fail(task_id, error="blank answer")

    shown, why = kos("show", task_id).out, kos("why", task_id).out

    for text in (shown, why):
        parts = ("submitted", "is in memory", "attempt 1 started", "attempt 1 failed")
        places = [text.index(part) for part in parts]
        assert places == sorted(places)
        assert "not ollama: loads for 15 s" in text
        assert f"kos retry {task_id[:8]}" in text


def test_why_is_a_list_of_decisions(kos: Kos, postgres_url: str) -> None:
    (task_id,) = kos.submit({"description": "a"})["ids"]
    with rows(postgres_url):
        decide(task_id)

    document = kos("why", task_id[:8], "--json").json

    assert set(document) == {"task", "decisions", "eta"}
    (decision,) = document["decisions"]
    assert set(decision) == {"at", "stage", "chosen", "reason", "rejected"}
    assert decision["rejected"] == [{"option": "ollama", "reason": "loads for 15 s"}]


def test_the_answer_alone_can_be_printed(kos: Kos, postgres_url: str) -> None:
    task_id = three(kos, postgres_url)[0]

    assert kos("show", task_id, "--answer").out == "the answer\n"


def test_hostile_answers_stay_text(kos: Kos, postgres_url: str) -> None:
    (task_id,) = kos.submit({"description": "a", "title": "t\x1b[2J[bold]"})["ids"]
    with rows(postgres_url):
        complete(task_id, result="\x1b]0;owned\x07 [red]x[/red]")

    for ran in (kos("show", task_id), kos("tasks"), kos("why", task_id)):
        assert "\x1b" not in ran.out
        assert "\x07" not in ran.out
    assert "[red]x[/red]" in kos("show", task_id).out


def test_cancel_stops_what_waits_and_marks_what_runs(kos: Kos, postgres_url: str) -> None:
    waiting, queued, running, ended = kos.submit(*({"description": x} for x in "abcd"))["ids"]
    with rows(postgres_url):
        queue(queued)
        start(running)
        complete(ended)

    ran = kos("cancel", waiting, queued, running, ended, "--json")

    assert ran.code == 0
    assert ran.json == {
        "cancelled": [waiting, queued],
        "stopping": [running],
        "unchanged": [{"id": ended, "status": "completed"}],
    }


@pytest.mark.parametrize(("command", "state"), [("cancel", "pending"), ("retry", "failed")])
def test_a_row_that_somebody_keeps_locked_is_named_and_the_others_change(
    kos: Kos, postgres_url: str, command: str, state: str
) -> None:
    locked, free = ids = kos.submit({"description": "a"}, {"description": "b"})["ids"]
    with closing(psycopg2.connect(postgres_url)) as other, other.cursor() as cursor:
        cursor.execute("UPDATE tasks SET status = %s", (state,))
        other.commit()
        cursor.execute("SELECT 1 FROM tasks WHERE id = %s FOR UPDATE", (locked,))

        ran = kos(command, *ids, "--json")
        alone = kos(command, locked)

    assert ran.json["unchanged"] == [{"id": locked, "status": state, "locked": True}]
    assert [free] in (ran.json.get("cancelled"), ran.json.get("retried"))
    assert alone.code == 2
    assert "locked by somebody's open transaction" in alone.err


def test_cancelling_what_has_ended_is_told(kos: Kos, postgres_url: str) -> None:
    ended = three(kos, postgres_url)[0]

    ran = kos("cancel", ended)

    assert ran.code == 2
    assert "is completed: had ended" in ran.err


def test_retry_sends_failed_tasks_through_again(kos: Kos, postgres_url: str) -> None:
    good, bad, _ = three(kos, postgres_url)

    by_name = kos("retry", bad[:8], good, "--json")
    again = kos("retry", bad, "--json")

    assert by_name.json == {"retried": [bad], "unchanged": [{"id": good, "status": "completed"}]}
    assert again.code == 2
    with rows(postgres_url):
        assert task_views.statuses_of([bad]) == {bad: "pending"}


def test_all_that_failed_can_be_retried_at_once(kos: Kos, postgres_url: str) -> None:
    _, bad, _ = three(kos, postgres_url)

    assert kos("retry", "--failed", "--since", "2099-01-01", "--json").json["retried"] == []
    assert kos("retry", "--failed", "--json").json["retried"] == [bad]


def test_the_backlog_can_be_emptied_after_asking(kos: Kos, postgres_url: str) -> None:
    three(kos, postgres_url)

    refused = kos("cancel", "--all-pending", stdin="n\n")
    done = kos("cancel", "--all-pending", "--yes", "--json")

    assert refused.code == 130
    assert len(done.json["cancelled"]) == 1


def test_a_retry_wakes_the_planner(kos: Kos, postgres_url: str) -> None:
    _, bad, _ = three(kos, postgres_url)
    listening = psycopg2.connect(postgres_url)
    listening.autocommit = True
    listening.cursor().execute("LISTEN kos_tasks")

    kos("retry", bad)

    listening.cursor().execute("SELECT 1")
    listening.poll()
    assert [notice.payload for notice in listening.notifies] == ["retry"]
    listening.close()


def exported(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_export_writes_one_task_a_line_oldest_first(kos: Kos, postgres_url: str) -> None:
    three(kos, postgres_url)

    everything = exported(kos("export").out)

    assert {row["custom_id"] for row in everything} == {"good", "bad", "later"}
    assert all(set(row) == TASK_FIELDS for row in everything)
    assert [row["created_at"] for row in everything] == sorted(r["created_at"] for r in everything)
    assert [row["custom_id"] for row in exported(kos("export", "--status", "failed").out)] == [
        "bad"
    ]
    assert kos("export", "--since", "2099-01-01").out == ""


def test_export_goes_on_beyond_a_page(kos: Kos) -> None:
    kos.submit(*({"description": f"task {n}"} for n in range(2345)))

    assert len(exported(kos("export").out)) == 2345
    assert len(kos("export", "--json").json) == 2345


def test_an_answer_is_followed_while_it_is_written(
    kos: Kos, postgres_url: str, redis_url: str
) -> None:
    (task_id,) = kos.submit({"description": "a"})["ids"]
    with rows(postgres_url):
        claimed = start(task_id)
    worker = threading.Thread(target=_write, args=(postgres_url, redis_url, task_id, claimed.epoch))
    worker.start()

    ran = kos("show", task_id, "--follow")
    worker.join(timeout=30)

    assert ran.code == 0
    assert ran.out == "one two three\n"


def test_following_a_task_that_fails_says_why(kos: Kos, postgres_url: str) -> None:
    (task_id,) = kos.submit({"description": "a"})["ids"]
    with rows(postgres_url):
        fail(task_id, error="poison")

    ran = kos("show", task_id, "--follow")

    assert ran.code == 1
    assert "failed: poison" in ran.err


def test_a_waiting_task_knows_its_place_in_the_plan(kos: Kos, postgres_url: str) -> None:
    first, second, unplanned = kos.submit(*({"description": x} for x in "abc"))["ids"]
    with rows(postgres_url):
        add_expert()
        fetch_all("UPDATE tasks SET assignee_expert_id = (SELECT id FROM experts)")
        block.replace_plan(
            [
                block.NewBlock(
                    backend="mlx", model="qwen", num_ctx=0, heavy=False,
                    task_ids=(first, second), reason="r", task_seconds=3600.0,
                )
            ],
            policy="fifo",
        )  # fmt: skip

    assert "planned for mlx with qwen, next in line" in kos("show", first).out
    assert "after 1 other tasks, in about" in kos("why", second).out
    eta = kos("why", second, "--json").json["eta"]
    assert eta["from"] < eta["to"]
    assert kos("why", unplanned, "--json").json["eta"] is None
    assert "waits for the next plan" in kos("show", unplanned).out


def _write(postgres_url: str, redis_url: str, task_id: str, epoch: int) -> None:
    """What a worker does: publish once somebody looks, then complete."""
    with redis.Redis.from_url(redis_url) as client:
        until(lambda: client.exists(watch_key(task_id)))
        client.set(live_key(task_id), "one two")
        until(lambda: client.ttl(watch_key(task_id)) > 0)
    with closing(psycopg2.connect(postgres_url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tasks SET status = 'completed', result = 'one two three' "
            "WHERE id = %s AND epoch = %s",
            (task_id, epoch),
        )
        connection.commit()


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_cancel_and_retry_take_the_filters_of_tasks_and_a_dry_run_changes_nothing(
    kos: Kos, postgres_url: str
) -> None:
    kept, wanted, tagged = kos.submit(
        {"description": "Write about cats."},
        {"description": "Write about 50% of dogs.", "category": "coding"},
        {"description": "Write about birds.", "metadata": {"tags": ["draft"]}},
    )["ids"]

    dry = kos("cancel", "--search", "50% of", "--category", "coding", "--dry-run", "--json").json
    assert dry == {"dry_run": True, "ids": [wanted]}
    assert {row["status"] for row in kos("tasks", "--json").json} == {"pending"}
    assert [row["id"] for row in kos("tasks", "--tag", "draft", "--json").json] == [tagged]

    assert kos("cancel", "--search", "50% of", "--yes", "--json").json["cancelled"] == [wanted]
    assert kos("retry", "--search", "dogs", "--cancelled", "--json").json["retried"] == [wanted]
    assert kos("retry", "--search", "dogs", "--json").json["retried"] == []
    assert kos("show", kept, "--json").json["status"] == "pending"
    assert kos("cancel", "--yes").code == 2
    assert kos("cancel", kept, "--search", "cats").code == 2


def test_a_completed_task_runs_again_as_a_new_one_elsewhere(kos: Kos, postgres_url: str) -> None:
    with rows(postgres_url):
        add_expert("Anna")
        add_expert("Boris")
    first = three(kos, postgres_url)[0]

    document = kos("retry", "good", "--model", "qwen3:8b", "--expert", "Boris", "--json").json

    ((again,), unchanged) = document["reruns"], document["unchanged"]
    assert (again["rerun_of"], unchanged) == (first, [])
    new = kos("show", again["id"], "--json").json
    assert (new["status"], new["expert"], new["custom_id"]) == ("pending", "Boris", None)
    assert new["metadata"]["preferred_model"] == "qwen3:8b"
    assert new["metadata"]["rerun_of"] == first
    assert kos("show", first, "--json").json["status"] == "completed"
    with rows(postgres_url):
        assert [row.id for row in task_views.reruns_of(first)] == [again["id"]]

    refused = kos("retry", "later", "--again")
    assert (refused.code, "has not ended" in refused.err) == (2, True)


@pytest.mark.parametrize(
    "text",
    ["lighthouse flash", "LIGHTHOUSES", "light", "маяка", "Fresnel's", "fresnel", "notes/2.txt",
     "lamp-17", "id"],
)  # fmt: skip
def test_a_search_finds_words_in_both_languages_answers_and_ids(
    kos: Kos, postgres_url: str, text: str
) -> None:
    wanted, _ = kos.submit(
        {"title": "Маяки", "description": "Why do lighthouses flash? See notes/2.txt",
         "custom_id": "lamp-17"},
        {"description": "A ship's lamp. Fresh notes/3.txt"},
    )["ids"]  # fmt: skip
    with rows(postgres_url):
        complete(wanted, result="Because of Fresnel's lens.")

    found = kos("tasks", "--json", "--search", wanted[:8] if text == "id" else text).json

    assert [row["id"] for row in found] == [wanted]


def test_a_search_for_a_word_that_is_not_indexed_looks_for_it_as_written(kos: Kos) -> None:
    kos.submit({"description": "To be or not to be"}, {"description": "Sum it up"})

    titles = [row["title"] for row in kos("tasks", "--json", "--search", "not").json]

    assert titles == ["To be or not to be"]
