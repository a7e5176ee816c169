"""How much reading of prompts the order of a block saves, by kind of server.

400 tasks of 12 experts (personas of 600 tokens) and 3 shared files, on a virtual clock: as they
came, and as the planner orders them; where the server tells its slots, a freed one chooses as the
dispatcher does. The best order reads every distinct beginning once.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from jobs.policy.prompt_groups import next_tasks
from jobs.policy.task_order import prompt_groups, rank_tasks
from jobs.policy.types import PlanningConfig, TaskView
from llm.simulator.prefix_cache import (
    PrefixCache,
    Segment,
    SharedCache,
    SlotCaches,
    least_computed,
)
from models.states import Priority

TASKS, EXPERTS, FILES = 400, 12, 3
PERSONA_TOKENS, FILE_TOKENS, OWN_TOKENS, ANSWER_TOKENS = 600, 900, 80, 60
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SERVERS = {
    "Ollama, 1 slot": (1, 180.0, 14.0),
    "llama-server, 4 slots": (4, 400.0, 20.0),
    "our MLX server, 8 streams": (8, 400.0, 12.0),
}
"""Streams at once, and tokens per second of prefill and of decode of each."""
MLX_CACHE_TOKENS = 256 * 2**20 // (128 * 1024)
"""Our MLX server keeps 256 MiB of prefixes by default; an 8B model needs 128 KiB a token."""


@dataclass(frozen=True, slots=True)
class Found:
    """Prompt tokens that were read, and all; seconds to the last answer; answer tokens a second."""

    computed: int
    total: int
    seconds: float

    @property
    def rate(self) -> float:
        return TASKS * ANSWER_TOKENS / self.seconds


def main() -> None:
    options = _options()
    tasks = _tasks(options.seed)
    arrived = sorted(tasks, key=lambda task: (-task.priority.rank, task.created_at))
    config = PlanningConfig()
    ordered = rank_tasks(tasks, now=NOW, config=config)
    groups = prompt_groups(ordered, now=NOW, config=config)
    best = least_computed([_prompt(task) for task in tasks])
    rows = {
        name: (_run(arrived, name), _run(ordered, name, groups if "llama" in name else ()))
        for name in SERVERS
    }
    inversions = sum(a.priority.rank < b.priority.rank for a, b in pairwise(ordered))
    print(_json(rows, best, inversions) if options.json else _table(rows, best, inversions))


def _tasks(seed: int) -> list[TaskView]:
    chance = random.Random(seed)
    return [
        TaskView(
            id=f"t{number:03}",
            created_at=NOW - timedelta(seconds=600 - number),
            priority=chance.choices((Priority.MEDIUM, Priority.HIGH), weights=(4, 1))[0],
            prefix=(f"expert {chance.randrange(EXPERTS)}", f"file {chance.randrange(FILES)}"),
        )
        for number in range(TASKS)
    ]


def _prompt(task: TaskView) -> tuple[Segment, ...]:
    expert, file = task.prefix
    return ((expert, PERSONA_TOKENS), (file, FILE_TOKENS), (task.id, OWN_TOKENS))


def _run(tasks: Sequence[TaskView], server: str, groups: Sequence[int] = ()) -> Found:
    """Each task starts as soon as a stream is free: the next one, or one chosen by ``groups``."""
    streams, prefill, decode = SERVERS[server]
    cache: PrefixCache = SlotCaches(streams)
    if "MLX" in server:
        cache = SharedCache(MLX_CACHE_TOKENS)
    chance = random.Random(1)
    waiting, left = list(tasks), list(groups)
    running: list[tuple[float, int, int]] = []
    now, computed, total = 0.0, 0, 0
    while waiting:
        if len(running) == streams:
            now, slot, _ = heapq.heappop(running)
            cache.give_back(slot)
        (place,) = next_tasks(left, (group for _, _, group in running), 1) or (0,)
        task, group = waiting.pop(place), left.pop(place) if left else 0
        prompt = _prompt(task)
        slot, cached = cache.take(prompt)
        tokens = sum(count for _, count in prompt)
        computed, total = computed + tokens - cached, total + tokens
        answer = ANSWER_TOKENS * chance.uniform(0.5, 1.5)
        end = now + (tokens - cached) / prefill + answer / decode
        heapq.heappush(running, (end, slot, group))
    return Found(computed, total, max(end for end, _, _ in running))


def _table(rows: dict[str, tuple[Found, Found]], best: int, inversions: int) -> str:
    lines = [
        "| server | read as they came | in the planner's order | hits / best | answer tokens/s |",
        "|---|---|---|---|---|",
    ]
    for name, (came, ordered) in rows.items():
        hits = (ordered.total - ordered.computed) / (ordered.total - best)
        lines.append(
            f"| {name} | {came.computed:,} of {came.total:,} | {ordered.computed:,} "
            f"({came.computed / ordered.computed:.1f} x less) | {hits:.2f} | "
            f"{came.rate:.0f} -> {ordered.rate:.0f} ({ordered.rate / came.rate:.2f} x) |"
        )
    lines.append(f"\nBest order: {best:,} tokens. Priority inversions: {inversions}.")
    return "\n".join(lines)


def _json(rows: dict[str, tuple[Found, Found]], best: int, inversions: int) -> str:
    return json.dumps(
        {
            "best": best,
            "inversions": inversions,
            **{
                name: {"computed": [came.computed, ordered.computed], "total": came.total,
                       "rate": [came.rate, ordered.rate]}
                for name, (came, ordered) in rows.items()
            },
        }
    )  # fmt: skip


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prefix", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
