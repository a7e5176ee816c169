from __future__ import annotations

from console.cli.text import one_line, safe


def test_an_answer_cannot_move_the_cursor_or_colour_the_terminal() -> None:
    hostile = "ok\x1b[2J\x1b]0;owned\x07\x9b31m\u202etxt.exe"

    shown = safe(hostile)

    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\x9b" not in shown
    assert "\u202e" not in shown
    assert shown.startswith("ok")


def test_line_breaks_and_tabs_of_an_answer_stay() -> None:
    assert safe("a\tb\r\nc\nd") == "a\tb\nc\nd"


def test_a_title_of_several_lines_becomes_one() -> None:
    assert one_line("  first\r\n\n  second\tthird\x00 ") == "first second third\ufffd"


def test_a_long_title_is_shortened_with_an_ellipsis() -> None:
    assert one_line("word " * 10, max_chars=12) == "word word w…"
