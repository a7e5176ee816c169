"""Wrong words on the command line: one line that says what to do, and the right exit code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.bad_input.conftest import count_tasks
from tests.integration.bad_input.doors import kos, says

NO_TASK = "00000000-0000-4000-8000-00000000dead"


@dataclass(frozen=True, slots=True)
class Bad:
    """Words after ``kos``, the exit code, and what the one line on stderr says."""

    words: tuple[str, ...]
    says: tuple[str, ...]
    code: int = 2
    stdin: bytes = b""

    @property
    def name(self) -> str:
        return " ".join(self.words)[:40] or "nothing"


def bad(line: str, *parts: str, code: int = 2, stdin: bytes = b"") -> Bad:
    return Bad(tuple(line.split()), parts, code, stdin)


TABLE = (
    bad("taks", "no command 'taks'", "did you mean tasks?"),
    bad("--colour", "--colour"),
    bad("submit", "write the task in quotes, or --from FILE"),
    bad("submit x --from -", "write the task in quotes, or --from FILE"),
    Bad(("submit", " "), ("line 1: description: is blank",)),
    Bad(("submit", "a\x00b"), ("description", "NUL")),
    Bad(("submit", "x" * 2_000_000), ("description", "1 MB")),
    Bad(("submit", "a\udc80b"), ("description", "surrogate")),
    bad("submit x --priority hihg", "--priority", "did you mean high?"),
    bad("submit x --category poetry", "--category", "default, fast"),
    bad("submit x --expert Nobody", "expert: 'Nobody' is unknown"),
    bad("submit x --backend olama", "backend: 'olama'", "did you mean ollama?"),
    bad("submit x --after nobody", "no task has the id or custom_id 'nobody'"),
    bad("submit x --file missing.py", "files:", "missing.py"),
    bad("submit x --file /etc/passwd", "files:", "outside KOS_FILE_ROOTS"),
    bad("submit x --schema missing.json", "--schema", "missing.json", "No such file"),
    bad("submit x --schema /dev/null", "--schema", "is not JSON"),
    bad("submit x --timeout 5", "--timeout belongs to --wait"),
    bad("submit x --wait --timeout soon", "--timeout", "'soon'"),
    bad("submit x --wait --timeout -1", "--timeout", "-1"),
    bad("submit x --wait --timeout nan", "--timeout", "'nan' is no number of seconds"),
    bad("wait --all --timeout inf", "--timeout", "'inf' is no number of seconds"),
    bad("up --timeout nan", "--timeout", "'nan' is no number of seconds"),
    bad("watch --refresh nan", "--refresh", "'nan' is no number of seconds"),
    bad("submit --from table.csv", "a table fills a template", "kos submit --template NAME --vars"),
    bad("submit --from missing.jsonl", "--from", "missing.jsonl", "No such file"),
    bad("submit --from /", "--from", "directory"),
    bad("submit --from - --title x", "--title is for one task"),
    bad("submit --from - --file x", "--file is for one task"),
    bad("tasks --status compleated", "did you mean completed?"),
    bad("tasks --since yesterdaay", "since: 'yesterdaay' is no time", "10m"),
    bad("tasks --limit 0", "--limit"),
    bad("tasks --limit many", "--limit", "many"),
    bad("show", "ID"),
    bad("show nobody", "no task has the id or custom_id 'nobody'"),
    bad(f"show {NO_TASK}", "no task has the id", NO_TASK),
    Bad(("show", "a\x00"), ("no task has the id",)),
    Bad(("show", ""), ("no task has the id",)),
    bad("why nobody", "no task has the id or custom_id 'nobody'"),
    bad("wait nobody", "no task has the id or custom_id 'nobody'"),
    bad("wait", "--all"),
    bad("wait --all --timeout never", "--timeout", "never"),
    bad("cancel", "name some ids", "kos cancel --help"),
    bad("cancel nobody", "no task has the id or custom_id 'nobody'"),
    bad("retry", "name some ids", "kos retry --help"),
    bad("retry nobody", "no task has the id or custom_id 'nobody'"),
    bad("export --status done", "'done' is unknown"),
    bad("export --since tomorrowish", "since: 'tomorrowish' is no time"),
    bad("experts add", "--from"),
    bad("experts add --from missing.jsonl", "--from", "No such file"),
    bad("experts ad", "no command 'ad'", "did you mean add?"),
    bad("pause olama", "did you mean ollama?"),
    bad("resume", "BACKEND"),
    bad("queues show llm-olama", "did you mean llm-ollama?"),
    bad("plan --policy fastest", "--policy"),
    bad("simulate --workload missing.json", "missing.json"),
    bad("simulate --workload /dev/null", "/dev/null"),
    bad("simulate --policy lucky", "--policy"),
    bad("migrate sideways", "no command 'sideways'"),
    bad("completion tcsh", "tcsh", "bash"),
    bad("up --timeout 0", "--timeout"),
    bad("down --timeout now", "--timeout", "now"),
    bad("ctl status", "not running", "kos up", code=4),
    bad("status --jsn", "--jsn"),
)


@pytest.fixture(scope="module", autouse=True)
def _stand_in_the_files(files: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(files)
    (files / "table.csv").write_text("city;note\nRome;x\n")
    yield
    os.chdir(before)


@pytest.mark.parametrize("case", TABLE, ids=[case.name for case in TABLE])
def test_a_wrong_word_is_told_in_one_line(
    environ: dict[str, str], database_url: str, case: Bad
) -> None:
    before = count_tasks(database_url)

    ran = kos(environ, *case.words, stdin=case.stdin)

    assert ran.code == case.code, ran.err
    says(ran.err, case.says)
    assert ran.err.startswith("kos: ")
    assert len(ran.err.strip().splitlines()) == 1, ran.err
    assert len(ran.err) < 700
    assert ran.out == ""
    assert count_tasks(database_url) == before
