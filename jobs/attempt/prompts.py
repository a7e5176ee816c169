"""Builds the messages of one call: the expert's persona, the task, its dependencies' results, its
files.

The persona and the task are never cut; results and files share the remaining tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.policy.tokens import estimate_tokens
from llm.types import SERVER_DEFAULTS, Message, Sampling

_DEPENDENCY_SHARE = 0.5
_MESSAGE_TOKENS = 8
_MOST_CHARS_PER_TOKEN = 8
_CUT = "\n[… cut here to fit the model's context …]"


@dataclass(frozen=True, slots=True)
class Persona:
    """An expert for a prompt; a silent one adds no persona of its own."""

    name: str = ""
    role: str = ""
    department: str = ""
    system_prompt: str = ""
    sampling: Sampling = SERVER_DEFAULTS
    silent: bool = False


@dataclass(frozen=True, slots=True)
class DependencyResult:
    """The result of a task on which this one depends."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """``notes`` says what was cut; ``tokens`` estimates all messages together."""

    messages: tuple[Message, ...]
    tokens: int
    notes: tuple[str, ...] = ()

    @property
    def user_text(self) -> str:
        return self.messages[-1].content


def build(
    persona: Persona,
    *,
    title: str,
    description: str,
    budget_tokens: int,
    context: str = "",
    dependencies: Sequence[DependencyResult] = (),
    knowledge: str = "",
    instructions: str = "",
) -> Prompt:
    """A system and a user message within ``budget_tokens`` where the task alone allows it.

    ``context`` comes from :func:`jobs.attempt.context.files.gather`; ``instructions`` come last.
    """
    system = system_text(persona)
    task = task_text(title, description)
    left = budget_tokens - sum(
        estimate_tokens(text) + _MESSAGE_TOKENS for text in (system, task, instructions)
    )
    notes = [] if left >= 0 else [f"the task alone is {-left} tokens over the model's context"]
    share = int(left * _DEPENDENCY_SHARE) if context else left
    earlier, cut = _dependencies_text(dependencies, max(0, share))
    notes.extend(cut)
    files, cut_files = _fitted(context, max(0, left - estimate_tokens(earlier)))
    if cut_files:
        notes.append("the files were cut to fit")
    used = estimate_tokens(earlier) + estimate_tokens(files)
    known, cut_knowledge = _fitted(knowledge, max(0, left - used))
    if cut_knowledge:
        notes.append("the knowledge of the domain was cut to fit")
    # Parts that tasks share come first, so that a server computes them once (docs/planning.md).
    shared = _headed("Files", files), _headed("Known in this domain", known)
    user = "\n\n".join(filter(None, (*shared, task, earlier, instructions)))
    messages: tuple[Message, ...] = (Message("user", user),)
    if system:
        messages = (Message("system", system), *messages)
    tokens = sum(estimate_tokens(message.content) + _MESSAGE_TOKENS for message in messages)
    return Prompt(messages, tokens, tuple(notes))


def system_text(persona: Persona) -> str:
    """The persona's own prompt, or one made of name, role and department."""
    if persona.system_prompt.strip():
        return persona.system_prompt.strip()
    if persona.silent:
        return ""
    who = persona.name.strip() or "an expert"
    role = f", {persona.role.strip()}" if persona.role.strip() else ""
    place = f" of the department {persona.department.strip()}" if persona.department.strip() else ""
    return (
        f"You are {who}{role}{place}. Do the task completely and answer with the result itself, "
        "in the language of the task."
    )


def task_text(title: str, description: str) -> str:
    """Title and description, without repetition where one contains the other."""
    title, description = title.strip(), description.strip()
    if not description or description == title:
        return title
    if not title or description.startswith(title.rstrip("…")):
        return description
    return f"{title}\n\n{description}"


def _dependencies_text(
    dependencies: Sequence[DependencyResult], budget_tokens: int
) -> tuple[str, list[str]]:
    blocks: list[str] = []
    notes: list[str] = []
    left = budget_tokens
    for position, dependency in enumerate(dependencies):
        heading = f"### {dependency.title.strip()}\n"
        share = left // (len(dependencies) - position) - estimate_tokens(heading) - _MESSAGE_TOKENS
        text, cut = _fitted(dependency.text.strip(), share)
        if cut:
            notes.append(f'the result of "{dependency.title.strip()}" was cut to fit')
        if text:
            blocks.append(heading + text)
            left -= estimate_tokens(blocks[-1])
    if not blocks:
        return "", notes
    return "## Results this task builds on\n\n" + "\n\n".join(blocks), notes


def _headed(heading: str, text: str) -> str:
    return f"## {heading}\n\n{text}" if text else ""


def _fitted(text: str, budget_tokens: int) -> tuple[str, bool]:
    """The longest beginning of ``text`` that fits, and whether it was cut."""
    small = len(text) <= _MOST_CHARS_PER_TOKEN * max(0, budget_tokens)
    if small and estimate_tokens(text) <= budget_tokens:
        return text, False
    budget_tokens -= estimate_tokens(_CUT)
    low, high = 0, min(len(text), _MOST_CHARS_PER_TOKEN * max(0, budget_tokens)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        if estimate_tokens(text[:middle]) <= budget_tokens:
            low = middle
        else:
            high = middle
    return (text[:low].rstrip() + _CUT if low else ""), True
