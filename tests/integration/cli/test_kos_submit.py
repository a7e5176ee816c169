from __future__ import annotations

import json
from pathlib import Path

import pytest

from console.operations import tasks
from models import task_views
from models.task import Task
from tests.integration.cli.command_line import Kos
from tests.integration.cli.steps import add_expert, rows


def test_a_good_line_becomes_a_row_with_all_it_asks_for(kos: Kos, postgres_url: str) -> None:
    (kos.files / "a.py").write_text("x = 1")
    with rows(postgres_url):
        expert_id = add_expert("Anna Weber")

    document = kos.submit(
        {
            "title": "T", "description": "D", "custom_id": "one", "priority": "urgent",
            "category": "coding", "expert": "anna weber", "backend": "mlx", "model": "qwen:4b",
            "schema": {"type": "object"}, "files": [str(kos.files / "a.py")],
            "metadata": {"keywords": ["k"]},
        }
    )  # fmt: skip

    with rows(postgres_url):
        row = Task.get_by_id(document["ids"][0])
    assert (row.title, row.priority, row.category) == ("T", "urgent", "coding")
    assert str(row.assignee_expert_id) == expert_id
    assert row.idempotency_key == "one"
    assert row.metadata == {
        "keywords": ["k"], "category": "coding", "assignee_hint": "anna weber",
        "required_backend": "mlx", "preferred_source": "mlx", "preferred_model": "qwen:4b",
        "response_schema": {"type": "object"}, "file_paths": [str(kos.files / "a.py")],
    }  # fmt: skip


