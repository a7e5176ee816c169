"""The tokens of an answer, good or faulty, composed before anything is sent."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from llm.simulator import answers, schema_sample
from llm.simulator.calls import CallError, SimulatedCall
from llm.simulator.faults import Fault
from llm.simulator.profiles import ModelProfile, ServerProfile

_UNBOUNDED_CONTEXTS = 10  # Ollama ends a generation without limit at ten contexts.


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Tokens to send, generated lazily, and the limit at which the generation ends with
    `length`."""

    prompt_tokens: int
    thoughts: list[str]
    pieces: Iterable[str]
    limit: int


def compose(
    call: SimulatedCall,
    *,
    model: ModelProfile,
    profile: ServerProfile,
    context_tokens: int,
    fault: Fault | None,
) -> Script:
    """The script of an answer to `call`. Raises CallError for a schema without an instance."""
    prompt, prompt_tokens = _cut(call, context_tokens=context_tokens, fault=fault)
    thoughts = answers.thoughts(prompt) if _thinks(call, model) else []
    name = fault.name if fault is not None else ""
    if name == "thinking-only":
        thoughts = thoughts or answers.thoughts(prompt)
    limit = call.max_tokens or context_tokens * _UNBOUNDED_CONTEXTS
    pieces = _harmed(name, call, fault=fault, model=model, profile=profile)
    if pieces is None:
        pieces = _good(call, prompt=prompt, model=model, profile=profile)
    return Script(
        prompt_tokens=prompt_tokens,
        thoughts=thoughts,
        pieces=_until_stop(pieces, call.stops) if call.stops else pieces,
        limit=limit,
    )


def _cut(call: SimulatedCall, *, context_tokens: int, fault: Fault | None) -> tuple[str, int]:
    is_too_long = call.prompt_tokens > context_tokens
    if not is_too_long and (fault is None or fault.name != "cut-prompt"):
        return call.prompt, call.prompt_tokens
    kept = min(context_tokens, call.prompt_tokens) // 2
    return call.prompt[len(call.prompt) // 2 :], max(kept, 1)


def _thinks(call: SimulatedCall, model: ModelProfile) -> bool:
    return "thinking" in model.capabilities and call.thinks is not False and call.schema is None


def _good(
    call: SimulatedCall, *, prompt: str, model: ModelProfile, profile: ServerProfile
) -> list[str]:
    if call.schema is None:
        return answers.answer(
            prompt,
            model=model.name,
            min_tokens=profile.min_answer_tokens,
            max_tokens=profile.max_answer_tokens,
        )
    schema = _ANY_OBJECT if call.schema is True else call.schema
    try:
        return _json_tokens(schema_sample.sample(schema, prompt=prompt))
    except schema_sample.UnsupportedSchemaError as error:
        raise CallError(400, f"the simulator cannot answer with this schema: {error}") from error


def _harmed(
    name: str,
    call: SimulatedCall,
    *,
    fault: Fault | None,
    model: ModelProfile,
    profile: ServerProfile,
) -> Iterable[str] | None:
    match name:
        case "echo":
            return answers.tokens(call.prompt)
        case "blank":
            return [" ", "\n", " "]
        case "thinking-only":
            return []
        case "repetition":
            sentence = f"The {next(answers.keywords(call.prompt))} is the answer to the question. "
            return itertools.cycle(answers.tokens(sentence))
        case "whitespace":
            return itertools.cycle(["\n", " ", "\n", "\t"])
        case "runaway":
            return answers.runaway(call.prompt)
        case "wrong-schema":
            return _json_tokens(_misfit(call.schema))
        case "giant-line":
            good = _good(call, prompt=call.prompt, model=model, profile=profile)
            return [*good[:2], "x" * (fault.size_bytes if fault else 0), *good[2:]]
        case _:
            return None


def _misfit(schema: Any) -> Any:
    for wrong in ({"unexpected": [None]}, "not what was asked for", ["wrong"], None):
        if not isinstance(schema, dict) or not schema_sample.fits(wrong, schema):
            return wrong
    return {}


def _json_tokens(value: Any) -> list[str]:
    return answers.tokens(json.dumps(value, ensure_ascii=False))


def _until_stop(pieces: Iterable[str], stops: tuple[str, ...]) -> Iterator[str]:
    """Tokens up to the first stop text, which may span tokens."""
    held = ""
    keep = max(len(stop) for stop in stops) - 1
    for piece in pieces:
        held += piece
        found = [at for stop in stops if (at := held.find(stop)) >= 0]
        if found:
            if held[: min(found)]:
                yield held[: min(found)]
            return
        if len(held) > keep:
            yield held[: len(held) - keep]
            held = held[len(held) - keep :]
    if held:
        yield held


_ANY_OBJECT = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "simulated": {"const": True}},
    "required": ["answer", "simulated"],
}
