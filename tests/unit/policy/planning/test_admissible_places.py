"""A task with an admissible place gets one, and every other place is rejected for its reason."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from jobs.policy.plan_building.choices import Choices, Router, has_other_place
from jobs.policy.types import BackendView, ModelView, TaskView
from llm.types import Category
from models.states import Priority
from tests.support.plan_builders import CODING, NOW, mlx, ollama, snapshot

PLACES = (("mlx", "strong"), ("mlx", "weak"), ("ollama", "strong"), ("ollama", "weak"))
STRENGTH = {"strong": 5.0, "weak": 2.5}
MODELS = tuple(
    ModelView(
        backend,
        model,
        (CODING,),
        ranks={CODING: rank},
        strengths={CODING: STRENGTH[model]},
    )
    for backend, rank, model in (
        ("mlx", 0, "strong"),
        ("mlx", 1, "weak"),
        ("ollama", 0, "strong"),
        ("ollama", 1, "weak"),
    )
)
SUBSETS = [frozenset(chosen) for size in range(5) for chosen in combinations(PLACES, size)]


def choices_for(
    views: tuple[BackendView, ...], models: tuple[ModelView, ...], **asks: object
) -> Choices:
    waiting = TaskView("t", NOW, Priority.MEDIUM, CODING, **asks)  # type: ignore[arg-type]
    return Router(snapshot([], *views, models=models)).choices(waiting)


@pytest.mark.parametrize("complexity", [0.2, 0.9])
@pytest.mark.parametrize("required", [None, "mlx", "ollama", "elsewhere"])
@pytest.mark.parametrize("preferred", [None, "strong", "weak", "unknown"])
@pytest.mark.parametrize("paused", [(), ("mlx",), ("ollama",), ("mlx", "ollama")])
def test_every_combination_finds_a_place_where_there_is_one(
    paused: tuple[str, ...], preferred: str | None, required: str | None, complexity: float
) -> None:
    for resident, failed, missing in product([(), ("weak",), ("strong",)], SUBSETS, SUBSETS):
        states = {name: "paused by kos pause" if name in paused else None for name in PLACE_NAMES}
        views = (
            mlx(unavailable=states["mlx"], resident=resident),
            ollama(unavailable=states["ollama"], resident=resident),
        )
        models = tuple(m for m in MODELS if (m.backend, m.name) not in missing)
        names = {model.name for model in models}
        found = choices_for(
            views,
            models,
            complexity=complexity,
            required_backend=required,
            required_model=preferred,
            avoid=failed,
        )

        admissible = {
            (m.backend, m.name)
            for m in models
            if m.backend not in paused
            and (required not in PLACE_NAMES or m.backend == required)
            and (preferred not in names or m.name == preferred)
        }
        chosen = {(option.key.backend, option.key.model) for option in found.options}
        case = (paused, preferred, required, resident, failed, missing)
        assert chosen <= admissible, case
        assert bool(chosen) == bool(admissible), case
        if admissible - failed:
            assert not chosen & failed, case
        assert_true_reasons(found, paused, failed, required)


PLACE_NAMES = ("mlx", "ollama")


def assert_true_reasons(
    found: Choices, paused: tuple[str, ...], failed: frozenset[tuple[str, str]], required: object
) -> None:
    for rejected in found.rejected:
        backend, _, model = rejected.option.partition("/")
        match rejected.reason:
            case "paused by kos pause":
                assert backend in paused
            case "failed on this task before":
                assert (backend, model) in failed
            case "the task failed on this server before":
                assert backend in {name for name, _ in failed}
            case "no stronger than the model that failed":
                assert model == "weak" or any(name == model for _, name in failed)
            case "strong is better at coding tasks":
                assert model == "weak"
            case "another server has a much better model for coding tasks":
                assert model == "weak"
            case reason:
                assert reason.startswith("the task requires "), reason
                assert required != backend or reason != f"the task requires {required}"


def test_every_place_is_an_option_or_rejected_once_with_a_reason() -> None:
    failed = frozenset({("ollama", "weak")})
    found = choices_for((mlx(unavailable="down"), ollama()), MODELS, avoid=failed)

    named = [rejected.option for rejected in found.rejected]
    named += [f"{option.key.backend}/{option.key.model}" for option in found.options]
    assert sorted(named) == sorted("/".join(place) for place in PLACES)


def test_a_paused_server_and_a_bad_answer_elsewhere_leave_the_other_model() -> None:
    found = choices_for(
        (mlx(unavailable="paused"), ollama()), MODELS, avoid=frozenset({("ollama", "strong")})
    )

    assert [option.key.model for option in found.options] == ["weak"]


def test_after_a_second_bad_answer_only_a_stronger_model_will_do() -> None:
    found = choices_for(
        (mlx(), ollama()), MODELS, complexity=0.9, avoid=frozenset({("ollama", "weak")})
    )

    assert {option.key.model for option in found.options} == {"strong"}


def test_a_task_that_failed_on_a_server_tries_another_server_before_its_weaker_models() -> None:
    found = choices_for((mlx(), ollama()), MODELS, avoid=frozenset({("mlx", "strong")}))

    assert {option.key.backend for option in found.options} == {"ollama"}


def test_a_task_stays_where_it_failed_if_the_other_server_cannot_do_the_work() -> None:
    blind = ModelView("ollama", "blind", (CODING,), strengths={CODING: -95.0})
    found = choices_for(
        (mlx(), ollama()), (*MODELS[:2], blind), avoid=frozenset({("mlx", "strong")})
    )

    assert {option.key.backend for option in found.options} == {"mlx"}


def test_another_model_of_the_same_server_is_another_place() -> None:
    alone = snapshot([], ollama(), models=MODELS[2:])
    task = TaskView("t", NOW, category=CODING)

    assert has_other_place(alone, task, than=("ollama", "strong"))
    assert not has_other_place(
        snapshot([], ollama(), models=MODELS[2:3]), task, than=("ollama", "strong")
    )


def test_a_blind_model_takes_no_vision_task_while_another_server_sees() -> None:
    sees = ModelView("mlx", "sees", (Category.VISION,), strengths={Category.VISION: 2.0})
    blind = ModelView("ollama", "blind", (CODING,), strengths={Category.VISION: -95.0})
    waiting = TaskView("t", NOW, category=Category.VISION)

    found = Router(snapshot([], mlx(), ollama(), models=(sees, blind))).choices(waiting)

    assert [option.key.model for option in found.options] == ["sees"]


def test_what_a_user_listed_first_takes_work_however_weak_it_looks() -> None:
    strong = ModelView("mlx", "strong", (CODING,), ranks={CODING: 0}, strengths={CODING: 6.0})
    listed = ModelView("ollama", "listed", (CODING,), ranks={CODING: 0}, strengths={CODING: 1.0})
    other = ModelView("ollama", "other", (CODING,), ranks={CODING: 1}, strengths={CODING: 5.0})
    waiting = TaskView("t", NOW, category=CODING, complexity=0.9)

    found = Router(snapshot([], mlx(), ollama(), models=(strong, listed, other))).choices(waiting)

    assert {option.key.model for option in found.options} == {"strong", "listed"}


def test_a_task_waits_for_its_model_while_the_breaker_of_that_is_open_and_others_go_elsewhere() -> (
    None
):
    reason = "breaker open: load_failed"
    views = (mlx(closed_models={"strong": reason}), ollama())
    models = tuple(m for m in MODELS if (m.backend, m.name) != ("ollama", "strong"))

    waiting = choices_for(views, models, required_model="strong")

    assert waiting.options == ()
    assert ("mlx/strong", reason) in [(r.option, r.reason) for r in waiting.rejected]
    free = choices_for(views, models, complexity=0.2)
    assert {option.key.model for option in free.options} == {"weak"}


def test_a_name_that_nothing_has_is_told_with_the_one_that_is_near() -> None:
    views = (mlx(), ollama())

    assert choices_for(views, MODELS, required_model="strng").note == (
        "no server can run strng now, which the task requires; perhaps strong is meant"
    )
    assert choices_for(views, MODELS, required_backend="olama").note == (
        "there is no backend olama, which the task requires; perhaps ollama is meant"
    )
    assert choices_for(views, MODELS, preferred_source="olama").note == "perhaps ollama is meant"
    assert choices_for(views, MODELS, preferred_source="ollama").note == ""
    assert "perhaps" not in choices_for(views, MODELS, required_model="gpt-17").note
