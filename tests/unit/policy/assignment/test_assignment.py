from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.assignment import AssignTask, assign, preferred_source
from jobs.policy.team import ExpertView, Team
from llm.types import Category

TEAM = (
    ExpertView("1", "Игорь", "Backend Developer", "Backend"),
    ExpertView("2", "Дмитрий", "ML Engineer", "ML"),
    ExpertView("3", "Анна", "QA Engineer", "QA"),
    ExpertView("4", "Мария", "Маркетолог", "Маркетинг"),
    ExpertView("5", "Olga", "Performance Engineer", "Performance"),
    ExpertView("6", "Елена", "Юрист", "Юридический отдел"),
    ExpertView("7", "Sergey", "DevOps Engineer", "DevOps/SRE"),
    ExpertView("8", "Pavel", "Lead Researcher", "R&D"),
)


def name_for(title: str, description: str = "", **facts: object) -> str | None:
    decision = assign(AssignTask(title, description, **facts), Team(TEAM, loads={}))  # type: ignore[arg-type]
    return next((e.name for e in TEAM if e.id == decision.expert_id), None)


@pytest.mark.parametrize(
    ("title", "description", "expected"),
    [
        ("Fix the REST endpoint", "The API of orders answers 500 from Postgres", "Игорь"),
        ("Исправить серверный код", "Медленный запрос к базе данных PostgreSQL", "Игорь"),
        ("Обучить нейросеть", "Собрать датасет и проверить embedding", "Дмитрий"),
        ("Train a classifier", "A machine learning model on our dataset", "Дмитрий"),
        ("Покрыть тестами модуль", "Нужны регрессионные тесты на pytest", "Анна"),
        ("Рекламная кампания", "План для соцсетей, целевая аудитория и SEO", "Мария"),
        ("Marketing plan", "Advertising campaign for the brand", "Мария"),
        ("Проверить договор", "Лицензия и риски по закону", "Елена"),
        ("Review the contract", "Is the license compliant with GDPR?", "Елена"),
        ("Deploy to Kubernetes", "Docker images and monitoring", "Sergey"),
        ("Reduce latency", "Profile the hot path and benchmark throughput", "Olga"),
        ("Эксперимент", "Проверить гипотезу научного исследования", "Pavel"),
    ],
)
def test_the_text_of_a_task_finds_its_department(
    title: str, description: str, expected: str
) -> None:
    assert name_for(title, description) == expected


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("Мария", "Мария"),
        ("мария", "Мария"),
        ("QA Engineer", "Анна"),
        ("юрист", "Елена"),
        ("backend", "Игорь"),
        ("R&D", "Pavel"),
        ("performance engineer", "Olga"),
        ("7", "Sergey"),
        ("юридический", "Елена"),
    ],
)
def test_a_hint_wins_over_the_text(hint: str, expected: str) -> None:
    assert name_for("Train a neural network", assignee_hint=hint) == expected


def test_a_hint_that_means_nobody_is_named_and_the_text_decides() -> None:
    decision = assign(AssignTask("Deploy with Docker", assignee_hint="Zed"), Team(TEAM, loads={}))

    assert decision.expert_id == "7"
    assert 'the hint "Zed" is nobody\'s name' in decision.reason


def test_a_hint_that_is_nearly_a_name_is_told_with_it() -> None:
    name = TEAM[0].name

    decision = assign(
        AssignTask("Deploy with Docker", assignee_hint=f"{name[:2]}x{name[2:]}"),
        Team(TEAM, loads={}),
    )

    assert f"perhaps {name} is meant; " in decision.reason


def test_a_hint_to_somebody_inactive_is_named_and_the_text_decides() -> None:
    team = (*TEAM, ExpertView("9", "Vera", "Writer", "Docs", active=False))

    decision = assign(AssignTask("Deploy with Docker", assignee_hint="Vera"), Team(team, loads={}))

    assert decision.expert_id == "7"
    assert '"Vera" is not active' in decision.reason


def test_of_two_who_fit_the_one_with_less_work_takes_it() -> None:
    team = (*TEAM, ExpertView("9", "Zoya", "Backend Developer", "Backend"))
    task = AssignTask("Fix the REST endpoint")

    busy = assign(task, Team(team, loads={"1": 4, "9": 1}))
    idle = assign(task, Team(team, loads={"1": 1, "9": 1}))

    assert busy.expert_id == "9"
    assert (
        "has more open tasks (4, the chosen one 1)"
        in {r.option: r.reason for r in busy.rejected}["Игорь"]
    )
    assert idle.expert_id == "9"


