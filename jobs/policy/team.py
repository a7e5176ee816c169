"""Experts in an index by topic, by word and by load: what an assignment costs does not grow with
their number.

Experts of one profile (the topics and words of department and role) fit a task equally well, so a
task is compared with profiles, and of those only with the ones that share something with it. Each
profile keeps its experts sorted by load.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain

from jobs.policy.fields import near
from jobs.policy.topics import stem, topics, words

KINDS = ("name", "role", "department")
HINTS_KEPT = 256


@dataclass(frozen=True, slots=True)
class ExpertView:
    """An expert as the assignment sees it."""

    id: str
    name: str
    role: str = ""
    department: str = ""
    active: bool = True


@dataclass(frozen=True, slots=True)
class ExpertProfile:
    """What decides how well an expert fits; ``department`` is its name in words."""

    topics: frozenset[str]
    stems: frozenset[str]
    role_topics: frozenset[str]
    role_stems: frozenset[str]
    department: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Member:
    expert: ExpertView
    load: int


_Key = tuple[int, str, str]


class Team:
    """The active ones of ``experts``; ``loads`` holds the open tasks per id (absent: none)."""

    def __init__(self, experts: Iterable[ExpertView], *, loads: Mapping[str, int]) -> None:
        everyone = list(experts)
        self.size = len(everyone)
        self._experts = {expert.id: expert for expert in everyone if expert.active}
        self._inactive = [expert for expert in everyone if not expert.active]
        self._profiles = {i: _profile(e.department, e.role) for i, e in self._experts.items()}
        self._by_word: dict[object, set[ExpertProfile]] = defaultdict(set)
        for profile in set(self._profiles.values()):
            for word in _index_words(profile):
                self._by_word[word].add(profile)
        self._cyrillic = {i: is_cyrillic(e.name) for i, e in self._experts.items()}
        self._nearest: dict[str, list[str]] = {}
        self._names = _Names(list(self._experts.values()))
        self.start_from(loads)

    def __bool__(self) -> bool:
        return bool(self._experts)

    def __len__(self) -> int:
        return len(self._experts)

    def start_from(self, loads: Mapping[str, int]) -> None:
        """These loads in the place of those known so far."""
        self._hinted: dict[tuple[str, ...], tuple[Team | None, str]] = {}
        self._loads = {expert_id: loads.get(expert_id, 0) for expert_id in self._experts}
        self._sorted: dict[tuple[ExpertProfile | None, bool], list[_Key]] = defaultdict(list)
        for expert_id in self._experts:
            for place in self._places(expert_id):
                self._sorted[place].append(self._key(expert_id))
        for keys in self._sorted.values():
            keys.sort()

    def add_load(self, expert_id: str) -> None:
        """One open task more."""
        if expert_id not in self._experts:
            return
        before = self._key(expert_id)
        self._loads[expert_id] += 1
        for place in self._places(expert_id):
            keys = self._sorted[place]
            del keys[bisect_left(keys, before)]
            insort(keys, self._key(expert_id))
        for part, _ in self._hinted.values():
            if part is not None:
                part.add_load(expert_id)

    def profiles(
        self, about: Iterable[str], stems: Iterable[str], domain: tuple[str, ...]
    ) -> set[ExpertProfile]:
        """Those that share a topic, a word or the department with a task."""
        found: set[ExpertProfile] = set()
        for word in chain((("topic", topic) for topic in about), stems, [domain]):
            found |= self._by_word.get(word, set())
        return found

    def least_busy(self, profile: ExpertProfile | None, *, most: int) -> Iterator[Member]:
        """Up to ``most`` experts of each script with that profile, or of all where it is None."""
        for cyrillic in (False, True):
            for load, _, expert_id in self._sorted.get((profile, cyrillic), [])[:most]:
                yield Member(self._experts[expert_id], load)

    def expert(self, expert_id: str) -> ExpertView:
        """One of the active ones."""
        return self._experts[expert_id]

    def profile(self, expert: ExpertView) -> ExpertProfile:
        return self._profiles[expert.id]

    def meant(self, hint: str) -> tuple[Team | None, str]:
        """The experts whose id, name, role or department the hint is, and which of these."""
        wanted = words(hint)
        if wanted not in self._hinted:
            found, kind = self._names.find(wanted)
            part = Team(found, loads=self._loads) if found else None
            if len(self._hinted) >= HINTS_KEPT:
                self._hinted.clear()
            self._hinted[wanted] = (part, kind)
        return self._hinted[wanted]

    def nearest(self, hint: str) -> list[str]:
        """The name that is most like ``hint``, if any is."""
        wanted = hint[:60]
        if wanted not in self._nearest:
            if len(self._nearest) >= HINTS_KEPT:
                self._nearest.clear()
            self._nearest[wanted] = near(wanted, (one.name for one in self._experts.values()))
        return self._nearest[wanted]

    def is_inactive(self, hint: str) -> bool:
        return bool(self._names_of_inactive.find(words(hint))[0])

    @cached_property
    def _names_of_inactive(self) -> _Names:
        return _Names(self._inactive)

    def _places(self, expert_id: str) -> tuple[tuple[ExpertProfile | None, bool], ...]:
        cyrillic = self._cyrillic[expert_id]
        return (self._profiles[expert_id], cyrillic), (None, cyrillic)

    def _key(self, expert_id: str) -> _Key:
        return self._loads[expert_id], self._experts[expert_id].name.casefold(), expert_id


class _Names:
    """Finds experts by id, name, role or department; a part of the words is enough."""

    def __init__(self, experts: Sequence[ExpertView]) -> None:
        self._experts = experts
        self._exact: dict[tuple[str, tuple[str, ...]], list[int]] = defaultdict(list)
        self._partly: dict[tuple[str, str], set[int]] = defaultdict(set)
        for place, expert in enumerate(experts):
            self._exact["id", words(expert.id)].append(place)
            for kind in KINDS:
                named = words(getattr(expert, kind))
                self._exact[kind, named].append(place)
                for word in named:
                    self._partly[kind, stem(word)].add(place)

    def find(self, wanted: tuple[str, ...]) -> tuple[list[ExpertView], str]:
        for kind in ("id", *KINDS):
            if exact := self._exact.get((kind, wanted)):
                return [self._experts[place] for place in exact], kind
        for kind in KINDS:
            found = [self._partly.get((kind, stem(word)), set()) for word in wanted]
            if found and (places := set.intersection(*found)):
                return [self._experts[place] for place in sorted(places)], kind
        return [], ""


@lru_cache(maxsize=4096)
def is_cyrillic(text: str) -> bool:
    letters = [char for char in text[:2000] if char.isalpha()]
    return sum("\u0400" <= char <= "\u052f" for char in letters) * 2 > len(letters)


@lru_cache(maxsize=4096)
def _profile(department: str, role: str) -> ExpertProfile:
    return ExpertProfile(*_marks(department), *_marks(role), words(department))


@lru_cache(maxsize=4096)
def _marks(text: str) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(topics(text)), frozenset(stem(word) for word in words(text) if len(word) > 3)


def _index_words(profile: ExpertProfile) -> Iterator[object]:
    for topic in profile.topics | profile.role_topics:
        yield "topic", topic
    yield from profile.stems | profile.role_stems
    if profile.department:
        yield profile.department
