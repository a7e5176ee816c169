from __future__ import annotations

import json

from console.cli.expert_changes import author
from jobs.planning.assigner import assign_page
from jobs.planning.roster import Roster
from models.database import database
from tests.integration.cli.command_line import Kos
from tests.integration.cli.steps import complete, rows

GOOD = {"name": "Anna", "department": "QA", "role": "tester", "system_prompt": "You test."}


def add(kos: Kos, *lines: object) -> dict[str, object]:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    document: dict[str, object] = kos("experts", "add", "--from", "-", "--json", stdin=text).json
    return document


def test_experts_are_added_once_by_name(kos: Kos) -> None:
    first = add(kos, GOOD, {**GOOD, "name": "Тимур"}, {**GOOD, "name": " Anna "})
    again = add(kos, {**GOOD, "system_prompt": "changed"})

    assert first == {"added": 2, "existing": 0, "rejected": []}
    assert again == {"added": 0, "existing": 1, "rejected": []}
    assert [row["name"] for row in kos("experts", "--json").json] == ["Anna", "Тимур"]


def test_wrong_experts_are_named_and_the_others_go_in(kos: Kos) -> None:
    document = add(
        kos,
        GOOD,
        {"name": "No prompt"},
        {**GOOD, "name": "x" * 300},
        {**GOOD, "name": "b", "promt": "typo"},
        {**GOOD, "name": "c", "is_active": "yes"},
        {**GOOD, "name": "d\x00"},
        {**GOOD, "name": "d2", "metadata": {"a": ["\ud800"]}},
        {**GOOD, "name": "e", "metadata": []},
        {**GOOD, "name": "f", "metadata": 3},
        ["not", "an", "object"],
    )

    errors = {entry["line"]: entry["error"] for entry in document["rejected"]}  # type: ignore
    assert document["added"] == 2
    assert sorted(errors) == [2, 3, 4, 5, 6, 7, 9, 10]
    assert errors[2].startswith("system_prompt")
    assert "promt" in errors[4]


def test_the_load_of_an_expert_is_listed(kos: Kos, postgres_url: str) -> None:
    add(kos, GOOD)
    done, _ = kos.submit(
        {"description": "a", "expert": "Anna"}, {"description": "b", "expert": "ANNA"}
    )["ids"]
    with rows(postgres_url):
        complete(done)

    (row,) = kos("experts", "list", "--json").json

    assert (row["open"], row["completed"], row["failed"]) == (1, 1, 0)
    assert "Anna" in kos("experts").out


def test_without_experts_the_list_says_how_to_add_some(kos: Kos) -> None:
    assert "kos experts add --from" in kos("experts").out


def test_an_import_changes_what_differs_and_says_what(kos: Kos) -> None:
    add(kos, GOOD, {**GOOD, "name": "Boris"})
    lines = [
        {"name": "Anna", "system_prompt": "You test twice.", "metadata": {"temperature": 0.2}},
        {**GOOD, "name": "Boris"},
        {**GOOD, "name": "Vera"},
        {**GOOD, "name": "Wrong", "metadata": {"temperature": "hot"}},
    ]

    document = kos(
        "experts", "import", "-", "--json", stdin="".join(json.dumps(one) + "\n" for one in lines)
    ).json

    assert document["added"] == ["Vera"]
    assert document["unchanged"] == ["Boris"]
    assert document["changed"] == [{"name": "Anna", "fields": ["system_prompt", "metadata"]}]
    assert document["rejected"][0]["error"].startswith("metadata.temperature")
    anna = kos("experts", "show", "anna", "--json").json
    assert (anna["role"], anna["sampling"]) == ("tester", {"temperature": 0.2})


