"""On a terminal: colour, progress, the live view. A pseudo-terminal stands for one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

from tests.integration.cli.command_line import Kos
from tests.integration.cli.steps import complete, fail, rows

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = "import sys; from console.cli.main import main; sys.exit(main())"
DEADLINE_SECONDS = 30.0


class Terminal:
    """``kos`` on a pseudo-terminal of 120 x 40."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        environ = {**os.environ, "TERM": "xterm-256color"}
        for name in ("NO_COLOR", "COLUMNS", "LINES"):
            environ.pop(name, None)
        environ |= variables
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            cwd=ROOT,
            env=environ,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.text = ""

    def read_until(self, holds: Callable[[str], bool]) -> str:
        """Everything written so far, once it ``holds``; AssertionError after the deadline."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not holds(self.text):
            assert time.monotonic() < deadline, self.text[-2000:]
            if not self._read():
                break
        assert holds(self.text), self.text[-2000:]
        return self.text

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def end(self) -> int:
        """Its exit code, once it ended by itself."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self._process.poll() is None:
            assert time.monotonic() < deadline, self.text[-2000:]
            self._read()
        while self._read():
            pass
        os.close(self._master)
        return self._process.returncode

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            os.close(self._master)

    def _read(self) -> bool:
        readable, _, _ = select.select([self._master], [], [], 0.05)
        if not readable:
            return self._process.poll() is None
        try:
            data = os.read(self._master, 65_536)
        except OSError:
            return False
        self.text += data.decode("utf-8", "replace")
        return bool(data)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_a_terminal_gets_colour_and_lines_that_fit(kos: Kos, postgres_url: str) -> None:
    (task_id,) = kos.submit({"description": "a very long description " * 30})["ids"]
    with rows(postgres_url):
        complete(task_id)

    with Terminal("tasks") as terminal:
        code = terminal.end()

    assert code == 0
    assert "\x1b[32mcompleted" in terminal.text
    assert all(len(line.rstrip()) <= 120 for line in plain(terminal.text).splitlines())


def test_no_color_is_respected(kos: Kos) -> None:
    kos.submit({"description": "a"})

    with Terminal("tasks", NO_COLOR="1") as terminal:
        code = terminal.end()

    assert code == 0
    assert "pending" in terminal.text
    assert not re.search(r"\x1b\[(3|9)[0-9]m", terminal.text)


def test_an_answer_does_not_steer_the_terminal_and_goes_whole_into_a_pipe(
    kos: Kos, postgres_url: str
) -> None:
    (task_id,) = kos.submit({"description": "a"})["ids"]
    with rows(postgres_url):
        complete(task_id, result="\x1b]0;owned\x07 the answer")

    with Terminal("show", task_id, "--answer") as terminal:
        code = terminal.end()

    assert code == 0
    assert "owned" in terminal.text
    assert "\x1b]0" not in terminal.text
    assert kos("show", task_id, "--answer").out == "\x1b]0;owned\x07 the answer\n"


def test_waiting_shows_a_line_that_goes_away(kos: Kos, postgres_url: str) -> None:
    good, bad = kos.submit({"description": "a"}, {"description": "b"})["ids"]
    with rows(postgres_url):
        complete(good)

    with Terminal("wait", good, bad) as terminal:
        terminal.read_until(lambda text: "1/2" in plain(text))
        with rows(postgres_url):
            fail(bad)
        code = terminal.end()

    assert code == 1
    assert "1 completed, 1 failed" in plain(terminal.text)


def test_the_live_view_pauses_retries_and_ends(kos: Kos, postgres_url: str) -> None:
    (task_id,) = kos.submit({"description": "a", "title": "Doomed"})["ids"]
    with rows(postgres_url):
        fail(task_id, error="poison")

    with Terminal("watch", "--refresh", "0.2") as terminal:
        terminal.read_until(lambda text: "poison" in plain(text))
        terminal.type("jp")
        terminal.read_until(lambda text: "mlx is paused" in plain(text))
        terminal.type("\t\tr")
        terminal.read_until(lambda text: f"{task_id[:8]} goes through again" in plain(text))
        terminal.type("q")
        code = terminal.end()

    assert code == 0
    assert kos("show", task_id, "--json").json["status"] == "pending"
    assert "kos resume mlx" in kos("backends").out


def test_the_live_view_needs_a_terminal(kos: Kos) -> None:
    ran = kos("watch")

    assert ran.code == 2
    assert "kos status --json" in ran.err


def test_a_reader_that_leaves_is_not_an_error(kos: Kos) -> None:
    kos.submit(*({"description": f"task {n} " + "x" * 200} for n in range(1500)))

    command = [sys.executable, "-c", PROGRAM, "export"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as done:
        assert done.stdout is not None
        assert done.stderr is not None
        assert done.stdout.readline().startswith('{"id"')
        done.stdout.close()
        assert done.stderr.read() == ""

    assert done.returncode == 0
