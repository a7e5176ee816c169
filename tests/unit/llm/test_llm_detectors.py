from __future__ import annotations

import random
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from llm import errors
from llm.detectors.blank import is_blank
from llm.detectors.echo import EchoWatch, is_echo
from llm.detectors.repetition import repetition
from llm.detectors.runaway import is_runaway
from llm.guard import AnswerGuard
from tests.unit.llm.bad_answers import BLANKS, ECHOES, LOOPS, SPACE_RUNS, THOUGHTS_ONLY
from tests.unit.llm.good_answers import GOOD_ANSWERS, SHORT_ANSWERS

PROMPT = "Please write what the colleague asked for, and nothing else."


def pieces(text: str, *, seed: int = 0) -> list[str]:
    """The text cut as tokens come: one to eight characters."""
    dice = random.Random(seed)
    cut, start = [], 0
    while start < len(text):
        length = dice.randint(1, 8)
        cut.append(text[start : start + length])
        start += length
    return cut


def feed(add: Callable[[str], None], parts: Iterable[str]) -> None:
    for part in parts:
        add(part)


def guarded(text: str, *, prompt: str = PROMPT, max_tokens: int = 100_000) -> tuple[str, str]:
    guard = AnswerGuard(prompt=prompt, max_tokens=max_tokens)
    feed(guard.text, pieces(text))
    return guard.finish("stop")


@pytest.mark.parametrize("name", sorted(GOOD_ANSWERS))
def test_a_good_answer_passes_unchanged(name: str) -> None:
    assert guarded(GOOD_ANSWERS[name]) == (GOOD_ANSWERS[name], "")


@pytest.mark.parametrize("name", sorted(GOOD_ANSWERS))
def test_a_good_answer_passes_as_thinking(name: str) -> None:
    guard = AnswerGuard(prompt=PROMPT, max_tokens=100_000)
    feed(guard.thought, pieces(GOOD_ANSWERS[name]))
    guard.text("So be it.")

    assert guard.finish("stop") == ("So be it.", GOOD_ANSWERS[name])


def test_there_are_enough_bad_answers() -> None:
    assert len(LOOPS) + len(SPACE_RUNS) + len(ECHOES) + len(BLANKS) + len(THOUGHTS_ONLY) >= 40


@pytest.mark.parametrize("name", sorted(LOOPS))
def test_a_loop_is_told_before_its_end(name: str) -> None:
    guard = AnswerGuard(prompt=PROMPT, max_tokens=100_000)
    with pytest.raises(errors.RepetitionAnswer):
        feed(guard.text, pieces(LOOPS[name]))

    assert len(guard.partial_text) < len(LOOPS[name])


@pytest.mark.parametrize("name", sorted(SPACE_RUNS))
def test_white_space_without_end_is_told(name: str) -> None:
    guard = AnswerGuard(prompt=PROMPT, max_tokens=100_000)
    with pytest.raises(errors.RepetitionAnswer):
        feed(guard.text, pieces(SPACE_RUNS[name]))


@pytest.mark.parametrize("name", ["english after prose", "numbered", "paragraph"])
def test_a_loop_of_thoughts_is_told(name: str) -> None:
    guard = AnswerGuard(prompt=PROMPT, max_tokens=100_000)
    with pytest.raises(errors.RepetitionAnswer):
        feed(guard.thought, pieces(LOOPS[name]))


@pytest.mark.parametrize("name", sorted(LOOPS))
def test_a_whole_text_is_judged_like_a_stream(name: str) -> None:
    assert repetition(LOOPS[name])


@pytest.mark.parametrize("name", sorted(GOOD_ANSWERS))
def test_a_whole_good_text_is_no_loop(name: str) -> None:
    assert repetition(GOOD_ANSWERS[name]) is None


def test_source_files_of_the_standard_library_are_no_loops() -> None:
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    texts = {file.name: file.read_text(encoding="utf-8")[:30_000] for file in files}

    alarms = {name: repetition(text) for name, text in texts.items() if repetition(text)}

    assert len(texts) > 100
    assert alarms == {}


@pytest.mark.parametrize("name", sorted(ECHOES))
def test_the_prompt_coming_back_is_an_echo(name: str) -> None:
    prompt, answer = ECHOES[name]

    assert is_echo(answer, prompt)
    with pytest.raises(errors.EchoAnswer):
        guarded(answer, prompt=prompt)


