"""How the tokens of a task's answer are drawn: who says so, and what a retry changes.

The task decides, then its expert, then the model's author, then the task's category. What nobody
names is left to the server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from jobs.policy.fields import FieldReader
from llm.types import Category, Sampling

SAMPLING_KEYS = ("temperature", "top_p", "top_k", "min_p", "seed", "stop", "repeat_penalty")
MAX_STOPS = 16

# Ollama draws at 0.8, llama.cpp at 0.8, vLLM and mlx-lm's API at 1.0 where a request names no
# temperature. DeepSeek's API guide names 0.0 for code and mathematics and 1.0 and more for talk;
# Qwen's model cards forbid greedy decoding where a model thinks.
BY_CATEGORY: Mapping[Category, Sampling] = {
    Category.DEFAULT: Sampling(temperature=0.7, top_p=0.95),
    Category.FAST: Sampling(temperature=0.5, top_p=0.95),
    Category.CODING: Sampling(temperature=0.2, top_p=0.95),
    Category.REASONING: Sampling(temperature=0.3, top_p=0.95),
    Category.VISION: Sampling(temperature=0.3, top_p=0.95),
}

_LOOPED = frozenset({"repetition"})
_SAID_NOTHING = frozenset({"echo", "blank", "thinking_only"})
_HOTTER = 0.2
_HOTTEST = 1.2
_PENALTY_STEP = 0.1
_HIGHEST_PENALTY = 1.3


def read_sampling(reader: FieldReader) -> Sampling:
    """The sampling fields of ``reader``; what is wrong with one is added to its problems."""
    return Sampling(
        temperature=reader.number("temperature", low=0, high=2),
        top_p=reader.number("top_p", low=0, high=1),
        top_k=reader.whole("top_k", low=0, high=1_000_000),
        min_p=reader.number("min_p", low=0, high=1),
        seed=reader.whole("seed", low=0, high=2**63 - 1),
        stop=_stops(reader),
        repeat_penalty=reader.number("repeat_penalty", low=0.1, high=10),
    )


def choose_sampling(
    task: Sampling,
    *,
    expert: Sampling,
    model: Sampling,
    category: Category,
    faults: Sequence[str] = (),
) -> Sampling:
    """What to send. ``faults`` are the error codes of the attempts before this one: a retry draws
    in another way than the attempt that looped or said nothing."""
    chosen = task.over(expert)
    # A model's author sets these values together; a category's would not fit between them.
    chosen = chosen.over(model if model.values() else BY_CATEGORY[category])
    return _changed(chosen, faults)


def _changed(sampling: Sampling, faults: Sequence[str]) -> Sampling:
    loops = sum(code in _LOOPED for code in faults)
    silences = sum(code in _SAID_NOTHING for code in faults)
    if not loops and not silences:
        return sampling
    drawn = loops + silences
    temperature = min(_HOTTEST, (sampling.temperature or 0.0) + _HOTTER * drawn)
    sampling = replace(sampling, temperature=max(temperature, sampling.temperature or 0.0))
    if sampling.seed is not None:
        sampling = replace(sampling, seed=(sampling.seed + drawn) % 2**63)
    if loops:
        penalty = min(_HIGHEST_PENALTY, (sampling.repeat_penalty or 1.0) + _PENALTY_STEP * loops)
        sampling = replace(sampling, repeat_penalty=max(penalty, sampling.repeat_penalty or 1.0))
    return sampling


def _stops(reader: FieldReader) -> tuple[str, ...]:
    written = reader.source.get("stop")
    if isinstance(written, str) and written:
        return (written,)
    if not isinstance(written, list | tuple):
        if written is not None:
            reader.refuse("stop", 'expected a text or a list of texts; write ["..."]')
        return ()
    if len(written) > MAX_STOPS or not all(isinstance(text, str) and text for text in written):
        reader.refuse("stop", f"holds what is no text, or more than {MAX_STOPS} of them")
        return ()
    return tuple(written)
