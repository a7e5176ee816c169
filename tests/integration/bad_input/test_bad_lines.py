"""Lines of a JSONL file: each bad one is refused by its number and field, the others go in."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.bad_input.conftest import count_tasks
from tests.integration.bad_input.doors import kos, says
from tests.support.commands import Ran


@dataclass(frozen=True, slots=True)
class Bad:
    """A line, and what its refusal says; the field comes first."""

    name: str
    line: Any
    field: str
    says: tuple[str, ...] = ()


def task(**fields: Any) -> dict[str, Any]:
    return {"description": "bad", **fields}


RAW = (
    Bad("not JSON", b"{broken", "line", ("is not JSON", "column 2")),
    Bad("cut off", b'{"description": "half', "line", ("is not JSON",)),
    Bad("a list", b'["description"]', "line", ("expected an object, got a list",)),
    Bad("a text", b'"description"', "line", ("expected an object",)),
    Bad("null", b"null", "line", ("expected an object, got null",)),
    Bad("not UTF-8", b'{"description": "\xff\xfe"}', "line", ("is not UTF-8 (byte 18)",)),
    Bad("nested deeply", b'{"description": "x", "metadata": ' + b'{"a":' * 200 + b"1" + b"}" * 201,
        "metadata", ("nested deeper than 64 levels",)),
    Bad("nested without end", b"[" * 100_000, "line", ("nested too deeply",)),
    Bad("NaN", b'{"description": "x", "metadata": {"a": NaN}}', "metadata.a", ("finite number",)),
    Bad("too large a number", b'{"description": "x", "metadata": {"max_tokens": 1e999}}',
        "metadata.max_tokens", ("finite number",)),
    Bad("digits without end", b'{"description": "x", "metadata": {"a": ' + b"9" * 5000 + b"}}",
        "line", ("is not JSON",)),
    Bad("NUL", b'{"description": "a\\u0000b"}', "description", ("NUL character at position 1",)),
    Bad("NUL in a key", b'{"description": "x", "metadata": {"a\\u0000": 1}}', "metadata", ("NUL",)),
    Bad("half a pair", b'{"description": "a\\ud800"}', "description", ("surrogate pair",)),
    Bad("nine megabytes", b'{"description": "' + b"x" * 9_000_000 + b'"}', "line", ("8 MB",)),
)  # fmt: skip

FIELDS = (
    Bad("no description", {"title": "x"}, "description", ("is missing",)),
    Bad("empty object", {}, "description", ("is missing",)),
    Bad("blank description", {"description": " \n"}, "description", ("is blank",)),
    Bad("description of a number", {"description": 5}, "description", ("expected text in quotes",)),
    Bad("two megabytes", {"description": "x" * 2_000_000}, "description", ("1 MB",)),
    Bad("misspelt key", {"descriptoin": "x"}, "descriptoin", ("did you mean description?",)),
    Bad("title of a list", task(title=["a"]), "title", ("expected text in quotes",)),
    Bad("title too long", task(title="t" * 256), "title", ("256 characters; at most 255",)),
    Bad("custom_id of a number", task(custom_id=7), "custom_id", ("expected text in quotes",)),
    Bad("custom_id too long", task(custom_id="c" * 256), "custom_id", ("at most 255",)),
    Bad("unknown priority", task(priority="hihg"), "priority", ("did you mean high?",)),
    Bad("priority of a number", task(priority=1), "priority", ("expected one of low",)),
    Bad("unknown category", task(category="poetry"), "category", ("write one of default, fast",)),
    Bad("unknown expert", task(expert="Nobody"), "expert", ("'Nobody' is unknown",)),
    Bad("expert of an object", task(expert={}), "expert", ("expected text in quotes",)),
    Bad("unknown backend", task(backend="olama"), "backend", ("did you mean ollama?",)),
    Bad("model of a flag", task(model=True), "model", ("expected text in quotes",)),
    Bad("after of a text", task(after="a"), "after", ('write ["a"]',)),
    Bad("after of numbers", task(after=["a", 5]), "after[1]", ("expected some text",)),
    Bad("after nobody", task(after=["nobody"]), "after", ("neither earlier in the file",)),
    Bad("after an unknown id", task(after=["00000000-0000-4000-8000-00000000dead"]), "after", ()),
    Bad("after a later line", task(after=["later"]), "after", ("put its line first",)),
    Bad("after itself", task(custom_id="me", after=["me"]), "after", ("names the task itself",)),
    Bad("schema of a text", task(schema="{}"), "schema", ("expected a JSON Schema object",)),
    Bad("bad schema", task(schema={"type": "objekt"}), "schema", ("not a valid JSON Schema",)),
    Bad("schema elsewhere", task(schema={"$ref": "file:///x"}), "schema", ("refers to",)),
    Bad("no regular expression", task(schema={"pattern": "("}), "schema", ("holds the pattern",)),
    Bad("files of a text", task(files="a.py"), "files", ("expected a list of texts",)),
    Bad("missing file", task(files=["missing.py"]), "files", ("missing.py does not exist",)),
    Bad("file outside", task(files=["/etc/passwd"]), "files", ("lies outside KOS_FILE_ROOTS",)),
    Bad("file above", task(files=["../secret.txt"]), "files", ("lies outside KOS_FILE_ROOTS",)),
    Bad("link to the outside", task(files=["link.txt"]), "files", ("lies outside",)),
    Bad("link to itself", task(files=["loop.txt"]), "files", ("loop.txt",)),
    Bad("fifo", task(files=["fifo"]), "files", ("fifo is not a regular file",)),
    Bad("directory", task(files=["directory"]), "files", ("is a directory; name a file",)),
    Bad("file name too long", task(files=["n" * 5000]), "files", ("is not a usable path",)),
    Bad("metadata of a list", task(metadata=[]), "metadata", ("expected an object",)),
    Bad("behind a refused line", task(after=["refused"]), "after", ("which was refused",)),
)  # fmt: skip

METADATA = tuple(
    Bad(f"metadata {key}", task(metadata={key: value}), f"metadata.{key}")
    for key, value in (
        ("preferred_source", 5), ("preferred_model", []), ("required_backend", 1),
        ("category", "poetry"), ("source", {}), ("file_path", 1), ("file_paths", "a"),
        ("keywords", "a"), ("bug_probability", 2), ("assignee_hint", 1),
        ("response_schema", []), ("max_tokens", 0), ("num_ctx", "8k"), ("complex", "yes"),
        ("delegate", 5), ("validator", "me"), ("language", "xx"), ("required_parts", "a"),
    )
)  # fmt: skip

REFUSED = Bad("refused", task(custom_id="refused", priority="soon"), "priority", ("soon",))
TABLE = (REFUSED, *RAW, *FIELDS, *METADATA)
GOOD = 5


@dataclass(frozen=True, slots=True)
class Submitted:
    """What one command said to the whole table, and the tasks there were afterwards."""

    ran: Ran
    errors: Mapping[int, str]
    added: int


@pytest.fixture(scope="module")
def submitted(environ: dict[str, str], database_url: str, files: Path) -> Submitted:
    """Every line of the table in one file, with good lines before, between and behind."""
    (files.parent / "secret.txt").write_text("secret")
    (files / "link.txt").symlink_to(files.parent / "secret.txt")
    (files / "loop.txt").symlink_to(files / "loop.txt")
    (files / "directory").mkdir()
    os.mkfifo(files / "fifo")
    source = files / "tasks.jsonl"
    good = [json.dumps({"description": f"good {n}"}).encode() for n in range(GOOD - 1)]
    bad = [bad.line if isinstance(bad.line, bytes) else json.dumps(bad.line).encode()
           for bad in TABLE]  # fmt: skip
    last = json.dumps({"description": "good", "custom_id": "later"}).encode()
    source.write_bytes(b"\n".join([*bad[:30], *good, *bad[30:], last]) + b"\n")
    before = count_tasks(database_url)
    ran = kos(environ, "submit", "--from", str(source), "--json")
    errors = {entry["line"]: entry["error"] for entry in ran.json["rejected"]}
    return Submitted(ran, errors, count_tasks(database_url) - before)


@pytest.mark.parametrize(("index", "bad"), list(enumerate(TABLE)), ids=[bad.name for bad in TABLE])
def test_a_bad_line_is_refused_by_its_number_and_field(
    submitted: Submitted, index: int, bad: Bad
) -> None:
    number = index + 1 if index < 30 else index + GOOD

    error = submitted.errors[number]

    field = error.partition(":")[0]
    assert field.partition(" (key")[0].startswith(bad.field), error
    says(error, bad.says)
    assert len(error) < 600


def test_the_good_lines_beside_them_go_in(submitted: Submitted) -> None:
    document = submitted.ran.json

    assert submitted.ran.code == 2
    assert document["submitted"] == len(document["ids"]) == submitted.added == GOOD
    assert len(submitted.errors) == len(TABLE)


def test_people_are_told_twenty_of_them_a_line_each(environ: dict[str, str], files: Path) -> None:
    source = files / "many.jsonl"
    source.write_text("{\n" * 30 + '{"description": "good"}\n')

    ran = kos(environ, "submit", "--from", str(source))

    told = ran.err.splitlines()
    assert ran.code == 2
    assert len(told) == 20
    assert told[0].startswith("kos: line 1: line: is not JSON")
    assert told[-1].endswith("(and 10 more)")
    assert ran.out == "1 submitted, 30 refused\n"
