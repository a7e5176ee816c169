"""When the assigner takes a page, and when it rests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from jobs.planning import assigner as module
from jobs.planning.assigner import REST_SHARE, Assigner

PAGE_SECONDS = 2.0


@dataclass
class World:
    """``pages``: whether each was of urgent and high rows only."""

    now: float = 1000.0
    more: bool = True
    pages: list[bool] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    def assign_page(self, roster: object, *, only_soonest: bool) -> bool:
        self.pages.append(only_soonest)
        self.now += PAGE_SECONDS
        self.meanwhile()
        return self.more


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(module, "assign_page", made.assign_page)
    return made


@pytest.fixture
def assigner(world: World) -> Assigner:
    """One that has just assigned a page of many."""
    made = Assigner(cast(Any, None), clock=lambda: world.now)
    made.assign_new(fed=False)
    world.pages.clear()
    return made


def test_while_the_plan_lacks_rows_one_page_follows_the_other(
    world: World, assigner: Assigner
) -> None:
    assert assigner.go_on(fed=False)
    assigner.assign_new(fed=False)
    world.more = False
    assigner.assign_new(fed=False)

    assert not assigner.go_on(fed=False)
    assert world.pages == [False, False]


def test_while_the_plan_is_fed_only_urgent_rows_are_assigned_within_a_rest(
    world: World, assigner: Assigner
) -> None:
    assigner.assign_new(fed=True)

    assert not assigner.go_on(fed=True)
    assert world.pages == [True]


def test_after_a_rest_one_page_is_assigned_and_another_rest_begins(
    world: World, assigner: Assigner
) -> None:
    world.now += REST_SHARE * PAGE_SECONDS

    assert not assigner.go_on(fed=True)
    assert not assigner.go_on(fed=True)
    assert world.pages == [False]


def test_a_page_of_urgent_rows_does_not_hide_that_others_wait(
    world: World, assigner: Assigner
) -> None:
    world.more = False
    assigner.assign_new(fed=True)

    assert assigner.go_on(fed=False)


def test_without_further_rows_nothing_is_assigned_after_the_rest(
    world: World, assigner: Assigner
) -> None:
    world.more = False
    assigner.assign_new(fed=False)
    world.now += REST_SHARE * PAGE_SECONDS

    assert not assigner.go_on(fed=True)
    assert world.pages == [False]


def test_two_threads_never_read_the_same_page(world: World, assigner: Assigner) -> None:
    world.now += REST_SHARE * PAGE_SECONDS
    at_once = threading.Thread(target=lambda: assigner.go_on(fed=True))

    def another() -> None:
        at_once.start()
        at_once.join(10)

    world.meanwhile = another
    assigner.go_on(fed=True)

    assert not at_once.is_alive()
    assert world.pages == [False]
