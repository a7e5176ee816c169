"""Tasks of several calls: facets one by one, then a synthesis; each finished facet is stored.

A task that runs again after a crash, a drain or a rejected synthesis repeats only the missing
facets. A facet whose answer is rejected is not stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.attempt import prompts
from jobs.attempt.processors.base import CallModel, Checkpoint, ProcessorResult, TaskContext
from jobs.policy.validation.judge import judge
from jobs.policy.validation.types import Answer, Request
from llm.errors import BadAnswer

RUSSIAN_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Facet:
    """One step. ``key`` names its checkpoint; title and question are by language (en, ru)."""

    key: str
    title: Mapping[str, str]
    question: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Study:
    """The facets and the prompt that combines them."""

    name: str
    facets: tuple[Facet, ...]
    synthesis: Mapping[str, str]


def run_study(
    study: Study, task: TaskContext, call: CallModel, *, checkpoint: Checkpoint
) -> ProcessorResult:
    """Run every missing facet, then the synthesis.

    Raises the errors of ``call``, and `BadAnswer` for a rejected facet.
    """
    spoken = spoken_language(f"{task.title} {task.description}")
    total = len(study.facets) + 1
    found: list[prompts.DependencyResult] = []
    resumed = 0
    for done, facet in enumerate(study.facets):
        checkpoint.progress(done, total, facet.title[spoken])
        kept = checkpoint.load(_step(study, facet))
        if kept is None:
            kept = _facet(study, facet, spoken, task, call)
            checkpoint.save(_step(study, facet), kept)
        else:
            resumed += 1
        found.append(prompts.DependencyResult(facet.title[spoken], kept))
    checkpoint.progress(total - 1, total, _SYNTHESIS[spoken])
    result = _synthesis(study, found, spoken, task, call, resumed=resumed)
    checkpoint.progress(total, total, _DONE[spoken])
    return result


def spoken_language(text: str) -> str:
    """``ru`` where a fair share of the letters is Cyrillic, else ``en``."""
    letters = [char for char in text if char.isalpha()]
    cyrillic = sum("\u0400" <= char <= "\u052f" for char in letters)
    return "ru" if letters and cyrillic / len(letters) >= RUSSIAN_SHARE else "en"


_SYNTHESIS = {"en": "synthesis", "ru": "итоговый отчёт"}
_DONE = {"en": "done", "ru": "готово"}


def _step(study: Study, facet: Facet) -> str:
    return f"{study.name}/{facet.key}"


def _facet(study: Study, facet: Facet, spoken: str, task: TaskContext, call: CallModel) -> str:
    prompt = prompts.build(
        task.persona,
        title=task.title,
        description=task.description,
        budget_tokens=task.prompt_budget_tokens,
        context=task.context,
        dependencies=task.dependencies,
        instructions=f"## {facet.title[spoken]}\n\n{facet.question[spoken]}",
    )
    completion = call(prompt.messages, max_tokens=task.max_tokens, step=_step(study, facet))
    request = Request(prompt.user_text, task=facet.question[spoken])
    verdict = judge(Answer(completion.text, completion.finish_reason), request)
    # A facet cut by the token limit is still useful for the synthesis; other bad answers are not.
    if not verdict.ok and verdict.code != "truncated":
        raise BadAnswer(
            f"step {facet.key}: {verdict.reason}",
            backend=completion.backend,
            model=completion.model,
            partial_text=completion.text[:300],
        )
    return completion.text


def _synthesis(
    study: Study,
    found: Sequence[prompts.DependencyResult],
    spoken: str,
    task: TaskContext,
    call: CallModel,
    *,
    resumed: int,
) -> ProcessorResult:
    prompt = prompts.build(
        task.persona,
        title=task.title,
        description=task.description,
        budget_tokens=task.prompt_budget_tokens,
        dependencies=found,
        instructions=study.synthesis[spoken],
    )
    completion = call(
        prompt.messages,
        max_tokens=task.max_tokens,
        response_schema=task.options.response_schema,
        step=f"{study.name}/synthesis",
    )
    return ProcessorResult(
        text=completion.text,
        processor=study.name,
        prompt=prompt.user_text,
        notes=prompt.notes + ((f"{resumed} steps were kept from before",) if resumed else ()),
        completion=completion,
        finish_reason=completion.finish_reason,
    )