def test_every_version_of_a_prompt_is_kept_and_comes_back(kos: Kos, postgres_url: str) -> None:
    add(kos, GOOD)
    kos("experts", "edit", "Anna", "--prompt", "You test twice.")
    with rows(postgres_url):
        database.execute_sql("UPDATE experts SET system_prompt = 'By hand.' WHERE name = 'Anna'")

    kos("experts", "edit", "Anna", "--restore", "1")

    anna = kos("experts", "show", "Anna", "--json").json
    assert anna["system_prompt"] == "You test."
    assert [(one["version"], one["system_prompt"]) for one in anna["versions"]] == [
        (4, "You test."), (3, "By hand."), (2, "You test twice."), (1, "You test."),
    ]  # fmt: skip
    assert anna["versions"][2]["diff"] == "@@ -1 +1 @@\n-You test.\n+You test twice."
    assert anna["versions"][0]["author"] == anna["versions"][2]["author"] == author()
    shown = kos("experts", "show", "Anna").out
    assert "version 3" in shown
    assert "+By hand." in shown
    assert kos("experts", "edit", "Anna", "--restore", "9").code == 2


def test_defaults_of_an_expert_are_set_and_taken_away(kos: Kos) -> None:
    added = kos(
        "experts", "add", "Vera", "--department", "QA", "--prompt", "p", "--model", "qwen3:8b",
        "--set", "temperature=0.2", "--set", "language=ru", "--json",
    )  # fmt: skip
    kos("experts", "edit", "Vera", "--set", "temperature=", "--model", "")

    vera = kos("experts", "show", "Vera", "--json").json

    assert added.code == 0
    assert (vera["preferred_model"], vera["sampling"], vera["language"]) == (None, {}, "ru")
    assert len(vera["versions"]) == 1
    assert kos("experts", "add", "vera", "--prompt", "p").code == 2
    assert "temperature" in kos("experts", "edit", "Vera", "--set", "temperature=hot").err


def test_a_match_names_who_would_get_a_text_and_why(kos: Kos) -> None:
    add(kos, GOOD, {**GOOD, "name": "Boris", "department": "Legal", "role": "lawyer"})

    first = kos("experts", "match", "Write tests for the parser", "--json").json
    kos("experts", "deactivate", "Anna")
    second = kos("experts", "match", "Write tests for the parser", "--json").json

    assert first["expert"] == "Anna"
    assert first["rejected"][0]["option"] == "Boris"
    assert "QA" in first["reason"]
    assert second["expert"] == "Boris"
    kos("experts", "deactivate", "Boris")
    nobody = kos("experts", "match", "anything")
    assert nobody.code == 1
    assert "activate one" in nobody.out


def test_an_export_is_what_an_import_reads(kos: Kos) -> None:
    add(kos, GOOD, {**GOOD, "name": "Тимур", "metadata": {"temperature": 0.1}})

    lines = kos("experts", "export").out
    document = kos("experts", "import", "-", "--json", stdin=lines).json

    assert sorted(document["unchanged"]) == ["Anna", "Тимур"]
    assert (document["added"], document["changed"]) == ([], [])


def test_an_expert_shows_its_work(kos: Kos, postgres_url: str) -> None:
    add(kos, GOOD)
    done, _ = kos.submit(
        {"description": "a", "expert": "Anna"}, {"description": "b", "expert": "Anna"}
    )["ids"]
    with rows(postgres_url):
        complete(done)

    anna = kos("experts", "show", "Anna", "--json").json

    assert (anna["open"], anna["completed"], anna["average_score"]) == (1, 1, 0.9)
    assert {one["status"] for one in anna["recent"]} == {"pending", "completed"}
    assert kos("experts", "show", "Ana").err.rstrip().endswith("did you mean Anna?")


def test_the_model_of_an_expert_goes_with_its_tasks_unless_they_name_one(
    kos: Kos, postgres_url: str
) -> None:
    add(kos, {**GOOD, "metadata": {"preferred_model": "qwen3:8b"}})
    ids = kos.submit(
        {"description": "a"},
        {"description": "b", "expert": "Anna"},
        {"description": "c", "metadata": {"preferred_model": "llama3"}},
    )["ids"]
    with rows(postgres_url):
        assign_page(Roster())

    models = [kos("show", one, "--json").json["metadata"]["preferred_model"] for one in ids]

    assert models == ["qwen3:8b", "qwen3:8b", "llama3"]
