"""What is done to the system when: a pure function of seed and length."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

WORKERS = ("llm-ollama#1", "llm-ollama#2", "llm-mlx#1", "llm-mlx#2")
BACKENDS = ("ollama", "mlx")


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
}
_FIXED_TARGETS = {
    Harm.KILL_CONTROL: "control",
    Harm.KILL_SCHEDULER: "scheduler",
    Harm.KILL_LISTENER: "listener",
    Harm.KILL_HEALTH: "health_checker",
    Harm.RESTART_REDIS: "redis",
    Harm.FLUSH_REDIS: "redis",
    Harm.RESTART_POSTGRES: "postgres",
    Harm.FILL_POOL: "postgres",
}
_JUMPS_SECONDS = (-86_400, -3_600, -45, 45, 3_600, 86_400)


def script(*, seed: int, seconds: float, every_seconds: float) -> tuple[Event, ...]:
    """About ``seconds / every_seconds`` events in order of time, every kind of harm at least once.

    The first worker is frozen when work has begun, and early enough to wake before the end.
    """
    dice = random.Random(seed)
    count = max(len(Harm), int(seconds / every_seconds))
    extra = dice.choices(list(_SHARES), weights=list(_SHARES.values()), k=count - len(Harm))
    harms = [*(harm for harm in Harm if harm is not Harm.FREEZE_WORKER), *extra]
    dice.shuffle(harms)
    harms.insert(count // 5, Harm.FREEZE_WORKER)
    step = seconds / count
    return tuple(
        Event((place + dice.random()) * step, harm, _target(harm, dice))
        for place, harm in enumerate(harms)
    )


def _target(harm: Harm, dice: random.Random) -> str:
    if harm in (Harm.KILL_WORKER, Harm.FREEZE_WORKER):
        return dice.choice(WORKERS)
    if harm is Harm.CUT_BACKEND:
        return dice.choice(BACKENDS)
    if harm is Harm.JUMP_CLOCK:
        return str(dice.choice(_JUMPS_SECONDS))
    return _FIXED_TARGETS[harm]
