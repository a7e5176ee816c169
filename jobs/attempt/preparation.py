"""Builds a processor's input from a claimed row: options, expert, files, dependencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jobs.attempt import knowledge
from jobs.attempt.context.files import gather
from jobs.attempt.context.keyword_extraction import keywords_of
from jobs.attempt.lease_keeper import RunningAttempt
from jobs.attempt.processors import registry
from jobs.attempt.processors.base import TaskContext
from jobs.attempt.processors.delegation import configured_agents
from jobs.attempt.processors.registry import Registry
from jobs.attempt.prompts import DependencyResult, Persona, task_text
from jobs.policy import metadata
from jobs.policy.knowledge_os import knowledge_text
from jobs.policy.metadata import TaskOptions
from jobs.policy.prompt_size import MATERIAL_SHARE, PromptSize, cuts, prompt_size
from jobs.policy.sampling import choose_sampling
from jobs.policy.tokens import LARGEST_CONTEXT
from jobs.settings.load import Settings
from llm.types import SERVER_DEFAULTS, Category, Sampling
from models import decision
from models.database import session
from models.decision import NewDecision
from models.task import Claimed
from models.task_rows import ClaimedTask


class TaskRefused(Exception):
    """The task can never run in its present form; the message says why."""


def prepare(
    claimed: Claimed,
    settings: Settings,
    running: RunningAttempt,
    *,
    num_ctx: int,
    model_context: int | None = None,
    model_sampling: Sampling = SERVER_DEFAULTS,
) -> TaskContext:
    """The input of the processor. Raises TaskRefused where a requirement of the row cannot be met.

    ``num_ctx`` is the requested context window in tokens; 0 leaves it to the server.
    ``model_context`` is the model's maximum there, where known. ``model_sampling`` are its author's
    values.
    """
    row = claimed.row
    options = metadata.read(row.metadata)
    if not (row.description or row.title or "").strip():
        raise TaskRefused("description is empty: say what is to be done")
    persona = Persona(silent=True) if options.verbatim else _persona(row)
    earlier = zip(row.earlier_titles, row.earlier_results, strict=True)
    dependencies = tuple(DependencyResult(title=title, text=text) for title, text in earlier)
    size = _size(claimed, options, dependencies)
    nodes = () if options.verbatim else knowledge.best_for(claimed, settings)
    context_tokens = min(num_ctx or size.num_ctx, model_context or LARGEST_CONTEXT)
    return TaskContext(
        task_id=claimed.id,
        title=row.title or "",
        description=row.description or row.title or "",
        persona=_instructed(persona, row.metadata),
        options=options,
        context=_files(claimed, options, settings, int(context_tokens * MATERIAL_SHARE)),
        dependencies=dependencies,
        knowledge=knowledge_text(nodes),
        # The prompt and the answer share the window; half of it is left to the prompt.
        max_tokens=min(size.max_tokens, context_tokens // 2),
        brief=not options.verbatim and cuts(row.faults) > 0,
        context_tokens=context_tokens,
        sampling=options.sampling
        if options.verbatim
        else choose_sampling(
            options.sampling,
            expert=persona.sampling,
            model=model_sampling,
            category=category_of(row.category),
            faults=row.faults,
        ),
        correlation_id=f"{claimed.id}:{claimed.epoch}",
        cancel=running.token,
    )


def category_of(text: str | None) -> Category:
    """The category of a row; an unknown value counts as default."""
    return Category(text) if text in set(Category) else Category.DEFAULT


def processors(settings: Settings) -> Registry:
    """The processors of this process, with the outside agents as configured."""
    agents = configured_agents(
        settings.victoria_url,
        settings.veronica_url,
        total_seconds=settings.llm_timeout_seconds,
    )
    return registry.load(agents)


def _size(
    claimed: Claimed, options: TaskOptions, dependencies: Sequence[DependencyResult]
) -> PromptSize:
    row = claimed.row
    return prompt_size(
        options,
        text_bytes=_bytes(row.description or "") + _bytes(metadata.own_system(row.metadata)),
        earlier_bytes=sum(_bytes(earlier.text) for earlier in dependencies),
        faults=row.faults,
    )


def _bytes(text: str) -> int:
    return len(text.encode())


def _instructed(persona: Persona, row_metadata: object) -> Persona:
    """``metadata.system`` of a batch line replaces the expert's prompt."""
    own_system = metadata.own_system(row_metadata)
    return replace(persona, system_prompt=own_system) if own_system else persona


def _persona(row: ClaimedTask) -> Persona:
    """Empty where the task has no expert, or its expert was deleted."""
    return Persona(
        name=row.expert_name or "",
        role=row.expert_role or "",
        department=row.expert_department or "",
        system_prompt=row.expert_prompt or "",
        sampling=metadata.read(row.expert_metadata).sampling,
    )


def _files(claimed: Claimed, options: TaskOptions, settings: Settings, budget_tokens: int) -> str:
    """The text of the task's files, and a note on unreadable ones.

    Raises TaskRefused if one cannot be read and the creator set ``files_required``.
    """
    if not options.file_paths:
        return ""
    text = task_text(claimed.row.title or "", claimed.row.description or "")
    result = gather(
        options.file_paths,
        options.keywords or keywords_of(text),
        roots=(*settings.file_roots, settings.upload_directory),
        budget_tokens=budget_tokens,
    )
    if not result.refused:
        return result.text
    reasons = "; ".join(map(str, result.refused))
    if options.files_required:
        raise TaskRefused(f"files_required, and a file cannot be read: {reasons}")
    # A task that runs without a file it named must say so where people look.
    with session():
        decision.record([NewDecision(claimed.id, "route", None, f"files left out: {reasons}")])
    missing = ", ".join(refused.path for refused in result.refused)
    return f"{result.text}\n\n(Not available: {missing})".strip()
