"""How much of their prompts the servers of a simulation read."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from jobs.policy.types import PolicyName
from jobs.simulation.prompts import prompt_tokens
from jobs.simulation.result import PrefillTokens, ScheduledLoad, ScheduledTask
from jobs.simulation.simulate import simulate
from jobs.simulation.workload import VirtualBackend, VirtualModel, VirtualTask, Workload
from jobs.simulation.workload_json import workload_from_json, workload_to_json
from llm.types import BackendKind
from models.states import Priority

OLLAMA = VirtualBackend("ollama", 1, kind=BackendKind.OLLAMA, resident=("m",))


def workload(*personas: str, backend: VirtualBackend = OLLAMA) -> Workload:
    """One task each, in this order of arrival: 100 tokens of persona, 10 of its own."""
    tasks = [
        VirtualTask(f"t{n}", {(backend.name, "m"): 1.0}, prefix=((persona, 100),),
                    prompt_tokens=110)
        for n, persona in enumerate(personas)
    ]  # fmt: skip
    return Workload((backend,), (VirtualModel(backend.name, "m", 5.0, 1.0),), tuple(tasks))


def in_order(found: Workload, *, slots: int = 1) -> list[ScheduledTask]:
    backend = found.backends[0].name
    return [
        ScheduledTask(task.id, backend, "m", float(n // slots), float(n // slots + 1))
        for n, task in enumerate(found.tasks)
    ]


def test_a_slot_reads_what_its_last_prompt_did_not_begin_with() -> None:
    found = workload("ada", "bob", "ada", "ada")

    assert prompt_tokens(found, in_order(found), []) == PrefillTokens(340, 440, 240)


def test_each_slot_keeps_a_prompt_of_its_own() -> None:
    two = replace(OLLAMA, slots=2)
    found = workload("ada", "bob", "ada", "bob", backend=two)

    assert prompt_tokens(found, in_order(found, slots=2), []) == PrefillTokens(240, 440, 240)


def test_a_server_that_batches_keeps_all_prompts_in_one_store() -> None:
    found = workload("ada", "bob", "ada", "bob", backend=VirtualBackend("mlx", 1))

    assert prompt_tokens(found, in_order(found), []) == PrefillTokens(240, 440, 240)


def test_a_load_forgets_what_was_read() -> None:
    found = workload("ada", "ada")
    again = ScheduledLoad("ollama", "m", 1.0, 1.0, None)

    assert prompt_tokens(found, in_order(found), [again]) == PrefillTokens(220, 220, 120)


def test_the_planner_groups_what_begins_alike_and_the_figures_show_it() -> None:
    found = workload(*["ada", "bob", "eve"] * 20)

    ours = simulate(found).to_json()["prompt_tokens"]
    plain = simulate(found, policy=PolicyName.FIFO).to_json()["prompt_tokens"]

    assert ours == {"computed": 900, "total": 6600, "least": 900}
    assert plain["computed"] > 6000


@pytest.mark.parametrize("slots", [1, 4])
def test_slots_that_choose_keep_nine_tenths_of_what_can_be_kept(slots: int) -> None:
    """Twelve personas, three files, two priorities, for longer than the fairness bound."""
    chance = random.Random(slots)
    llama = VirtualBackend("llama", slots, resident=("m",), prompt_slots=True)
    found = Workload(
        (llama,),
        (VirtualModel("llama", "m", 5.0, 8.0),),
        tuple(
            VirtualTask(
                f"t{n}",
                {("llama", "m"): chance.uniform(4.0, 12.0)},
                priority=chance.choices((Priority.MEDIUM, Priority.HIGH), weights=(4, 1))[0],
                prefix=((f"p{chance.randrange(12)}", 600), (f"f{chance.randrange(3)}", 900)),
                prompt_tokens=1580,
            )
            for n in range(500)
        ),
    )

    result = simulate(found)

    assert result.makespan_seconds > found.fairness_seconds
    assert result.prompts is not None
    kept = result.prompts.total - result.prompts.computed
    assert kept >= 0.9 * (result.prompts.total - result.prompts.least)
    starts = {one.task: one.start_seconds for one in result.schedule}
    last_high = max(starts[t.id] for t in found.tasks if t.priority is Priority.HIGH)
    assert last_high <= min(starts[t.id] for t in found.tasks if t.priority is Priority.MEDIUM)


def test_a_workload_without_prompts_says_nothing_of_them() -> None:
    found = workload("ada")
    bare = replace(found, tasks=tuple(replace(t, prompt_tokens=0) for t in found.tasks))

    assert "prompt_tokens" not in simulate(bare).to_json()


def test_prompts_are_written_and_read() -> None:
    found = workload("ada", "bob", backend=replace(OLLAMA, prompt_slots=True))

    again = workload_from_json(workload_to_json(found))

    assert (again.tasks, again.backends) == (found.tasks, found.backends)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"prefix": "ada", "prompt_tokens": 9}, "prefix: a list"),
        ({"prefix": [["ada"]], "prompt_tokens": 9}, "prefix: a list"),
        ({"prefix": [["ada", -1]], "prompt_tokens": 9}, "prefix: a list"),
        ({"prefix": [["ada", True]], "prompt_tokens": 9}, "prefix: a list"),
        ({"prefix": [["ada", 10]], "prompt_tokens": 9}, "9 is less than its prefix of 10"),
        ({"prefix": [["ada", 10]]}, "prompt_tokens"),
    ],
)
def test_a_broken_prompt_is_refused_by_name(fields: dict[str, Any], fault: str) -> None:
    document = workload_to_json(workload("ada"))
    (task,) = document["tasks"]
    del task["prefix"], task["prompt_tokens"]

    with pytest.raises(ValueError, match=fault):
        workload_from_json({**document, "tasks": [{**task, **fields}]})
