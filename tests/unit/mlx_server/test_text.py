"""Stop strings and think markers, however the text is cut into tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.mlx_server.text import AnswerText, Piece, ThinkMarkers

MARKERS = ThinkMarkers("<think>", "</think>")


class Letters:
    """A detokenizer whose tokens are the numbers of characters."""

    def __init__(self) -> None:
        self._fresh = ""

    @property
    def last_segment(self) -> str:
        fresh, self._fresh = self._fresh, ""
        return fresh

    def add_token(self, token: int) -> None:
        self._fresh += chr(token)

    def finalize(self) -> None:
        pass


def _read(
    text: str,
    *,
    stop: tuple[str, ...] = (),
    markers: ThinkMarkers | None = None,
    starts_thinking: bool = False,
    steps: int = 1,
) -> tuple[str, str, list[Piece]]:
    """Feed ``text``, taking pieces every ``steps`` characters: answer, thinking, pieces."""
    answer = AnswerText(Letters(), stop=stop, markers=markers, starts_thinking=starts_thinking)
    pieces = []
    for at, letter in enumerate(text, 1):
        answer.add(ord(letter))
        if at % steps == 0:
            pieces.append(answer.take())
        if answer.stopped:
            break
    pieces.append(answer.finish())
    whole = "".join(piece.text for piece in pieces)
    return whole, "".join(piece.thinking for piece in pieces), pieces


def test_plain_text_passes_at_once() -> None:
    assert _read("abc")[2] == [Piece("a"), Piece("b"), Piece("c"), Piece()]


def test_a_stop_string_ends_the_text_and_is_left_out() -> None:
    assert _read("one STOP two", stop=("STOP",))[0] == "one "


def test_of_overlapping_stop_strings_the_one_that_ends_first_counts() -> None:
    for steps in (1, 3):
        assert _read("S..", stop=("S..", "."), steps=steps)[0] == "S"


def test_the_first_of_several_stop_strings_wins() -> None:
    assert _read("a b c d", stop=("d", "c"))[0] == "a b "


def test_the_beginning_of_a_stop_string_is_held_back_and_given_out_if_it_was_none() -> None:
    whole, _, pieces = _read("xSTx", stop=("STOP",))
    assert whole == "xSTx"
    assert pieces[:4] == [Piece("x"), Piece(), Piece(), Piece("STx")]


def test_an_unfinished_stop_string_is_given_out_at_the_end() -> None:
    assert _read("good ST", stop=("STOP",))[0] == "good ST"


def test_thinking_is_split_off() -> None:
    text, thinking, _ = _read("<think>hm</think>yes", markers=MARKERS)
    assert (text, thinking) == ("yes", "hm")


def test_a_prompt_that_opened_the_thinking_starts_inside_it() -> None:
    text, thinking, _ = _read("hm</think>yes", markers=MARKERS, starts_thinking=True)
    assert (text, thinking) == ("yes", "hm")


def test_a_stop_string_inside_the_thinking_does_not_end_the_answer() -> None:
    text, thinking, _ = _read("<think>a.b</think>c.d", markers=MARKERS, stop=(".",))
    assert (text, thinking) == ("c", "a.b")


@given(
    st.text("ab<>/thinkS.", max_size=60),
    st.lists(st.text("ab.S", min_size=1, max_size=3), max_size=3),
    st.integers(1, 7),
    st.booleans(),
)
def test_how_often_it_is_read_changes_nothing(
    text: str, stop: list[str], steps: int, thinks: bool
) -> None:
    markers = MARKERS if thinks else None
    letter_by_letter = _read(text, stop=tuple(stop), markers=markers)[:2]
    in_steps = _read(text, stop=tuple(stop), markers=markers, steps=steps)[:2]
    assert in_steps == letter_by_letter


@given(st.text(max_size=40), st.text(min_size=1, max_size=3))
def test_no_answer_holds_its_stop_string(text: str, stop: str) -> None:
    answer = _read(text, stop=(stop,))[0]
    assert answer == text.split(stop)[0]


@pytest.mark.parametrize("steps", [1, 3, 100])
@pytest.mark.parametrize(
    ("said", "text", "thinking"),
    [
        (" \n<think>hm</think>yes", " \nyes", "hm"),
        ("The tag <think> hides", "The tag <think> hides", ""),
        ("<the>a<think>b</think>", "<the>a<think>b</think>", ""),
        ("<think>hm</think>a<think>b</think>", "a<think>b</think>", "hm"),
        ("<think>hm</think><think>b", "<think>b", "hm"),
        ("<think>hm<think>ah</think>yes", "yes", "hm<think>ah"),
        ("<thin", "<thin", ""),
    ],
)
def test_only_what_comes_before_the_answer_is_thinking(
    said: str, text: str, thinking: str, steps: int
) -> None:
    assert _read(said, markers=MARKERS, steps=steps)[:2] == (text, thinking)


def test_after_a_thought_that_the_prompt_opened_a_marker_is_text() -> None:
    said = "hm</think><think>yes"
    assert _read(said, markers=MARKERS, starts_thinking=True)[:2] == ("<think>yes", "hm")


@pytest.mark.parametrize("steps", [1, 3, 100])
def test_a_stop_string_counts_where_a_marker_no_longer_does(steps: int) -> None:
    assert _read("a <think> b", markers=MARKERS, stop=("k>",), steps=steps)[0] == "a <thin"
