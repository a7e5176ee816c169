"""The input and the result of a processor.

A processor turns one task into an answer by one or more model calls. It knows no backend: the
worker passes it ``call``, which makes one call under the slot and the deadlines of the attempt and
raises the errors of `llm.errors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from jobs.attempt.prompts import DependencyResult, Persona
from jobs.policy.metadata import TaskOptions
from llm.types import SERVER_DEFAULTS, CancelToken, Completion, Message, Sampling


class CallModel(Protocol):
    """One model call. ``step`` names it in progress, ledger and logs."""

    def __call__(
        self,
        messages: tuple[Message, ...],
        *,
        max_tokens: int,
        response_schema: Mapping[str, Any] | None = None,
        step: str,
    ) -> Completion: ...


class Checkpoint(Protocol):
    """Results of finished steps, stored with the task, so that a later attempt skips them."""

    def load(self, step: str) -> str | None:
        """The saved result of ``step``, or None."""
        ...

    def save(self, step: str, text: str) -> None:
        """Store the result of ``step``; raises `llm.errors.CallCancelled` when the lease is
        lost."""
        ...

    def progress(self, done: int, total: int, text: str) -> None:
        """Report that ``done`` of ``total`` steps are finished and ``text`` is running."""
        ...


@dataclass(frozen=True, slots=True)
class TaskContext:
    """A task as a processor sees it.

    ``context`` is the text of its files, ``knowledge`` of what is known in its domain.
    ``context_tokens`` is the model's window, of which ``max_tokens`` are reserved for the answer.
    ``brief`` requests a short answer, because an earlier one was cut. ``correlation_id``
    identifies the task in other services.
    """

    task_id: str
    title: str
    description: str
    persona: Persona = field(default_factory=Persona)
    options: TaskOptions = field(default_factory=TaskOptions)
    context: str = ""
    dependencies: tuple[DependencyResult, ...] = ()
    knowledge: str = ""
    max_tokens: int = 1024
    brief: bool = False
    context_tokens: int = 8192
    sampling: Sampling = SERVER_DEFAULTS
    correlation_id: str = ""
    cancel: CancelToken = field(default_factory=CancelToken)

    @property
    def prompt_budget_tokens(self) -> int:
        return max(256, self.context_tokens - self.max_tokens)


@dataclass(frozen=True, slots=True)
class ProcessorResult:
    """An answer to be reviewed.

    ``prompt`` is the user message that it answers (an echo would repeat it). ``notes`` are
    decisions of the processor, recorded for the task. ``completion`` is the last model call, None
    where no model was called; ``finish_reason`` is that call's.
    """

    text: str
    processor: str
    prompt: str = ""
    notes: tuple[str, ...] = ()
    completion: Completion | None = None
    finish_reason: Literal["stop", "length"] = "stop"


class Processor(Protocol):
    """Works on one task. Raises the errors of `llm.errors`."""

    name: str

    def run(
        self, task: TaskContext, call: CallModel, *, checkpoint: Checkpoint
    ) -> ProcessorResult: ...
