"""Delegates tasks to an outside agent, and uses the task's own processor when the agent fails."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from jobs.attempt import prompts
from jobs.attempt.processors import agents
from jobs.attempt.processors.agents import Agent
from jobs.attempt.processors.base import (
    CallModel,
    Checkpoint,
    Processor,
    ProcessorResult,
    TaskContext,
)
from jobs.policy.metadata import Delegate
from llm.errors import CallCancelled, LLMError, Overloaded
from llm.urls import UrlError, in_container

VICTORIA_PORT = 8010
VERONICA_PORT = 8011
SIMPLE_CHARS = 280

_SEVERAL_STEPS = re.compile(
    r"\b(?:then|after that|afterwards|finally|first|second|step \d|phase)\b"
    r"|затем|после этого|потом|во-первых|во-вторых|наконец|этап|поэтапно|шаг \d"
    r"|^[ \t]*(?:[-*•]|\d{1,9}[.)])\s",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Agents:
    """The outside agents; None for one that is not used."""

    victoria: Agent | None = None
    veronica: Agent | None = None


def usual_url(port: int) -> str:
    """An agent of this machine, in a container that of its host."""
    return f"http://{'host.docker.internal' if in_container() else 'localhost'}:{port}"


def configured_agents(
    victoria_url: str | None, veronica_url: str | None, *, total_seconds: float = 300.0
) -> Agents:
    """The agents at their URLs, or at their usual ones where none is set."""
    return Agents(
        Agent("victoria", victoria_url or usual_url(VICTORIA_PORT), total_seconds),
        Agent("veronica", veronica_url or usual_url(VERONICA_PORT), total_seconds),
    )


class DelegationProcessor:
    """Sends the task to an agent; ``instead`` handles it if the agent is away, busy or fails."""

    name = "delegation"

    def __init__(self, known: Agents, *, instead: Processor) -> None:
        self._known = known
        self._instead = instead

    def run(self, task: TaskContext, call: CallModel, *, checkpoint: Checkpoint) -> ProcessorResult:
        wanted, why = chosen_agent(task)
        agent = self._known.veronica if wanted is Delegate.VERONICA else self._known.victoria
        if agent is None:
            return self._fall_back(task, call, checkpoint, f"{wanted.value} is not configured")
        checkpoint.progress(0, 1, f"waiting for {agent.name}")
        try:
            answer = _run_agent(agent, task)
        except CallCancelled:
            raise
        except (LLMError, UrlError) as error:
            reason = f"{agent.name} {_fault(error)}"
            return self._fall_back(task, call, checkpoint, reason)
        checkpoint.progress(1, 1, f"answered by {agent.name}")
        return ProcessorResult(
            text=answer.output,
            processor=f"delegation/{agent.name}",
            prompt=_goal(task),
            notes=(f"delegated to {agent.name}: {why}",),
        )

    def _fall_back(
        self, task: TaskContext, call: CallModel, checkpoint: Checkpoint, reason: str
    ) -> ProcessorResult:
        result = self._instead.run(task, call, checkpoint=checkpoint)
        note = f"not delegated: {reason}; {self._instead.name} answered instead"
        return replace(result, notes=(note, *result.notes))


def chosen_agent(task: TaskContext) -> tuple[Delegate, str]:
    """The agent that the creator named, else Veronica for a simple task."""
    named = task.options.delegate
    if named in (Delegate.VICTORIA, Delegate.VERONICA):
        return named, "its creator asked for it"
    if is_simple(task):
        return Delegate.VERONICA, "one simple step"
    return Delegate.VICTORIA, "more than one simple step"


def is_simple(task: TaskContext) -> bool:
    """Short, a single request, without files or earlier results, and not marked as complex."""
    text = _goal(task)
    burdened = task.options.complex or task.options.file_paths or task.dependencies
    return not burdened and len(text) <= SIMPLE_CHARS and not _SEVERAL_STEPS.search(text)


def _run_agent(agent: Agent, task: TaskContext) -> agents.AgentAnswer:
    earlier = [f"### {found.title}\n{found.text}" for found in task.dependencies]
    return agents.run(
        agent,
        goal=_goal(task),
        project_context="\n\n".join([*earlier, task.context] if task.context else earlier),
        session_id=task.task_id,
        correlation_id=task.correlation_id or task.task_id,
        cancel=task.cancel,
    )


def _goal(task: TaskContext) -> str:
    return prompts.task_text(task.title, task.description)


def _fault(error: Exception) -> str:
    if isinstance(error, Overloaded) and error.retry_after_seconds is not None:
        return f"is overloaded (it asked to come back in {error.retry_after_seconds:g} s)"
    if isinstance(error, UrlError):
        return f"has no usable URL: {error}"
    return f"could not do it ({getattr(error, 'code', 'error')}: {error})"
