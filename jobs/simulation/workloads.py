"""Named workloads with fixed seeds. A task's length belongs to the task: one lognormal factor
scales its time at every place, for a long answer is long on every server."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jobs.simulation.workload import (
    VirtualBackend,
    VirtualModel,
    VirtualTask,
    Workload,
    WorkloadError,
)
from llm.types import BackendKind, Category
from models.states import Priority

SIGMA = 0.5
FAST, DEFAULT, CODING, REASONING = (
    Category.FAST,
    Category.DEFAULT,
    Category.CODING,
    Category.REASONING,
)
MIX: Mapping[Category, float] = {FAST: 0.4, DEFAULT: 0.3, CODING: 0.2, REASONING: 0.1}


@dataclass(frozen=True, slots=True)
class ModelTimes:
    """A model of a server: what it serves, its load and mean service seconds."""

    category: Category
    model: str
    load_seconds: float
    mean_seconds: float
    heavy: bool = False


MLX = (
    ModelTimes(FAST, "qwen3:1.7b", 1.0, 2.0),
    ModelTimes(DEFAULT, "qwen3:4b", 2.0, 4.0),
    ModelTimes(CODING, "qwen2.5-coder:14b", 6.0, 24.0),
    ModelTimes(REASONING, "qwq:32b", 9.0, 50.0, heavy=True),
)
OLLAMA = (
    ModelTimes(FAST, "gemma3:4b", 8.0, 8.0),
    ModelTimes(DEFAULT, "qwen2.5:14b", 15.0, 25.0),
    ModelTimes(CODING, "qwen2.5-coder:14b", 20.0, 25.0),
    ModelTimes(REASONING, "qwq:32b", 43.0, 55.0, heavy=True),
)
VLLM = (
    ModelTimes(DEFAULT, "llama3.3:70b", 90.0, 6.0, heavy=True),
    ModelTimes(REASONING, "deepseek-r1:70b", 120.0, 30.0, heavy=True),
)


def named(name: str) -> Workload:
    """A workload by name. Raises WorkloadError that lists the names."""
    build = WORKLOADS.get(name)
    if build is None:
        raise WorkloadError(f"no workload named {name}; there are {', '.join(WORKLOADS)}")
    return build()


def mixed() -> Workload:
    """1,000 tasks of four kinds; two servers of 4 slots and one resident model; all waiting."""
    return _offline("mixed", [_mlx(), _ollama()], _counts(1000), seed=7)


def mixed_two_resident() -> Workload:
    """The mixed tasks; each server holds two models."""
    return _offline(
        "mixed-two-resident",
        [_mlx(resident=2), _ollama(resident=2)],
        _counts(1000),
        seed=11,
    )


def mixed_three_resident() -> Workload:
    """The mixed tasks; each server holds three models."""
    return _offline(
        "mixed-three-resident",
        [_mlx(resident=3), _ollama(resident=3)],
        _counts(1000),
        seed=13,
    )


def heavy_tails() -> Workload:
    """The longest tasks take many times the mean (sigma 1.0)."""
    return _offline("heavy-tails", [_mlx(), _ollama()], _counts(1500), seed=17, sigma=1.0)


def one_slow_server() -> Workload:
    """Ollama four times slower: how little should it get?"""
    slow = tuple(
        ModelTimes(p.category, p.model, p.load_seconds, 4 * p.mean_seconds, p.heavy) for p in OLLAMA
    )
    return _offline("one-slow-server", [_mlx(), (_ollama()[0], slow)], _counts(800), seed=19)


def two_ollama_and_vllm() -> Workload:
    """Two Ollama hosts, MLX, and vLLM with eight slots for two large models."""
    vllm = VirtualBackend("vllm", slots=8, kind=BackendKind.OPENAI)
    return _offline(
        "two-ollama-and-vllm",
        [_mlx(), _ollama("ollama-a"), _ollama("ollama-b"), (vllm, VLLM)],
        _counts(2500),
        seed=23,
    )


def ten_thousand() -> Workload:
    """Ten times the mixed tasks: more than one planning window."""
    return _offline("ten-thousand", [_mlx(), _ollama()], _counts(10_000), seed=29)


def many_models() -> Workload:
    """Twelve small models on each of two servers with two residents."""
    profiles = tuple(
        ModelTimes(list(MIX)[n % 4], f"expert-{n:02}", 3.0 + n, 4.0 + 3.0 * (n % 5))
        for n in range(12)
    )
    servers = [
        (VirtualBackend(name, slots=4, resident_models=2, kind=kind), profiles)
        for name, kind in (("mlx", BackendKind.MLX), ("ollama", BackendKind.OLLAMA))
    ]
    models = _models(servers)
    chance = random.Random(31)
    tasks = []
    for number in range(1800):
        profile = profiles[number % 12]
        factor = _factor(chance, SIGMA)
        tasks.append(
            VirtualTask(
                f"t{number:05}",
                {(s.name, profile.model): profile.mean_seconds * factor for s, _ in servers},
                category=profile.category,
            )
        )
    return Workload(tuple(s for s, _ in servers), models, tuple(tasks), "many-models")


def one_kind() -> Workload:
    """Nothing to choose but the balance of two servers."""
    return _offline("one-kind", [_mlx(), _ollama()], {CODING: 600}, seed=37)


def heavy_pairing() -> Workload:
    """The host cannot hold two heavy models at once."""
    workload = _offline(
        "heavy-pairing",
        [_mlx(), _ollama()],
        {FAST: 400, DEFAULT: 300, CODING: 200, REASONING: 60},
        seed=41,
    )
    return Workload(
        workload.backends, workload.models, workload.tasks, workload.name, allow_two_heavy=False
    )


def bursts() -> Workload:
    """Bursts of 120 tasks every ten minutes for three hours."""
    arrivals = [600.0 * burst + 0.05 * n for burst in range(18) for n in range(120)]
    return _online("bursts", [_mlx(), _ollama()], arrivals, seed=43)


def steady() -> Workload:
    """Poisson arrivals at about 70 % of what the servers can do, three hours."""
    return _online("steady", [_mlx(), _ollama()], _poisson(0.45, 10_800.0, 47), seed=47)


def overload() -> Workload:
    """An hour of arrivals above what the servers can do: who waits, what does fairness cost?"""
    return _online("overload", [_mlx(), _ollama()], _poisson(0.80, 3600.0, 71), seed=71)


def urgent_trickle() -> Workload:
    """A backlog, steady arrivals, and an urgent task of any kind every two minutes."""
    return _online(
        "urgent-trickle",
        [_mlx(), _ollama()],
        [0.0] * 400 + _poisson(0.30, 7200.0, 53),
        seed=53,
        urgent_every_seconds=120.0,
    )


def rare_kind() -> Workload:
    """One kind floods a server with one resident; a few tasks of others must not starve."""
    server = (VirtualBackend("ollama", slots=4, kind=BackendKind.OLLAMA), OLLAMA)
    chance = random.Random(59)
    arrivals = _poisson(0.11, 14_400.0, 59)
    kinds = [CODING if chance.random() < 0.93 else FAST for _ in arrivals]
    return _build("rare-kind", [server], list(zip(arrivals, kinds, strict=True)), chance)


def dying_server() -> Workload:
    """Ollama dies after five minutes and is back after fifteen."""
    ollama, profiles = _ollama()
    dying = VirtualBackend(ollama.name, ollama.slots, kind=ollama.kind, outages=((300.0, 900.0),))
    return _offline("dying-server", [_mlx(), (dying, profiles)], _counts(1000), seed=61)


def day() -> Workload:
    """One working day: a night's backlog, busy hours, a quiet noon, urgent tasks now and then."""
    arrivals = [0.0] * 300
    for hour, rate in enumerate((0.10, 0.30, 0.45, 0.45, 0.15, 0.40, 0.45, 0.30, 0.10, 0.05)):
        arrivals += [hour * 3600.0 + at for at in _poisson(rate * 0.6, 3600.0, 67 + hour)]
    return _online("day", [_mlx(), _ollama()], arrivals, seed=67, urgent_every_seconds=1200.0)