@pytest.mark.parametrize("answer", SHORT_ANSWERS)
def test_a_short_answer_passes_though_the_prompt_begins_so(answer: str) -> None:
    word = answer.rstrip(".!")
    for prompt in (
        f"{word}, or not? Answer in one word.",
        f"{word} — так или нет?",
        f"{word}\nis what I expect.",
        "Is it so?",
    ):
        assert not is_echo(answer, prompt), prompt
    assert not is_echo(f"{answer} It is so because the lamp turns.", word)


def test_an_answer_that_only_quotes_a_long_prompt_is_no_echo() -> None:
    prompt = "Translate: " + "the sea is loud. " * 20

    assert not is_echo(prompt + "\n\nПеревод: море шумит.", prompt)
    assert not is_echo("Translate: " + "море шумит. " * 30, prompt)


@pytest.mark.parametrize(("answer", "prompt"), [("", "x"), ("x", ""), ("", ""), (" ", " ")])
def test_nothing_is_no_echo(answer: str, prompt: str) -> None:
    assert not is_echo(answer, prompt)


def test_a_long_prompt_coming_back_is_stopped_early() -> None:
    prompt = " ".join(f"Sentence {n} of a long request." for n in range(400))
    guard = AnswerGuard(prompt=prompt, max_tokens=100_000)

    with pytest.raises(errors.EchoAnswer):
        feed(guard.text, pieces("\n" + prompt))
    assert len(guard.partial_text) < len(prompt) / 2


def test_an_answer_that_leaves_the_prompt_is_not_stopped() -> None:
    prompt = "a long request. " * 400
    watch = EchoWatch(prompt)

    assert not watch.feed(prompt[:1000])
    assert not watch.feed("But now something else. ")
    assert not any(watch.feed(prompt[:500]) for _ in range(20))


@pytest.mark.parametrize("text", BLANKS)
def test_nothing_to_read_is_blank(text: str) -> None:
    assert is_blank(text)
    with pytest.raises(errors.BlankAnswer):
        guarded(text)


@pytest.mark.parametrize("text", THOUGHTS_ONLY)
def test_thoughts_without_an_answer_are_told(text: str) -> None:
    with pytest.raises(errors.ThinkingOnly):
        guarded(text)


def test_thoughts_in_tags_are_kept_apart() -> None:
    assert guarded("<think>two and two</think>\n\n4") == ("4", "two and two")
    assert guarded("two and two\n</think>\n4") == ("4", "two and two")


def test_tags_inside_an_answer_stay() -> None:
    text = "Use the `<think>` tag; close it with `</think>` in the template."

    assert guarded(text) == (text, "")
    assert guarded("Close with </think> here.")[0] == "Close with </think> here."


def test_a_server_that_ignores_the_limit_is_stopped() -> None:
    guard = AnswerGuard(prompt=PROMPT, max_tokens=10)
    dice = random.Random(1)

    with pytest.raises(errors.RunawayAnswer):
        feed(guard.text, (f"{dice.random()} " for _ in range(10_000)))
    assert guard.pieces < 500


@pytest.mark.parametrize("thought_share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("chars", "runs_away"), [(8_000, False), (14_000, True)])
def test_thoughts_and_text_count_together_however_few_pieces_they_come_in(
    thought_share: float, chars: int, runs_away: bool
) -> None:
    dice = random.Random(5)
    text = "".join(chr(dice.randint(97, 122)) for _ in range(chars))
    cut = int(chars * thought_share)
    guard = AnswerGuard(prompt=PROMPT, max_tokens=50)

    def generate() -> None:
        guard.thought(text[:cut])
        guard.text(text[cut:])

    if runs_away:
        with pytest.raises(errors.RunawayAnswer):
            generate()
    else:
        generate()


def test_a_full_answer_is_no_runaway() -> None:
    assert not is_runaway(tokens=4000, chars=60_000, max_tokens=4000)
    assert is_runaway(tokens=6000, chars=60_000, max_tokens=4000)
    assert is_runaway(tokens=10, chars=10_000_000, max_tokens=4000)


def test_halves_of_a_character_in_two_pieces_are_joined() -> None:
    guard = AnswerGuard(prompt=PROMPT, max_tokens=100)
    feed(guard.text, ("go ", "\ud83d", "\ude80", "!"))

    assert guard.finish("stop")[0] == "go 🚀!"


def test_a_lone_half_of_a_character_is_a_broken_stream() -> None:
    guard = AnswerGuard(prompt=PROMPT, max_tokens=100)
    guard.text("go \ud83d")

    with pytest.raises(errors.StreamBroken):
        guard.finish("stop")
