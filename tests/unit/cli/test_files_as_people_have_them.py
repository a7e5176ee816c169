"""Files of lines as people have them: arrays, commas, other encodings."""

from __future__ import annotations

import gzip
import io
import json

import pytest

from console.operations.submission_lines import Line, read_lines

ROWS = [{"description": "one"}, {"description": "два"}]


def read(content: bytes) -> list[Line]:
    return list(read_lines(io.BytesIO(content)))


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        "\ufeff" + json.dumps(ROWS),
        "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n",
        ",\n".join(map(json.dumps, ROWS)),
        "\r\n".join(map(json.dumps, ROWS)),
    ],
)
def test_objects_are_read_from_arrays_and_from_lines_with_commas(text: str) -> None:
    assert [line.value for line in read(text.encode())] == ROWS


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_unicode_is_named_with_its_remedy(encoding: str) -> None:
    (line,) = read("\n".join(map(json.dumps, ROWS)).encode(encoding))

    assert line.error is not None
    name = encoding.upper().replace("-LE", "LE").replace("-BE", "BE")
    assert f"save it as UTF-8, for example by iconv -f {name} -t UTF-8" in line.error


def test_an_archive_is_named_once() -> None:
    (line,) = read(gzip.compress(json.dumps(ROWS).encode()))
    assert line.error == "line: the file is compressed; unpack it, for example by gunzip FILE"


def test_one_object_over_several_lines_is_one_task() -> None:
    assert [line.value for line in read(json.dumps(ROWS[0], indent=2).encode())] == ROWS[:1]


def test_a_broken_first_line_does_not_take_the_others_along() -> None:
    first, second = read(b"{\n" + json.dumps(ROWS[0]).encode() + b"\n")
    assert first.error is not None
    assert (second.number, second.value) == (2, ROWS[0])


def test_cp1251_is_named_with_its_remedy() -> None:
    (line,) = read('{"description": "Напиши отчёт о продажах"}'.encode("cp1251"))
    assert line.error is not None
    assert "iconv -f CP1251" in line.error


def test_a_broken_array_says_where() -> None:
    (line,) = read(b'[{"description": "one"},')
    assert line.error is not None
    assert "is not JSON" in line.error
