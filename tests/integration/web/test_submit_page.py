"""The submit page: files, tables, lines, and a check that submits nothing."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from jobs.settings.load import load
from jobs.upkeep import maintenance
from tests.integration.web.dashboards import Dashboard
from tests.support.system import System

Send = Callable[..., requests.Response]


@pytest.fixture
def send(dashboard: Dashboard) -> Send:
    browser = requests.Session()
    text = browser.get(f"{dashboard.url}/submit", timeout=20).text
    form = re.search(r'name="csrf" value="([0-9a-f]+)"', text)
    assert form

    def post(files: list[tuple[str, tuple[str, Any]]] = (), **fields: str) -> requests.Response:  # type: ignore[assignment]
        values = {"csrf": form[1], **fields}
        return browser.post(
            f"{dashboard.url}/submit", data=values, files=files or {"none": ("", "")}, timeout=20
        )

    return post


def tasks(system: System) -> list[Any]:
    return system.sql("SELECT description, metadata FROM tasks ORDER BY created_at, description")


def test_files_are_kept_read_and_deleted_with_their_task(send: Send, system: System) -> None:
    system.start()
    names = ("notes.txt", "../../etc/notes.txt", "a b\\c<d>.md")
    shown = send(
        [("files", (name, f"The code word is in {name}.")) for name in names],
        description="Read the notes",
        tags="a, b c",
        project="site",
    )
    assert shown.status_code == 200
    [task] = tasks(system)
    paths = [Path(path) for path in task["metadata"]["file_paths"]]
    assert [path.name for path in paths] == ["notes.txt", "1-notes.txt", "c_d_.md"]
    assert (task["metadata"]["tags"], task["metadata"]["project"]) == (["a", "b c"], "site")
    task_id = system.sql("SELECT id::text FROM tasks")[0]["id"]
    system.wait_status(task_id, "completed", deadline_seconds=120)
    sent = system.attempts(task_id)[-1]["messages"]
    assert "The code word is in notes.txt" in str(sent)

    settings = load(system.environ)
    directory = paths[0].parent
    an_hour_ago = time.time() - 3700

    def sweep() -> int:
        os.utime(directory, (an_hour_ago, an_hour_ago))
        return maintenance.prune_uploads(settings.upload_directory)

    assert sweep() == 0
    system.sql("DELETE FROM tasks")
    assert sweep() == 1
    assert not directory.exists()


def test_a_file_that_is_too_large_or_a_refused_task_leaves_nothing(
    send: Send, system: System
) -> None:
    large = send([("files", ("big.bin", b"x" * (5_000_000 + 1)))], description="Read it")
    assert "larger than 5 MB" in large.text
    refused = send([("files", ("a.txt", "a"))], description="Read it", expert="Nobody")
    assert "expert: &#39;Nobody&#39; is unknown" in refused.text
    assert (large.status_code, refused.status_code) == (422, 422)
    assert tasks(system) == []
    home = load(system.environ).upload_directory
    assert list(home.glob("*")) == []


def test_a_table_makes_a_task_for_each_row_and_a_check_makes_none(
    send: Send, system: System
) -> None:
    table = ("table", ("cities.csv", "city,expert\nRome,x\nOslo,y\n"))
    system.sql(
        "INSERT INTO kos_templates (name, line) VALUES "
        '(\'guide\', \'{"description": "A guide to {{city}}", "priority": "high"}\')'
    )
    checked = send([table], description="Describe {{city}}", verb="check")
    assert "Nothing was submitted. Good: 2." in checked.text
    assert tasks(system) == []
    missing = send([table], description="Describe {{town}}", verb="check")
    assert missing.text.count("town") >= 2

    assert "Submitted: 2." in send([table], description="Describe {{city}}").text
    assert "Submitted: 2." in send([table], template="guide").text
    texts = {task["description"] for task in tasks(system)}
    assert texts == {"Describe Rome", "Describe Oslo", "A guide to Rome", "A guide to Oslo"}
    assert send(description="Keep {{braces}}").status_code == 200


def test_lines_are_refused_as_the_command_line_refuses_them(send: Send, system: System) -> None:
    lines = '{"description": "good", "custom_id": "g"}\n{"descripton": "x"}\nnope\n'
    shown = send([("lines", ("tasks.jsonl", lines))], verb="lines").text
    assert "Submitted: 1." in shown
    assert "Refused: 2." in shown
    assert "descripton: is not a known key" in shown
    assert "line: is not JSON" in shown
    again = send([("lines", ("tasks.jsonl", lines))], verb="lines")
    assert "There already: 1." in again.text
    assert send(verb="lines").status_code == 422


def test_a_check_names_what_is_wrong(send: Send, system: System) -> None:
    for fields, message in (
        ({"schema": "{"}, "schema: is not JSON"),
        ({"schema": '{"type": "objekt"}'}, "schema"),
        ({"after": "nothing-there"}, "after: &#39;nothing-there&#39;"),
        ({"model": "no-such-model"}, "no-such-model"),
    ):
        shown = send(description="x", verb="check", **fields)
        assert shown.status_code == 422
        assert message in shown.text
    assert tasks(system) == []
