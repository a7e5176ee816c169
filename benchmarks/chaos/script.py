"""What is done to the system when: a pure function of seed and length."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

WORKERS = ("llm-ollama#1", "llm-ollama#2", "llm-mlx#1", "llm-mlx#2")
APART = "llm-ollama#3"
"""A worker in a pid namespace of its own, under the same host name."""
BACKENDS = ("ollama", "mlx")
LINKS = ("postgres", "redis", "both")
LONGEST_READ_ONLY_SECONDS = 60.0


class Harm(StrEnum):
    KILL_WORKER = "kill -9 of a worker"
    KILL_CONTROL = "kill -9 of the planner"
    KILL_SCHEDULER = "kill -9 of the scheduler"
    KILL_LISTENER = "kill -9 of the listener"
    KILL_HEALTH = "kill -9 of the health checker"
    RESTART_REDIS = "kill -9 and restart of Redis"
    FLUSH_REDIS = "FLUSHALL"
    RESTART_POSTGRES = "kill -9 and restart of Postgres"
    FREEZE_WORKER = "SIGSTOP beyond the lease, SIGCONT"
    CUT_BACKEND = "backend refuses connections"
    FILL_POOL = "every connection of Postgres taken"
    JUMP_CLOCK = "clock of the scheduler jumps"
    FREEZE_POSTGRES = "SIGSTOP of Postgres, SIGCONT"
    FREEZE_REDIS = "SIGSTOP of Redis, SIGCONT"
    CUT_NETWORK = "open connections go silent"
    READ_ONLY = "Postgres takes no writes"
    STEP_CLOCK = "clock of Postgres steps past every lease"
    SLEEP = "every program sleeps, the clock goes on"
    KILL_APART = "kill -9 in another pid namespace"


@dataclass(frozen=True, slots=True)
class Event:
    """``at_seconds`` after the start; ``target`` is a program, a backend or a number."""

    at_seconds: float
    harm: Harm
    target: str


_SHARES = {
    Harm.KILL_WORKER: 6,
    Harm.KILL_CONTROL: 3,
    Harm.KILL_SCHEDULER: 1,
    Harm.KILL_LISTENER: 2,
    Harm.KILL_HEALTH: 1,
    Harm.RESTART_REDIS: 2,
    Harm.FLUSH_REDIS: 2,
    Harm.RESTART_POSTGRES: 2,
    Harm.FREEZE_WORKER: 2,
    Harm.CUT_BACKEND: 2,
    Harm.FILL_POOL: 1,
    Harm.JUMP_CLOCK: 2,
    Harm.FREEZE_POSTGRES: 2,
    Harm.FREEZE_REDIS: 2,
    Harm.CUT_NETWORK: 3,
    Harm.STEP_CLOCK: 2,
    Harm.KILL_APART: 1,
}
_AT = {Harm.SLEEP: 0.75, Harm.READ_ONLY: 0.4, Harm.FREEZE_WORKER: 0.2}
"""The part of the run at which they are done, so that work has begun and their end is seen."""
_FIXED_TARGETS = {
    Harm.KILL_CONTROL: "control",
    Harm.KILL_SCHEDULER: "scheduler",
    Harm.KILL_LISTENER: "listener",
    Harm.KILL_HEALTH: "health_checker",
    Harm.RESTART_REDIS: "redis",
    Harm.FLUSH_REDIS: "redis",
    Harm.RESTART_POSTGRES: "postgres",
    Harm.FILL_POOL: "postgres",
    Harm.FREEZE_POSTGRES: "postgres",
    Harm.FREEZE_REDIS: "redis",
    Harm.STEP_CLOCK: "postgres",
    Harm.SLEEP: "everything",
    Harm.KILL_APART: APART,
}
_JUMPS_SECONDS = (-86_400, -3_600, -45, 45, 3_600, 86_400)


def script(
    *, seed: int, seconds: float, every_seconds: float, of: Collection[Harm] = tuple(Harm)
) -> tuple[Event, ...]:
    """About ``seconds / every_seconds`` events in order of time, each of the harms at least once.

    The first worker is frozen when work has begun, and early enough to wake before the end. One
    minute is read-only, and once everything sleeps: more often little else would happen.
    """
    dice = random.Random(seed)
    count = max(len(of), int(seconds / every_seconds))
    shares = {harm: share for harm, share in _SHARES.items() if harm in of}
    extra = dice.choices(list(shares), weights=list(shares.values()), k=count - len(of))
    harms = [harm for harm in of if harm not in _AT] + extra
    dice.shuffle(harms)
    for harm, part in _AT.items():
        if harm in of:
            harms.insert(int(count * part), harm)
    step = seconds / count
    return tuple(
        Event((place + dice.random()) * step, harm, _target(harm, dice, seconds))
        for place, harm in enumerate(harms)
    )


def _target(harm: Harm, dice: random.Random, seconds: float) -> str:
    if harm in (Harm.KILL_WORKER, Harm.FREEZE_WORKER):
        return dice.choice(WORKERS)
    if harm is Harm.CUT_BACKEND:
        return dice.choice(BACKENDS)
    if harm is Harm.CUT_NETWORK:
        return dice.choice(LINKS)
    if harm is Harm.READ_ONLY:
        return f"{min(LONGEST_READ_ONLY_SECONDS, seconds / 3):g}"
    if harm is Harm.JUMP_CLOCK:
        return str(dice.choice(_JUMPS_SECONDS))
    return _FIXED_TARGETS[harm]
