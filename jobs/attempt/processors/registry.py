"""Chooses the processor of a task: delegation if requested, else by ``metadata.source``.

Packages add processors through the entry point group ``knowledge_os_jobs.processors``: the entry's
name is the source, its object a processor or a callable without arguments that makes one. An entry
that cannot be loaded is a reported problem, and the expert handles its source.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from jobs.attempt.processors.base import Processor
from jobs.attempt.processors.business_simulation import BusinessSimulationProcessor
from jobs.attempt.processors.delegation import Agents, DelegationProcessor
from jobs.attempt.processors.expert import ExpertProcessor
from jobs.attempt.processors.market_study import MarketStudyProcessor
from jobs.policy.metadata import TaskOptions

GROUP = "knowledge_os_jobs.processors"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choice:
    """A processor and the reason for its choice."""

    processor: Processor
    reason: str


@dataclass(frozen=True, slots=True)
class Registry:
    """Processors by source. ``problems`` lists unusable entry points."""

    default: Processor
    by_source: Mapping[str, Processor]
    agents: Agents = field(default_factory=Agents)
    problems: tuple[str, ...] = ()

    def choose(self, options: TaskOptions) -> Choice:
        """The processor for a task with these options; every task gets one."""
        processor, reason = self._by_source(options.source)
        if options.delegate is None:
            return Choice(processor, reason)
        delegation = DelegationProcessor(self.agents, instead=processor)
        return Choice(delegation, f"delegate: {options.delegate.value}; otherwise {reason}")

    def _by_source(self, source: str | None) -> tuple[Processor, str]:
        if source is None:
            return self.default, f"{self.default.name}: no source is named"
        found = self.by_source.get(source)
        if found is None:
            return self.default, f"{self.default.name}: no processor for the source {source:.60}"
        return found, f"{found.name}: for the source {source:.60}"


def built_in(agents: Agents | None = None) -> Registry:
    """The processors that come with the project."""
    study, simulation = MarketStudyProcessor(), BusinessSimulationProcessor()
    by_source: dict[str, Processor] = {
        "dashboard_scout": study,
        "scout_orchestrator": study,
        "enhanced_scout_orchestrator": study,
        "dashboard_simulator": simulation,
    }
    return Registry(ExpertProcessor(), by_source, agents or Agents())


def load(agents: Agents | None = None, *, entries: Iterable[EntryPoint] | None = None) -> Registry:
    """The built-in processors; those of installed packages replace them."""
    base = built_in(agents)
    by_source = dict(base.by_source)
    problems: list[str] = []
    for entry in entry_points(group=GROUP) if entries is None else entries:
        loaded = _loaded(entry)
        if isinstance(loaded, str):
            log.warning("processor_not_loaded source=%s problem=%s", entry.name, loaded)
            problems.append(f"processor {entry.name} ({entry.value}): {loaded}")
            continue
        by_source[entry.name.lower()] = loaded
    return Registry(base.default, by_source, base.agents, tuple(problems))


def _loaded(entry: EntryPoint) -> Processor | str:
    """The entry's processor, or the problem with it."""
    try:
        found = entry.load()
        loaded = found() if callable(found) and not _is_processor(found) else found
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything
        return f"{type(error).__name__}: {error}"
    if not _is_processor(loaded):
        return "is no processor: it needs a name and run(task, call, *, checkpoint)"
    return cast(Processor, loaded)


def _is_processor(value: object) -> bool:
    if isinstance(value, type):
        return False
    return isinstance(getattr(value, "name", None), str) and callable(getattr(value, "run", None))