Servers = Sequence[tuple[VirtualBackend, Sequence[ModelTimes]]]


def _mlx(resident: int = 1) -> tuple[VirtualBackend, Sequence[ModelTimes]]:
    return VirtualBackend("mlx", 4, resident, BackendKind.MLX), MLX


def _ollama(name: str = "ollama", resident: int = 1) -> tuple[VirtualBackend, Sequence[ModelTimes]]:
    return VirtualBackend(name, 4, resident, BackendKind.OLLAMA), OLLAMA


def _counts(total: int) -> dict[Category, int]:
    return {category: round(total * part) for category, part in MIX.items()}


def _offline(
    name: str,
    servers: Servers,
    counts: Mapping[Category, int],
    *,
    seed: int,
    sigma: float = SIGMA,
) -> Workload:
    chance = random.Random(seed)
    kinds = [category for category, count in counts.items() for _ in range(count)]
    chance.shuffle(kinds)
    return _build(name, servers, [(0.0, kind) for kind in kinds], chance, sigma=sigma)


def _online(
    name: str,
    servers: Servers,
    arrivals: Sequence[float],
    *,
    seed: int,
    urgent_every_seconds: float = math.inf,
) -> Workload:
    chance = random.Random(seed)
    kinds = chance.choices(list(MIX), list(MIX.values()), k=len(arrivals))
    return _build(
        name,
        servers,
        list(zip(arrivals, kinds, strict=True)),
        chance,
        urgent_every_seconds=urgent_every_seconds,
    )


