"""A process may die at any step: its slots come back, and never too many are given out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from jobs.admission.slots import Slots
from tests.integration.admission import doomed
from tests.integration.admission.conftest import LEASE_SECONDS, PLACE_SECONDS, Process
from tests.integration.admission.test_slots_admission import until
from tests.support.embedded import Server

ROOT = Path(__file__).parents[3]
STEPS_WITH_A_SLOT = ("asked", "granted", "asking again", "renewing", "renewed")
STEPS_WITHOUT = ("connected", "releasing", "released")


def wins(survivor: Slots, holder: str) -> bool:
    survivor.renew()
    admission = survivor.acquire("ollama", holder, limit=doomed.LIMIT)
    assert admission.in_use <= doomed.LIMIT
    return admission.granted


@contextmanager
def process_stopped_at(
    step: str, server: Server, *, lease_seconds: float = LEASE_SECONDS
) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-m", doomed.__name__, server.url, step, str(lease_seconds),
         str(PLACE_SECONDS)],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "here\n"
        yield child
    finally:
        child.kill()
        child.communicate(timeout=10)


@pytest.mark.parametrize("step", STEPS_WITH_A_SLOT + STEPS_WITHOUT)
def test_a_process_killed_at_any_step_leaves_no_slot_behind(
    step: str, server: Server, process: Process
) -> None:
    survivor = process("survivor")
    with process_stopped_at(step, server) as child:
        child.kill()
        child.wait(timeout=10)

        until(lambda: all(wins(survivor, f"t{number}:1") for number in range(doomed.LIMIT)))

    assert survivor.in_use("ollama") == doomed.LIMIT
    assert not survivor.acquire("ollama", "more:1", limit=doomed.LIMIT).granted


def test_a_killed_waiter_holds_up_nobody_for_long(server: Server, process: Process) -> None:
    survivor = process("survivor")
    for number in range(doomed.LIMIT):
        survivor.acquire("ollama", f"t{number}:1", limit=doomed.LIMIT)
    with process_stopped_at("waiting", server) as child:
        child.kill()
        child.wait(timeout=10)
        survivor.release("ollama", "t0:1")

        until(lambda: survivor.acquire("ollama", "next:1", limit=doomed.LIMIT).granted)


@pytest.mark.parametrize("step", STEPS_WITH_A_SLOT)
def test_a_killed_process_is_swept_without_waiting_for_its_lease(
    step: str, server: Server, client: redis.Redis
) -> None:
    recovery = Slots(client)
    with process_stopped_at(step, server, lease_seconds=600.0) as child:
        until(lambda: recovery.in_use("ollama") == 1)
        assert recovery.sweep() == 0

        child.kill()
        child.wait(timeout=10)

        assert recovery.sweep() == 1
        assert recovery.in_use("ollama") == 0
