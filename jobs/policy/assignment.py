"""Which expert takes a task, and which kind of backend suits that expert.

A hint of the creator wins; otherwise the text decides (English and Russian), and among those who
fit about as well the one with the least open work. Pure and deterministic: ties go by name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from jobs.policy.team import ExpertProfile, ExpertView, Team, is_cyrillic
from jobs.policy.topics import stem, topics, words
from jobs.policy.types import Rejected
from llm.types import BackendKind, Category

TEXT_CHARS_READ = 20_000
MAX_REJECTED = 5
_SEPARATORS = re.compile(r"[-_./,;()\s]+")
_ABOUT_AS_WELL = 0.7
# Who reads the task's script is worth as much as one open task less.
_OTHER_SCRIPT_LOAD = 1
_CATEGORY_TOPICS = {Category.CODING: "backend", Category.REASONING: "research"}


@dataclass(frozen=True, slots=True)
class AssignTask:
    """A task without an expert. ``domain`` is the name of its domain, where it has one; the
    defaults are those of its project."""

    title: str
    description: str = ""
    domain: str | None = None
    category: Category | None = None
    assignee_hint: str | None = None
    preferred_source: str | None = None
    default_expert: str | None = None
    default_source: str | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """``expert_id`` is None where nobody is active: the task waits, and ``reason`` says so."""

    expert_id: str | None
    preferred_source: str | None
    reason: str
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, slots=True)
class _Scored:
    expert: ExpertView
    score: float
    matched: tuple[str, ...]
    load: int


def assign(task: AssignTask, team: Team) -> Assignment:
    """The expert for ``task``. Whoever follows the choice adds it to the loads of ``team``."""
    if not team:
        return Assignment(None, task.preferred_source, _nobody(team))
    hinted, note = _hinted(task.assignee_hint, team, "its creator asks for")
    if hinted is None and task.default_expert:
        hinted, by_default = _hinted(task.default_expert, team, "its project asks for")
        note += by_default
    candidates = hinted or team
    ranked = _ranked(task, candidates)
    chosen = ranked[0]
    source, source_reason = _source(task, chosen.expert)
    reason = f"{note}{_why(chosen, alone=len(candidates) == 1)}; {source_reason}"
    return Assignment(chosen.expert.id, source, reason, _rejected(ranked, chosen))


def preferred_source(department: str) -> BackendKind:
    """MLX for the departments ML, Backend, R&D and Performance in any of the spellings of
    ``departments.toml``, Ollama for all others."""
    text = " ".join(_SEPARATORS.sub(" ", department.casefold()).split())
    marks = _mlx_departments()
    suits = (
        any(f" {phrase} " in f" {text} " for phrase in marks["phrases"])
        or any(word.startswith(tuple(marks["beginnings"])) for word in text.split())
        or any(part in text for part in marks["anywhere"])
    )
    return BackendKind.MLX if suits else BackendKind.OLLAMA


@lru_cache(maxsize=1)
def _mlx_departments() -> Mapping[str, list[str]]:
    text = resources.files("jobs.policy").joinpath("departments.toml").read_text(encoding="utf-8")
    marks: Mapping[str, list[str]] = tomllib.loads(text)["mlx"]
    return marks


def _nobody(team: Team) -> str:
    if not team.size:
        return "there are no experts; add one"
    return f"none of {team.size} experts is active; activate one"


def _hinted(hint: str | None, team: Team, who_says: str) -> tuple[Team | None, str]:
    """Active experts the hint means, and what to say about it."""
    if not hint:
        return None, ""
    found, kind = team.meant(hint)
    if found:
        return found, f'{who_says} the {kind} "{hint:.60}": '
    if team.is_inactive(hint):
        return None, f'the hint "{hint:.60}" is not active; '
    meant = "".join(f"perhaps {name} is meant; " for name in team.nearest(hint))
    return None, f'the hint "{hint:.60}" is nobody\'s name, role or department; {meant}'


def _ranked(task: AssignTask, team: Team) -> list[_Scored]:
    """The best first; of those who fit equally well only as many as a decision lists."""
    text = f"{task.title} {task.title} {task.domain or ''} {task.description}"[:TEXT_CHARS_READ]
    about = topics(text)
    if task.category in _CATEGORY_TOPICS:
        about.setdefault(_CATEGORY_TOPICS[task.category], 1)
    stems = frozenset(stem(word) for word in words(text))
    domain = words(task.domain or "")
    scores = {
        profile: _score(profile, about, stems, domain)
        for profile in team.profiles(about, stems, domain)
    }
    best = max(scores.values(), default=0.0)
    cyrillic = is_cyrillic(text)

    def order(item: _Scored) -> tuple[bool, int, float, str, str]:
        fits = item.score >= best * _ABOUT_AS_WELL
        other_script = cyrillic != is_cyrillic(item.expert.name)
        load = item.load + _OTHER_SCRIPT_LOAD * other_script if fits else 0
        return (not fits, load, -item.score, item.expert.name.casefold(), item.expert.id)

    found: dict[str, _Scored] = {}
    for profile in (*sorted(scores, key=lambda one: -scores[one]), None):
        if len(found) > MAX_REJECTED and (
            profile is None or scores[profile] < best * _ABOUT_AS_WELL
        ):
            break
        for member in team.least_busy(profile, most=MAX_REJECTED + 1):
            own = team.profile(member.expert)
            matched = tuple(sorted((own.topics | own.role_topics) & about.keys()))
            scored = _Scored(member.expert, scores.get(own, 0.0), matched, member.load)
            found[member.expert.id] = scored
    return sorted(found.values(), key=order)


def _score(
    profile: ExpertProfile, about: Mapping[str, int], stems: frozenset[str], domain: tuple[str, ...]
) -> float:
    total = sum(about.values()) or 1
    score = 3.0 * sum(about.get(topic, 0) for topic in profile.topics) / total
    score += 2.0 * sum(about.get(topic, 0) for topic in profile.role_topics) / total
    score += 1.0 * bool(profile.stems & stems) + 0.5 * bool(profile.role_stems & stems)
    if domain and domain == profile.department:
        score += 3.0
    return round(score, 6)


def _source(task: AssignTask, expert: ExpertView) -> tuple[str, str]:
    if task.preferred_source:
        return task.preferred_source, f"its creator chose {task.preferred_source}"
    if task.default_source:
        return task.default_source, f"{task.default_source} is the default of its project"
    source = preferred_source(expert.department)
    return source.value, f"{source.value} suits the department {expert.department or '(none)'}"


def _why(chosen: _Scored, *, alone: bool) -> str:
    who = f"{chosen.expert.name} ({chosen.expert.department or 'no department'})"
    if alone:
        return f"{who} is the only candidate"
    load = f"has {chosen.load} open tasks"
    if chosen.matched:
        return f"{who} fits best by {', '.join(chosen.matched)} and {load}"
    return f"{who} {load}, and no department fits better"


def _rejected(ranked: Sequence[_Scored], chosen: _Scored) -> tuple[Rejected, ...]:
    return tuple(
        Rejected(item.expert.name, _why_not(item, chosen)) for item in ranked[1 : MAX_REJECTED + 1]
    )


def _why_not(item: _Scored, chosen: _Scored) -> str:
    if item.score < chosen.score * _ABOUT_AS_WELL:
        return f"fits less well ({item.score:.2f} points, the chosen one {chosen.score:.2f})"
    if item.load > chosen.load:
        return f"has more open tasks ({item.load}, the chosen one {chosen.load})"
    if item.score < chosen.score:
        return (
            f"fits a little less well ({item.score:.2f} points, the chosen one {chosen.score:.2f})"
        )
    return "fits as well; of equals, the first by name is chosen"
