"""``kos schedules`` and ``kos templates``, from being added to the tasks they become."""

from __future__ import annotations

from console.operations import tasks
from tests.integration.cli.command_line import Kos
from tests.integration.cli.steps import rows


def test_a_schedule_is_added_listed_changed_run_and_removed(kos: Kos) -> None:
    added = kos(
        "schedules", "add", "--name", "plan", "--every", "every weekday at 7:30",
        "--zone", "Europe/Berlin", "--text", "Plan of {{date}}", "--json",
    ).json  # fmt: skip
    assert added["cron"] == "30 7 * * 1-5"
    assert added["words"] == "At 07:30 on Monday through Friday"
    assert len(added["next"]) == 5

    kos("schedules", "pause", "plan")
    assert kos("schedules", "list", "--json").json[0]["next"] == []
    kos("schedules", "resume", "plan")
    changed = kos("schedules", "edit", "plan", "--every", "every 2 hours", "--catch-up", "--json")
    assert (changed.json["cron"], changed.json["catch_up"]) == ("0 */2 * * *", True)
    task_id = kos("schedules", "run", "plan", "--json").json["task_id"]
    shown = kos("schedules", "show", "plan", "--json").json
    assert [(run["outcome"], run["task_id"]) for run in shown["runs"]] == [("run", task_id)]
    assert "pending" in kos("schedules").out
    assert "Plan of" in kos("show", task_id).out

    kos("schedules", "remove", "plan")
    assert kos("schedules", "list", "--json").json == []
    assert kos("show", task_id).code == 0


def test_a_wrong_schedule_is_refused_with_what_to_write(kos: Kos) -> None:
    good = {"--name": "n", "--every": "hourly", "--text": "t"}
    cases = (
        ({"--every": "every 7 hours"}, "do not divide 24 evenly"),
        ({"--every": "now and then"}, "every weekday at 7:30"),
        ({"--every": "daily at 25:00"}, "does not exist"),
        ({"--zone": "Europe/Berln"}, "is unknown; write one as Europe/Berlin"),
        ({"--zone": "../etc/passwd"}, "is unknown"),
        ({"--expert": "Nobody"}, "is unknown"),
        ({"--text": "{{topic}}"}, "write --var topic=VALUE"),
        ({"--keep": "0"}, "'--keep': 0 is not in the range"),
        ({"--name": ""}, "name: write"),
    )
    for change, message in cases:
        arguments = [part for pair in {**good, **change}.items() for part in pair]
        refused = kos("schedules", "add", *arguments)
        assert refused.code == 2, change
        assert message in " ".join(refused.err.split()), change
    for line in ("* * * *", "61 * * * *", "0 0 31 2 *"):
        assert kos("schedules", "add", "--name", "n", "--cron", line, "--text", "t").code == 2
    assert kos("schedules", "list", "--json").json == []


def test_a_template_becomes_one_task_a_row(kos: Kos, postgres_url: str) -> None:
    kos("templates", "add", "review", "--text", "Review {{file}} for {{what}}",
        "--priority", "high")  # fmt: skip
    table = kos.files / "rows.csv"
    table.write_text('file,what\na.py,"speed, mostly"\nb.py\nc.py,{{file}}\n')
    lines = kos.files / "rows.jsonl"
    lines.write_text('{"file": "d.py", "what": 3}\n')

    one = kos("submit", "--template", "review", "--var", "file=x.py", "--var", "what=y", "--json")
    many = kos("submit", "--template", "review", "--vars", str(table), "--json")
    more = kos("submit", "--template", "review", "--vars", str(lines), "--json")

    assert (one.code, many.code, more.code) == (0, 2, 0)
    assert many.json["rejected"] == [{"line": 3, "error": "no value for what"}]
    ids = [*one.json["ids"], *many.json["ids"], *more.json["ids"]]
    with rows(postgres_url):
        found = [tasks.details(task_id) for task_id in ids]
    assert [row.description for row in found] == [
        "Review x.py for y",
        "Review a.py for speed, mostly",
        "Review c.py for {{file}}",
        "Review d.py for 3",
    ]
    assert {row.priority for row in found} == {"high"}


def test_a_template_that_a_schedule_uses_stays(kos: Kos) -> None:
    kos("templates", "add", "review", "--text", "Review {{file}} on {{date}}")
    added = kos("schedules", "add", "--name", "weekly", "--every", "every monday at 9:00",
                "--template", "review", "--var", "file=app.py", "--json")  # fmt: skip
    assert added.json["template"] == "review"

    refused = kos("templates", "remove", "review")
    assert refused.code == 2
    assert "weekly" in refused.err
    assert kos("schedules", "run", "weekly").code == 0
    kos("schedules", "remove", "weekly")
    assert kos("templates", "remove", "review").code == 0
    assert kos("templates", "--json").json == []


def test_the_template_options_of_submit_go_together(kos: Kos) -> None:
    for arguments in (
        ("text", "--var", "a=b"),
        ("text", "--template", "t"),
        ("--template", "none", "--var", "a=b"),
        ("--template", "t", "--var", "ab"),
    ):
        assert kos("submit", *arguments).code == 2, arguments
