"""Which task a freed slot takes, where each slot of a server keeps only the prompt it read last.

A server with several slots (llama-server) would read a persona once for each slot if its tasks
went out one after another. So the tasks that run at once are of different personas as far as
possible, and a freed slot goes on with the persona whose last task ended there.

The group of a task is a whole number: its step in the order of its block above, its persona
below. Tasks of group 0 (urgent ones) start in their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import takewhile
from zlib import crc32

from jobs.policy.types import TaskView

_PERSONA_BITS = 32
IN_ORDER = 0
MOST_WAITING = 512
"""So many waiting tasks are compared for each choice."""


def group_of(task: TaskView, step: int) -> int:
    """Equal for tasks of one step (1, 2, ...) whose prompts begin with one persona."""
    persona = task.prefix[0] if task.prefix else ""
    return step << _PERSONA_BITS | crc32(persona.encode("utf-8", "surrogatepass"))


def persona_of(group: int) -> int:
    return group & ((1 << _PERSONA_BITS) - 1)


def next_tasks(waiting: Sequence[int], running: Iterable[int], count: int) -> tuple[int, ...]:
    """The positions in ``waiting`` of the next ``count`` tasks; both hold groups.

    Each is the first one, within the step of the first, of the persona that fewest tasks run
    with. Groups that have begun come first in a block (`task_order`), so a freed slot goes on
    with its own.
    """
    left = list(enumerate(waiting))
    busy = Counter(map(persona_of, running))
    chosen: list[int] = []
    for _ in range(min(count, len(waiting))):
        place, group = best = min(_first_step(left), key=lambda one: busy[persona_of(one[1])])
        left.remove(best)
        busy[persona_of(group)] += 1
        chosen.append(place)
    return tuple(chosen)


def _first_step(left: Sequence[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    """Those whose order is free."""
    first = left[0][1]
    if first == IN_ORDER:
        return left[:1]
    return takewhile(lambda one: one[1] >> _PERSONA_BITS == first >> _PERSONA_BITS, left)