def test_wrong_lines_are_named_and_everything_else_goes_in(kos: Kos) -> None:
    lines = [
        {"description": "good"},
        {"description": "bad", "category": "poetry"},
        {"description": "bad", "priority": "hihg"},
        {"description": "bad", "backend": "mlxx"},
        {"description": "bad", "expert": "Nobody"},
        {"description": "bad", "files": ["missing.py"]},
        {"descriptoin": "bad"},
        {"description": "good too"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + "{broken\n"

    ran = kos("submit", "--from", "-", "--json", stdin=text)

    document = ran.json
    assert ran.code == 2
    assert document["submitted"] == len(document["ids"]) == 2
    assert [entry["line"] for entry in document["rejected"]] == [2, 3, 4, 5, 6, 7, 9]
    errors = " ".join(entry["error"] for entry in document["rejected"])
    for part in ("poetry", "did you mean high?", "did you mean mlx?", "'Nobody' is unknown",
                 "missing.py", "did you mean description?", "not JSON"):  # fmt: skip
        assert part in errors


def test_the_same_file_again_adds_nothing(kos: Kos) -> None:
    lines = [{"description": f"d{n}", "custom_id": f"c{n}"} for n in range(5)]

    first, second = kos.submit(*lines), kos.submit(*lines)

    assert first["submitted"] == 5
    assert second == {"submitted": 0, "duplicates": 5, "rejected": [], "ids": []}


def test_a_custom_id_twice_in_one_file_is_one_task(kos: Kos) -> None:
    document = kos.submit(
        {"description": "a", "custom_id": "x"}, {"description": "b", "custom_id": "x"}
    )

    assert (document["submitted"], document["duplicates"]) == (1, 1)


def test_after_refers_to_earlier_lines_and_to_the_database(kos: Kos, postgres_url: str) -> None:
    (before,) = kos.submit({"description": "a", "custom_id": "a"})["ids"]

    b, c = kos.submit(
        {"description": "b", "custom_id": "b", "after": ["a"]},
        {"description": "c", "after": ["b", "a", before]},
    )["ids"]

    with rows(postgres_url):
        found = {task_id: tasks.details(task_id).depends_on for task_id in (b, c)}
    assert found[b] == [before]
    assert sorted(found[c]) == sorted([before, b])


def test_a_long_chain_within_a_file_is_kept(kos: Kos, postgres_url: str) -> None:
    chain = [{"description": "0", "custom_id": "0"}]
    chain += [{"description": str(n), "custom_id": str(n), "after": [str(n - 1)]}  # type: ignore[dict-item]
              for n in range(1, 60)]  # fmt: skip

    ids = kos.submit(*chain)["ids"]

    with rows(postgres_url):
        parents = [task_views.one(task_id) for task_id in ids]
    assert [row.depends_on for row in parents if row] == [[], *([i] for i in ids[:-1])]


def test_a_forward_reference_is_refused_with_what_to_do(kos: Kos) -> None:
    document = kos.submit(
        {"description": "a", "after": ["later"]}, {"description": "b", "custom_id": "later"}
    )

    assert document["submitted"] == 1
    assert "put its line first" in document["rejected"][0]["error"]


def test_what_builds_on_a_refused_line_says_which(kos: Kos) -> None:
    document = kos.submit(
        {"description": "a", "custom_id": "a", "category": "poetry"},
        {"description": "b", "custom_id": "b", "after": ["a"]},
        {"description": "c", "after": ["b"]},
    )

    errors = {entry["line"]: entry["error"] for entry in document["rejected"]}
    assert document["submitted"] == 0
    assert "line 1, which was refused" in errors[2]
    assert "line 2, which was refused" in errors[3]


def test_an_inactive_expert_is_refused(kos: Kos, postgres_url: str) -> None:
    with rows(postgres_url):
        add_expert("Old Hand", active=False)

    document = kos.submit({"description": "a", "expert": "Old Hand"})

    assert "not active" in document["rejected"][0]["error"]


def test_paths_in_a_file_are_relative_to_that_file(
    kos: Kos, postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (kos.files / "code").mkdir()
    (kos.files / "code" / "a.py").write_text("x")
    source = kos.files / "tasks.jsonl"
    source.write_text(json.dumps({"description": "d", "files": ["code/a.py"]}))
    monkeypatch.chdir(tmp_path)

    ran = kos("submit", "--from", str(source), "--json")

    with rows(postgres_url):
        row = Task.get_by_id(ran.json["ids"][0])
    assert row.metadata["file_paths"] == [str(kos.files / "code" / "a.py")]


def test_a_row_that_the_users_own_table_refuses_spoils_no_other(
    kos: Kos, postgres_url: str
) -> None:
    with rows(postgres_url):
        Task.raw("SELECT 1").execute()
        Task._meta.database.execute_sql("ALTER TABLE tasks ADD CHECK (length(title) < 20)")

    document = kos.submit(
        {"description": "a", "title": "short"},
        {"description": "b", "title": "much too long for this table"},
        {"description": "c", "title": "short too"},
    )

    assert document["submitted"] == 2
    assert document["rejected"][0]["line"] == 2
    assert "the database refuses it" in document["rejected"][0]["error"]


def test_one_task_prints_the_same_document(kos: Kos, postgres_url: str) -> None:
    (parent,) = kos.submit({"description": "first", "custom_id": "first"})["ids"]
    schema = kos.files / "schema.json"
    schema.write_text('{"type": "object"}')

    ran = kos(
        "submit", "Do it", "--title", "T", "--priority", "high", "--category", "fast", "--after",
        parent[:8], "--key", "k", "--schema", str(schema), "--file", str(schema), "--json",
    )  # fmt: skip
    again = kos("submit", "Do it", "--key", "k", "--json")

    with rows(postgres_url):
        row = task_views.one(ran.json["ids"][0])
    assert row is not None
    assert ran.code == 0
    assert set(ran.json) == {"submitted", "duplicates", "rejected", "ids"}
    assert row.depends_on == [parent]
    assert row.metadata["response_schema"] == {"type": "object"}
    assert again.json == {"submitted": 0, "duplicates": 1, "rejected": [], "ids": []}


def test_one_wrong_task_is_told_in_one_line(kos: Kos) -> None:
    ran = kos("submit", "Do it", "--expert", "Nobody")

    assert ran.code == 2
    assert ran.err == "kos: line 1: expert: 'Nobody' is unknown; none is known\n"


def test_a_schema_that_is_not_json_is_named(kos: Kos) -> None:
    bad = kos.files / "schema.json"
    bad.write_text("{")

    ran = kos("submit", "x", "--schema", str(bad))

    assert ran.code == 2
    assert "is not JSON" in ran.err


def test_the_examples_go_in_but_for_two(kos: Kos) -> None:
    examples = Path(__file__).resolve().parents[3] / "examples"
    kos.setenv("KOS_FILE_ROOTS", str(examples))

    experts = kos("experts", "add", "--from", str(examples / "experts.jsonl"), "--json")
    ran = kos("submit", "--from", str(examples / "tasks.jsonl"), "--json")

    assert experts.json["rejected"] == []
    assert ran.json["submitted"] >= 58
    assert len(ran.json["rejected"]) == 2
