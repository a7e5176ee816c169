from __future__ import annotations

import json

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