def _build(
    name: str,
    servers: Servers,
    arrivals: Sequence[tuple[float, Category]],
    chance: random.Random,
    *,
    sigma: float = SIGMA,
    urgent_every_seconds: float = math.inf,
) -> Workload:
    tasks = []
    urgent_at = urgent_every_seconds
    for number, (arrival, kind) in enumerate(sorted(arrivals, key=lambda entry: entry[0])):
        urgent = arrival >= urgent_at
        if urgent:
            urgent_at += urgent_every_seconds
        factor = _factor(chance, sigma)
        tasks.append(
            VirtualTask(
                f"t{number:05}",
                {
                    (server.name, profile.model): profile.mean_seconds * factor
                    for server, profiles in servers
                    for profile in profiles
                    if profile.category is kind
                },
                arrival_seconds=arrival,
                priority=Priority.URGENT if urgent else Priority.MEDIUM,
                category=kind,
                complexity=0.8 if kind is REASONING else 0.2 if kind is FAST else 0.5,
            )
        )
    return Workload(tuple(server for server, _ in servers), _models(servers), tuple(tasks), name)


def _models(servers: Servers) -> tuple[VirtualModel, ...]:
    return tuple(
        VirtualModel(s.name, p.model, p.load_seconds, p.mean_seconds, p.heavy)
        for s, profiles in servers
        for p in profiles
    )


def _factor(chance: random.Random, sigma: float) -> float:
    """Lognormal with mean 1."""
    return math.exp(chance.gauss(-sigma * sigma / 2.0, sigma))


def _poisson(per_second: float, seconds: float, seed: int) -> list[float]:
    chance = random.Random(seed)
    arrivals: list[float] = []
    now = chance.expovariate(per_second)
    while now < seconds:
        arrivals.append(now)
        now += chance.expovariate(per_second)
    return arrivals


WORKLOADS: Mapping[str, Callable[[], Workload]] = {
    "mixed": mixed,
    "mixed-two-resident": mixed_two_resident,
    "mixed-three-resident": mixed_three_resident,
    "heavy-tails": heavy_tails,
    "one-slow-server": one_slow_server,
    "two-ollama-and-vllm": two_ollama_and_vllm,
    "ten-thousand": ten_thousand,
    "many-models": many_models,
    "one-kind": one_kind,
    "heavy-pairing": heavy_pairing,
    "bursts": bursts,
    "steady": steady,
    "overload": overload,
    "urgent-trickle": urgent_trickle,
    "rare-kind": rare_kind,
    "dying-server": dying_server,
    "day": day,
}
