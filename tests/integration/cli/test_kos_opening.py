"""The dashboard in the browser, logs of programs, and reasons of failed tasks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import webbrowser

import pytest

from tests.integration.cli.command_line import Kos
from tests.integration.cli.steps import add_expert, fail, rows


def test_the_dashboard_opens_in_the_browser(
    kos_without_tables: Kos, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)

    ran = kos_without_tables("open", "--json")

    assert opened == [ran.json["url"]]
    assert ran.json["url"].startswith("http://127.0.0.1:")


def test_the_end_of_a_log_is_printed_and_a_slip_is_named(kos_without_tables: Kos) -> None:
    log = kos_without_tables.home / "log" / "listener.log"
    log.parent.mkdir(parents=True)
    log.write_text("first\nsecond\nthird\n")

    assert kos_without_tables("logs", "jobs:listener", "-n", "2").out == "second\nthird\n"
    slip = kos_without_tables("logs", "jobs:listner")
    assert slip.code == 2
    assert "did you mean listener?" in slip.err


def test_a_followed_log_ends_as_the_keyboard_interrupts_it(kos_without_tables: Kos) -> None:
    log = kos_without_tables.home / "log" / "listener.log"
    log.parent.mkdir(parents=True)
    log.write_text("first\n")
    program = "from console.cli.main import main; main(['logs', 'listener', '-f'])"
    command = [sys.executable, "-c", program]
    following = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # A shell starts what runs in its background with this signal ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert following.stdout is not None
    assert following.stderr is not None
    assert following.stdout.readline() == b"first\n"

    os.killpg(following.pid, signal.SIGINT)

    assert following.wait(20) == -signal.SIGINT
    assert following.stderr.read() == b""
    following.stdout.close()
    following.stderr.close()


def test_failed_tasks_are_listed_with_their_reason(kos: Kos, postgres_url: str) -> None:
    with rows(postgres_url):
        add_expert()
    (task_id,) = kos.submit({"description": "a", "expert": "Anna"})["ids"]
    with rows(postgres_url):
        fail(task_id, error="the server does not answer")

    assert "the server does not answer" in kos("tasks", "--status", "failed").out
    assert "REASON" not in kos("tasks").out
