"""What will be said, good and harmed."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from llm.detectors.blank import is_blank
from llm.detectors.echo import is_echo
from llm.detectors.repetition import repetition
from llm.simulator.calls import SimulatedCall
from llm.simulator.faults import Fault
from llm.simulator.profiles import ModelProfile, ServerProfile
from llm.simulator.schema_sample import fits
from llm.simulator.scripts import Script, compose

MODEL = ModelProfile(name="m", capabilities=("completion",))
THINKER = ModelProfile(name="t", capabilities=("completion", "thinking"))
PROMPT = "Explain how database indexes speed up queries"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def script(fault: str | None = None, *, model: ModelProfile = MODEL, **fields: Any) -> Script:
    call = SimulatedCall(model=model.name, **{"prompt": PROMPT, "prompt_tokens": 12, **fields})
    return compose(
        call,
        model=model,
        profile=ServerProfile(models=(model,)),
        context_tokens=4096,
        fault=Fault(name=fault) if fault else None,
    )


def text(said: Script, *, tokens: int = 2000) -> str:
    return "".join(itertools.islice(said.pieces, tokens))


def test_harm_is_found_by_the_detectors_and_good_answers_are_not() -> None:
    assert is_echo(text(script("echo")), PROMPT)
    assert is_blank(text(script("blank")))
    assert repetition(text(script("repetition")))
    assert repetition(text(script("whitespace")))
    good = text(script())
    assert not is_echo(good, PROMPT)
    assert repetition(good) is None


def test_runaway_text_has_no_end() -> None:
    assert len(text(script("runaway"), tokens=5000)) > 10_000


def test_thinking_alone_leaves_the_answer_empty() -> None:
    said = script("thinking-only")
    assert said.thoughts
    assert text(said) == ""


def test_thinking_models_think_unless_told_not_to() -> None:
    assert script(model=THINKER).thoughts
    assert not script(model=THINKER, thinks=False).thoughts
    assert not script().thoughts


def test_a_schema_is_kept_or_broken_as_ordered() -> None:
    assert fits(json.loads(text(script(schema=SCHEMA))), SCHEMA)
    assert not fits(json.loads(text(script("wrong-schema", schema=SCHEMA))), SCHEMA)


@pytest.mark.parametrize("fault", [None, "cut-prompt"])
def test_a_prompt_is_cut_when_it_is_too_long_or_when_ordered(fault: str | None) -> None:
    assert script(fault, prompt_tokens=10_000).prompt_tokens == 2048
    assert script(fault, prompt_tokens=12).prompt_tokens == (12 if fault is None else 6)


def test_an_answer_ends_before_a_stop_text_that_spans_tokens() -> None:
    whole = text(script())
    stop = whole[40:52]
    assert text(script(stops=(stop, "never"))) == whole[: whole.index(stop)]
    assert text(script(stops=("never",))) == whole
