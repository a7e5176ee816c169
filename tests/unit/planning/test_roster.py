"""What a page of assignments reads of the experts does not grow with their number."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.planning import roster
from jobs.planning.roster import LOADS_SECONDS, MANY_EXPERTS, READ_AGAIN_SECONDS, Roster
from models import counts


class Site:
    """Stands in for the database: counts what is read of it."""

    def __init__(self, experts: int) -> None:
        self.revision = 1
        self.reads: Counter[str] = Counter()
        self.now = 1000.0
        self.experts = [
            SimpleNamespace(id=n, name=f"E{n}", role="r", department="d", is_active=None)
            for n in range(experts)
        ]

    def roster(self) -> list[Any]:
        self.reads["experts"] += 1
        return self.experts

    def open_tasks(self) -> dict[str, int]:
        self.reads["loads"] += 1
        return {"0": 7}

    def add_assistant(self) -> bool:
        self.reads["assistant"] += 1
        return False


def roster_of(site: Site, monkeypatch: pytest.MonkeyPatch) -> Roster:
    monkeypatch.setattr(roster, "Expert", site)
    monkeypatch.setattr(counts, "revision_of_experts", lambda: site.revision)
    return Roster(clock=lambda: site.now)


def test_pages_read_thousands_of_experts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(MANY_EXPERTS + 1)
    read = roster_of(site, monkeypatch)

    for _ in range(20):
        read.team()

    assert site.reads == {"experts": 1, "loads": 1}
    site.now += LOADS_SECONDS + 1
    read.team()
    assert site.reads == {"experts": 1, "loads": 2}


def test_what_was_assigned_meanwhile_counts_as_load(monkeypatch: pytest.MonkeyPatch) -> None:
    read = roster_of(Site(MANY_EXPERTS + 1), monkeypatch)
    first = next(read.team().least_busy(None, most=1)).expert.id

    read.team().add_load(first)

    assert next(read.team().least_busy(None, most=1)).expert.id != first


def test_a_changed_expert_is_seen_by_the_next_page(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(2)
    read = roster_of(site, monkeypatch)
    read.team()
    site.experts.pop()
    site.revision += 1

    assert len(read.team()) == 1


def test_a_change_that_passed_the_triggers_by_is_seen_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = Site(2)
    read = roster_of(site, monkeypatch)
    read.team()
    site.experts.pop()
    site.now += READ_AGAIN_SECONDS + 1

    assert len(read.team()) == 1


def test_without_experts_each_page_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(0)
    read = roster_of(site, monkeypatch)

    assert not read.team()
    assert not read.team()
    assert site.reads["assistant"] == 2