@pytest.mark.parametrize(("title", "expected"), [("Исправь код", "1"), ("Fix the code", "9")])
def test_of_two_with_the_same_work_the_one_who_shares_the_tasks_script_takes_it(
    title: str, expected: str
) -> None:
    team = (*TEAM, ExpertView("9", "Zoya", "Backend Developer", "Backend"))

    assert assign(AssignTask(title), Team(team, loads={})).expert_id == expected


def test_much_work_does_not_send_a_task_to_a_stranger_of_the_field() -> None:
    assert assign(AssignTask("Fix the REST endpoint"), Team(TEAM, loads={"1": 50})).expert_id == "1"


def test_a_text_that_matches_nobody_goes_to_the_least_loaded() -> None:
    loads = {expert.id: 3 for expert in TEAM} | {"6": 1}

    decision = assign(AssignTask("Lorem ipsum dolor"), Team(TEAM, loads=loads))

    assert decision.expert_id == "6"
    assert "no department fits better" in decision.reason


def test_the_domain_of_a_task_counts() -> None:
    assert name_for("Lorem ipsum", domain="QA") == "Анна"


def test_a_category_counts_where_the_text_says_nothing() -> None:
    assert name_for("Lorem ipsum", category=Category.CODING) == "Игорь"


@pytest.mark.parametrize("team", [(), (ExpertView("1", "Vera", active=False),)])
def test_nobody_active_is_a_decision_that_says_so(team: tuple[ExpertView, ...]) -> None:
    decision = assign(AssignTask("Anything", preferred_source="mlx"), Team(team, loads={}))

    assert decision.expert_id is None
    assert decision.preferred_source == "mlx"
    assert "expert" in decision.reason


@pytest.mark.parametrize(
    ("department", "source"),
    [
        ("ML", "mlx"),
        ("ML/AI", "mlx"),
        ("Machine LearnedFigures", "mlx"),
        ("Backend", "mlx"),
        ("Backend Development", "mlx"),
        ("Бэкенд", "mlx"),
        ("R&D", "mlx"),
        ("R & D", "mlx"),
        ("R and D", "mlx"),
        ("НИОКР", "mlx"),
        ("Back-end", "mlx"),
        ("Forschung und Entwicklung", "mlx"),
        ("研发部", "mlx"),
        ("Legal", "ollama"),
        ("Performance", "mlx"),
        ("Frontend", "ollama"),
        ("Marketing", "ollama"),
        ("Маркетинг", "ollama"),
        ("HTML", "ollama"),
        ("Data models", "ollama"),
        ("Исследования и разработки", "mlx"),
        ("", "ollama"),
    ],
)
def test_a_department_prefers_a_backend(department: str, source: str) -> None:
    assert preferred_source(department) == source


def test_a_creators_own_source_is_kept() -> None:
    task = AssignTask("Обучить нейросеть", preferred_source="ollama")

    decision = assign(task, Team(TEAM, loads={}))

    assert decision.preferred_source == "ollama"
    assert "its creator chose" in decision.reason


def test_the_reason_and_those_passed_over_are_recorded() -> None:
    decision = assign(AssignTask("Deploy with Docker"), Team(TEAM, loads={"7": 2}))

    assert decision.reason == (
        "Sergey (DevOps/SRE) fits best by devops and has 2 open tasks; "
        "ollama suits the department DevOps/SRE"
    )
    assert len(decision.rejected) == 5
    assert all(rejected.reason for rejected in decision.rejected)


@given(
    title=st.text(max_size=60),
    hint=st.none() | st.text(max_size=20),
    order=st.permutations(TEAM),
    loads=st.dictionaries(st.sampled_from([e.id for e in TEAM]), st.integers(0, 9)),
)
def test_the_order_of_the_experts_changes_nothing(
    title: str, hint: str | None, order: list[ExpertView], loads: dict[str, int]
) -> None:
    task = AssignTask(title, assignee_hint=hint)

    assert assign(task, Team(order, loads=loads)) == assign(task, Team(TEAM, loads=loads))
