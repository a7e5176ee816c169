from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click
import psycopg2
import pytest
import redis

from console.cli.error_mapping import run_guarded
from console.operations.errors import InvalidInput, ServiceUnreachable
from console.services.errors import ServiceError
from jobs.settings.load import SettingsError
from models.database import DatabaseUnavailable
from models.migrations.runner import MigrationFailed


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def action() -> NoReturn:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput("no such task"), 2),
        (SettingsError(("KOS_X is wrong",)), 2),
        (click.UsageError("no such option"), 2),
        (click.BadParameter("unknown"), 2),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), 2),
        (ServiceUnreachable("nothing runs"), 4),
        (DatabaseUnavailable("refused"), 4),
        (psycopg2.OperationalError("server closed the connection"), 4),
        (redis.ConnectionError("refused"), 4),
        (redis.TimeoutError("timed out"), 4),
        (redis.AuthenticationError("wrong password"), 4),
        (ServiceError("supervisord does not answer"), 4),
        (MigrationFailed("constraint forbids"), 1),
        (FileNotFoundError(2, "No such file or directory", "x.json"), 1),
        (KeyError("surprise"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_error_is_one_line_on_stderr_and_a_code(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run_guarded(raising(error), log_directory=lambda: None)

    out, err = capsys.readouterr()
    assert found == code
    assert out == ""
    assert err.startswith("kos: ")
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err


def test_a_message_of_several_lines_is_folded_into_one(capsys: pytest.CaptureFixture[str]) -> None:
    run_guarded(raising(InvalidInput("first\n  second\x1b[31m")), log_directory=lambda: None)

    assert capsys.readouterr().err == "kos: first second\ufffd[31m\n"


def test_the_traceback_of_a_surprise_is_kept_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_guarded(raising(KeyError("surprise")), log_directory=lambda: tmp_path)

    log = tmp_path / "kos-errors.log"
    assert code == 1
    assert str(log) in capsys.readouterr().err
    assert "Traceback" in log.read_text()


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (3, 3), ("text", 0)])
def test_what_a_command_returns_is_its_exit_code(returned: Any, code: int) -> None:
    assert run_guarded(lambda: returned, log_directory=lambda: None) == code


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_the_caller_closed_end_no_command(closed: str, tmp_path: Path) -> None:
    """As a service manager or a cron job may start it."""
    program = "import sys; from console.cli.main import main; sys.exit(main(['watch']))"
    ran = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, program],
        env={**os.environ, "KOS_HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ran.returncode == 2
    assert ran.stdout == ""
    assert "2>" in closed or "kos watch needs a terminal" in ran.stderr
