"""Stand-ins for what a worker gives a processor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llm.types import Completion, Message

GOOD = "A sound answer that says something of its own about the matter at hand, number {}."


@dataclass
class FakeModel:
    """Answers every call; ``answers`` by step, or an error to raise."""

    answers: dict[str, str | Exception] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)
    usual: str = GOOD

    def __call__(
        self,
        messages: tuple[Message, ...],
        *,
        max_tokens: int,
        response_schema: Mapping[str, Any] | None = None,
        step: str,
    ) -> Completion:
        self.calls.append({"step": step, "messages": messages, "max_tokens": max_tokens})
        self.calls[-1]["schema"] = response_schema
        answer = self.answers.get(step, self.usual.format(len(self.calls)))
        if isinstance(answer, Exception):
            raise answer
        return Completion(answer, "m", "b", "stop")

    @property
    def steps(self) -> list[str]:
        return [call["step"] for call in self.calls]

    def prompt_of(self, step: str) -> str:
        found = next(call for call in self.calls if call["step"] == step)
        return str(found["messages"][-1].content)


@dataclass
class KeptSteps:
    """A checkpoint in memory."""

    saved: dict[str, str] = field(default_factory=dict)
    shown: list[tuple[int, int, str]] = field(default_factory=list)
    on_save: Callable[[str], None] = lambda step: None

    def load(self, step: str) -> str | None:
        return self.saved.get(step)

    def save(self, step: str, text: str) -> None:
        self.on_save(step)
        self.saved[step] = text

    def progress(self, done: int, total: int, text: str) -> None:
        self.shown.append((done, total, text))
