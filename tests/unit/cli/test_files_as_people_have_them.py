"""Files of lines as people have them: arrays, commas, other encodings."""

from __future__ import annotations

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


def test_utf16_is_named_with_its_remedy() -> None:
    (line,) = read("\n".join(map(json.dumps, ROWS)).encode("utf-16"))
    assert line.error is not None
    assert "UTF-16; save it as UTF-8, for example by iconv -f UTF-16" in line.error


def test_cp1251_is_named_with_its_remedy() -> None:
    (line,) = read('{"description": "Напиши отчёт о продажах"}'.encode("cp1251"))
    assert line.error is not None
    assert "iconv -f CP1251" in line.error


def test_a_broken_array_says_where() -> None:
    (line,) = read(b'[{"description": "one"},')
    assert line.error is not None
    assert "is not JSON" in line.error
