"""Finds dependency cycles among edges. Standard library only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

MAX_NAMED = 4


def find_cycles(edges: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    """Cycles among (task, task it waits for): each task waits for the next, the last for the first.

    No two of them share a task. If there is a cycle, at least one is found; overlapping cycles are
    found once it is removed. Linear in the number of edges.
    """
    parents, children = defaultdict(set), defaultdict(set)
    for task, parent in edges:
        parents[task].add(parent)
        children[parent].add(task)
    _remove_acyclic(parents, children)
    following = {task: min(waits_for) for task, waits_for in parents.items()}
    return _loops(following)


def describe(cycle: tuple[str, ...]) -> str:
    """Why the first task of ``cycle`` can never run, and what to do."""
    if len(cycle) == 1:
        return "dependency cycle: the task depends on itself; delete that line of kos_dependencies"
    named = ", that for ".join(cycle[1:MAX_NAMED])
    more = f", {len(cycle) - MAX_NAMED} more in between" if len(cycle) > MAX_NAMED else ""
    return (
        f"dependency cycle: the task waits for {named}{more}, and that for the task itself; "
        "delete one of these lines of kos_dependencies"
    )


def _remove_acyclic(parents: dict[str, set[str]], children: dict[str, set[str]]) -> None:
    """Remove every task that is not part of a cycle and does not wait for one."""
    ready = [task for task in children if task not in parents]
    while ready:
        done = ready.pop()
        for task in children.pop(done, ()):
            parents[task].discard(done)
            if not parents[task]:
                del parents[task]
                ready.append(task)


def _loops(following: dict[str, str]) -> list[tuple[str, ...]]:
    """The cycles of a graph in which every task waits for exactly one other."""
    found: list[tuple[str, ...]] = []
    seen: set[str] = set()
    for start in following:
        path: dict[str, int] = {}
        task = start
        while task not in seen and task not in path:
            path[task] = len(path)
            task = following[task]
        if task in path:
            found.append(tuple(path)[path[task] :])
        seen |= path.keys()
    return found
