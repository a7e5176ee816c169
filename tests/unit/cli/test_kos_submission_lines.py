from __future__ import annotations

import io

from console.operations.submission_lines import MAX_LINE_BYTES, read_lines


def test_lines_are_numbered_as_an_editor_shows_them() -> None:
    source = io.BytesIO(b'\xef\xbb\xbf{"a": 1}\n\n   \r\n{"b": 2}\r\n{"c": 3}')

    lines = list(read_lines(source))

    assert [(line.number, line.value) for line in lines] == [
        (1, {"a": 1}),
        (4, {"b": 2}),
        (5, {"c": 3}),
    ]


def test_a_broken_line_says_where_and_the_next_is_read() -> None:
    source = io.BytesIO(b'{"a": }\n{"b": "\xff"}\n{"c": 3}\n')

    first, second, third = read_lines(source)

    assert first.error is not None
    assert "column 7" in first.error
    assert second.error is not None
    assert "not UTF-8 (byte 8)" in second.error
    assert third.value == {"c": 3}


def test_a_line_without_end_is_skipped_in_bounded_memory() -> None:
    source = io.BytesIO(b'"' + b"x" * (2 * MAX_LINE_BYTES) + b'"\n{"next": true}\n')

    long, following = read_lines(source)

    assert long.error is not None
    assert "longer than 8 MB" in long.error
    assert long.size_bytes > 2 * MAX_LINE_BYTES
    assert (following.number, following.value) == (2, {"next": True})


def test_deep_nesting_and_huge_numbers_are_errors_of_their_line() -> None:
    source = io.BytesIO(b"[" * 200_000 + b"\n" + b"1" * 5000 + b"\n")

    errors = [line.error for line in read_lines(source)]

    assert all(error is not None for error in errors)
    assert len(errors) == 2
