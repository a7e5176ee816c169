"""Which task a freed slot takes, where each slot keeps the prompt it read last."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.dispatch import dispatch
from jobs.policy.plan import plan
from jobs.policy.prompt_groups import IN_ORDER, next_tasks
from jobs.policy.task_order import prompt_groups, rank_tasks
from jobs.policy.types import BackendView, ModelView, OpenBlock, PlanningConfig, TaskView
from llm.types import BackendKind, Category
from models.states import Priority
from tests.support.plan_builders import NOW, key, snapshot, task

CONFIG = PlanningConfig()
LLAMA = BackendView("llama", BackendKind.OPENAI, slots=3, prompt_slots=3, resident=("m",))


def groups(*tasks: TaskView) -> tuple[int, ...]:
    return prompt_groups(tasks, now=NOW, config=CONFIG)


def test_a_freed_slot_goes_on_with_its_own_persona() -> None:
    ada, bob, eve = 1, 2, 3

    assert next_tasks((ada, ada, bob, bob, eve, eve), (), 2) == (0, 2)
    assert next_tasks((ada, bob, eve, eve), (bob,), 1) == (0,)
    assert next_tasks((ada, bob, eve, eve), (ada,), 1) == (1,)


def test_where_every_persona_runs_the_one_that_fewest_tasks_run_with_is_next() -> None:
    assert next_tasks((1, 1, 2), (1, 1, 2), 1) == (2,)
    assert next_tasks((1, 1, 1), (1,), 2) == (0, 1)


def test_no_choice_passes_an_urgent_task_or_another_step() -> None:
    urgent = task("u", priority=Priority.URGENT, prefix=("ada",))
    high = [task(f"h{n}", priority=Priority.HIGH, prefix=("ada",)) for n in range(2)]
    medium = [task(f"m{n}", prefix=("bob",)) for n in range(2)]
    found = groups(urgent, *high, *medium)

    assert found[0] == IN_ORDER
    assert next_tasks(found, (), 4) == (0, 1, 2, 3)


def test_no_choice_passes_an_older_slice_of_overdue_tasks() -> None:
    older = [task(f"o{n}", age_seconds=1300, prefix=("ada",)) for n in range(2)]
    overdue = [task(f"p{n}", age_seconds=800, prefix=("bob",)) for n in range(2)]

    assert next_tasks(groups(*older, *overdue), (), 3) == (0, 1, 2)


def test_there_is_nothing_to_choose_where_no_prompt_or_every_prompt_is_shared() -> None:
    assert groups(task(1, prefix=("ada",)), task(2, prefix=("bob",))) == ()
    assert groups(task(1, prefix=("ada",)), task(2, prefix=("ada",))) == ()


@given(
    st.lists(st.tuples(st.sampled_from(list(Priority)), st.sampled_from("abc")), max_size=30),
    st.integers(1, 9),
)
def test_each_waiting_task_is_chosen_once_and_in_the_order_of_its_step(
    drawn: list[tuple[Priority, str]], count: int
) -> None:
    waiting = rank_tasks(
        [task(n, priority=p, prefix=(persona,)) for n, (p, persona) in enumerate(drawn)],
        now=NOW, config=CONFIG,
    )  # fmt: skip
    found = groups(*waiting)

    chosen = next_tasks(found, (), count)

    assert len(set(chosen)) == len(chosen) == min(count, len(found))
    ranks = [waiting[place].priority.rank for place in chosen]
    assert ranks == sorted(ranks, reverse=True)


def test_a_plan_holds_groups_only_for_a_server_that_says_how_many_slots_it_has() -> None:
    tasks = [task(n, prefix=(persona,)) for n, persona in enumerate("aabb")]
    backends = (LLAMA, replace(LLAMA, name="vllm", prompt_slots=None))
    for view in backends:
        found = snapshot(tasks, view, models=(ModelView(view.name, "m", (Category.CODING,)),))
        (block,) = plan(found).blocks

        assert bool(block.groups) == (view is LLAMA)


def test_a_server_whose_slots_choose_is_sent_nothing_ahead() -> None:
    waiting = OpenBlock("b", key("llama", "m"), 4, waiting=(1, 1, 2, 2))

    (order,) = dispatch([LLAMA], [waiting], dispatch_ahead=2, config=CONFIG).orders

    assert (order.count, order.chosen) == (3, (0, 2, 1))


def test_a_slot_s_choice_knows_what_runs_of_a_plan_that_was_replaced() -> None:
    view = replace(LLAMA, in_flight=2)
    before = OpenBlock("old", key("llama", "m"), 0, in_flight=2, running=(1, 3))
    waiting = OpenBlock("new", key("llama", "m"), 3, waiting=(1, 2, 3))

    (order,) = dispatch([view], [before, waiting], dispatch_ahead=0, config=CONFIG).orders

    assert order.chosen == (1,)
