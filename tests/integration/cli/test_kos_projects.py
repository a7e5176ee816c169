"""``kos projects``, and tasks that carry tags and a project."""

from __future__ import annotations

from tests.integration.cli.command_line import Kos
from tests.integration.cli.steps import add_expert, rows


def test_a_project_and_tags_lead_to_their_tasks(kos: Kos) -> None:
    [first] = kos(
        "submit", "Write it", "--tag", "seo", "--tag", "b c", "--project", "site", "--json"
    ).json["ids"]
    kos("submit", "Another", "--project", "shop")

    for chosen in (["--tag", "b c"], ["--project", "site"], ["--tag", "seo", "--project", "site"]):
        [found] = kos("tasks", *chosen, "--json").json
        assert (found["id"], found["project"], found["tags"]) == (first, "site", ["seo", "b c"])
    assert kos("cancel", "--project", "site", "--yes", "--json").json["cancelled"] == [first]
    assert [
        (one["name"], one["open"], one["cancelled"]) for one in kos("projects", "--json").json
    ] == [
        ("shop", 1, 0),
        ("site", 0, 1),
    ]


def test_defaults_are_set_checked_and_forgotten(kos: Kos, postgres_url: str) -> None:
    with rows(postgres_url):
        add_expert("Anna")
    kos("projects", "set", "site", "--expert", "anna", "--backend", "ollama")
    [site] = kos("projects", "list", "--json").json
    assert (site["expert"], site["backend"]) == ("anna", "ollama")
    for wrong, message in (
        (["site", "--expert", "Ana"], "did you mean Anna?"),
        (["site", "--backend", "olama"], "did you mean ollama?"),
        ([" "], "name: write 1 to"),
    ):
        refused = kos("projects", "set", *wrong)
        assert refused.code == 2
        assert message in refused.err
    kos("projects", "set", "site")
    assert kos("projects", "--json").json == []


def test_a_wrong_tag_is_refused_by_name(kos: Kos) -> None:
    assert "tags" in kos("submit", "x", "--tag", "").err
    assert "tags" in kos("submit", "x", "--tag", "y" * 101).err
    assert "project" in kos("submit", "x", "--project", "y" * 101).err
