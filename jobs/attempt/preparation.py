"""From a claimed row to what a processor needs: options, expert, files, dependencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jobs.attempt.context.files import gather
from jobs.attempt.context.keywords import keywords_of
from jobs.attempt.lease_keeper import RunningTask
from jobs.attempt.processors import registry
from jobs.attempt.processors.base import TaskContext
from jobs.attempt.processors.delegation import configured_agents
from jobs.attempt.processors.registry import Registry
from jobs.attempt.prompts import DependencyResult, Persona, task_text
from jobs.policy import metadata
from jobs.policy.metadata import TaskOptions
from jobs.policy.prompt_size import MATERIAL_SHARE, PromptSize, prompt_size
from jobs.policy.sampling import choose_sampling
from jobs.settings.load import Settings
from llm.types import SERVER_DEFAULTS, Category, Sampling
from llm.urls import in_container
from models import backlog, decision
from models.database import session
from models.decision import NewDecision
from models.expert import Expert
from models.task import Claimed


class Refused(Exception):
    """The task cannot be worked as it stands, and never will be; the message says why."""


def prepare(
    claimed: Claimed,
    settings: Settings,
    running: RunningTask,
    *,
    num_ctx: int,
    model_sampling: Sampling = SERVER_DEFAULTS,
) -> TaskContext:
    """Everything the processor is given. Raises Refused where the row asks for the impossible.

    ``num_ctx`` is the context the server was asked for, 0 where it has one of its own;
    ``model_sampling`` what the model's author set.
    """
    row = claimed.row
    options = metadata.read(row["metadata"])
    if not (row["description"] or row["title"] or "").strip():
        raise Refused("description is empty: say what is to be done")
    with session():
        persona = _persona(row["assignee_expert_id"])
        dependencies = tuple(
            DependencyResult(title=found["title"] or "", text=found["result"] or "")
            for found in backlog.dependency_results(claimed.id)
        )
    size = _size(claimed, options, dependencies)
    context_tokens = num_ctx or size.num_ctx
    return TaskContext(
        task_id=claimed.id,
        title=row["title"] or "",
        description=row["description"] or row["title"] or "",
        persona=_instructed(persona, row["metadata"]),
        options=options,
        context=_files(claimed, options, settings, int(context_tokens * MATERIAL_SHARE)),
        dependencies=dependencies,
        max_tokens=size.max_tokens,
        context_tokens=context_tokens,
        sampling=choose_sampling(
            options.sampling,
            expert=persona.sampling,
            model=model_sampling,
            category=category_of(row["category"]),
            faults=row["faults"],
        ),
        correlation_id=f"{claimed.id}:{claimed.epoch}",
        cancel=running.token,
    )


def category_of(text: str | None) -> Category:
    """The category of a row; what a stranger wrote there counts as default."""
    return Category(text) if text in set(Category) else Category.DEFAULT


def processors(settings: Settings) -> Registry:
    """The processors of this process, with the outside agents as configured."""
    agents = configured_agents(
        settings.victoria_url,
        settings.veronica_url,
        host="host.docker.internal" if in_container() else "localhost",
        total_seconds=settings.llm_timeout_seconds,
    )
    return registry.load(agents)


def _size(
    claimed: Claimed, options: TaskOptions, dependencies: Sequence[DependencyResult]
) -> PromptSize:
    row = claimed.row
    return prompt_size(
        options,
        text_bytes=_bytes(row["description"] or "") + _bytes(_system(row["metadata"])),
        earlier_bytes=sum(_bytes(earlier.text) for earlier in dependencies),
        faults=row["faults"],
    )


def _bytes(text: str) -> int:
    return len(text.encode())


def _instructed(persona: Persona, row_metadata: object) -> Persona:
    """A batch line brings its own system message (``metadata.system``): it takes the place of the
    expert's prompt."""
    given = _system(row_metadata)
    return replace(persona, system_prompt=given) if given else persona


def _system(row_metadata: object) -> str:
    given = row_metadata.get("system") if isinstance(row_metadata, dict) else None
    return given if isinstance(given, str) else ""


def _persona(expert_id: str | None) -> Persona:
    expert = Expert.get_or_none(Expert.id == expert_id) if expert_id else None
    if expert is None:
        return Persona()
    return Persona(
        name=expert.name or "",
        role=expert.role or "",
        department=expert.department or "",
        system_prompt=expert.system_prompt or "",
        sampling=metadata.read(expert.metadata).sampling,
    )


def _files(claimed: Claimed, options: TaskOptions, settings: Settings, budget_tokens: int) -> str:
    """The text of the task's files; what was refused beside others is told in its decisions."""
    if not options.file_paths:
        return ""
    asked = task_text(claimed.row["title"] or "", claimed.row["description"] or "")
    result = gather(
        options.file_paths,
        options.keywords or keywords_of(asked),
        roots=settings.file_roots,
        budget_tokens=budget_tokens,
    )
    reasons = "; ".join(str(refused) for refused in result.refused)
    if reasons and not result.used:
        raise Refused(f"none of its files can be read: {reasons}")
    if reasons:
        with session():
            decision.record([NewDecision(claimed.id, "route", None, f"files left out: {reasons}")])
    return result.text
