"""Files of lines as people have them: arrays, commas, other encodings."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest

from console.operations.submission_lines import Line, read_lines, read_table

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
        "\r".join(map(json.dumps, ROWS)) + "\r",
        json.dumps(ROWS, indent=2).replace("\n", "\r"),
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


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Напиши отчёт о продажах", "CP1251"),
        ("отчёт", "CP1251"),
        ("Напиши отчёт о продажах", "KOI8-R"),
        ("Résumé", "CP1252"),
        ("Größe – “naïve café”", "CP1252"),
    ],
)
def test_another_code_page_is_named_with_its_remedy(text: str, encoding: str) -> None:
    (line,) = read(f'{{"description": "{text}"}}'.encode(encoding))
    assert line.error is not None
    assert f"iconv -f {encoding} -t UTF-8" in line.error


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_table_is_read_as_spreadsheets_write_it(delimiter: str, end: str) -> None:
    rows = [["city", "note", ""], ["Rome", 'a,b;c\td "e"', ""], ["", "", ""], ["Oslo", "1", ""]]
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, lineterminator=end).writerows(rows)

    read_rows = list(read_table(io.BytesIO(written.getvalue().encode("utf-8-sig"))))

    assert [line.value for line in read_rows] == [
        {"city": "Rome", "note": 'a,b;c\td "e"'},
        {"city": "Oslo", "note": "1"},
    ]


def test_a_broken_row_of_a_table_leaves_those_before_it() -> None:
    good, long, open_quote = read_table(io.BytesIO(b'city;note\nRome;x\nBern;y;z\nOslo;"half\n'))

    assert good.value == {"city": "Rome", "note": "x"}
    assert (long.number, long.error) == (3, "line: has more fields than the first row")
    assert open_quote.number == 4
    assert open_quote.error is not None
    assert "unexpected end of data" in open_quote.error


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("city\tnote\nRome\tx".encode("utf-16"), "UTF-16"),
        ("city;note\nRöme;x".encode("cp1252"), "looks like CP1252"),
        ("город;заметка\nРим;осень".encode("cp1251"), "looks like CP1251"),
        (b"PK\x03\x04\xff", "a spreadsheet"),
    ],
)
def test_a_table_in_another_encoding_is_named_with_its_remedy(content: bytes, name: str) -> None:
    (line,) = read_table(io.BytesIO(content))
    assert line.error is not None
    assert name in line.error
    assert "save it as" in line.error


def test_a_table_in_place_of_lines_is_named_with_its_remedy() -> None:
    first, _ = read(b"city,note\nRome,x\n")
    assert first.error is not None
    assert "kos submit --template NAME --vars FILE" in first.error


def test_a_broken_array_says_where() -> None:
    (line,) = read(b'[{"description": "one"},')
    assert line.error is not None
    assert "is not JSON" in line.error
