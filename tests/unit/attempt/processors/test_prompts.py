from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobs.attempt.prompts import DependencyResult, Persona, Prompt, build, system_text, task_text


def built(**facts: object) -> Prompt:
    defaults: dict[str, object] = {
        "title": "Summarise",
        "description": "Summarise the report",
        "budget_tokens": 4000,
    }
    return build(Persona("Anna"), **(defaults | facts))  # type: ignore[arg-type]


def test_a_persona_with_a_prompt_speaks_for_itself() -> None:
    assert system_text(Persona("Anna", system_prompt="  You are blunt. ")) == "You are blunt."


def test_a_persona_without_a_prompt_gets_one_from_its_role() -> None:
    said = system_text(Persona("Anna", "QA Engineer", "Quality"))

    assert said.startswith("You are Anna, QA Engineer of the department Quality.")


def test_a_title_that_the_description_repeats_is_said_once() -> None:
    assert task_text("Fix it…", "Fix it in the parser") == "Fix it in the parser"
    assert task_text("Same", "Same") == "Same"
    assert task_text("Parser", "Fix it") == "Parser\n\nFix it"
    assert task_text("Only a title", " ") == "Only a title"


def test_the_user_message_holds_shared_files_then_the_task_and_results() -> None:
    prompt = built(
        context="### a.py\n```\nx = 1\n```",
        dependencies=[DependencyResult("Collect", "three facts")],
        instructions="Be brief.",
    )

    text = prompt.user_text
    places = [text.index(part) for part in ("### a.py", "report", "### Collect", "Be brief.")]
    assert [message.role for message in prompt.messages] == ["system", "user"]
    assert places == sorted(places)
    assert prompt.notes == ()


def test_what_does_not_fit_is_cut_and_named() -> None:
    prompt = built(
        budget_tokens=600,
        context="x = 1\n" * 2000,
        dependencies=[DependencyResult("Collect", "fact. " * 2000)],
    )

    assert prompt.tokens <= 600
    assert prompt.notes == ('the result of "Collect" was cut to fit', "the files were cut to fit")
    assert "Summarise the report" in prompt.user_text


def test_a_task_that_alone_is_too_large_stays_whole_and_is_named() -> None:
    prompt = built(description="word " * 2000, budget_tokens=100, context="x = 1")

    assert "word " * 1999 in prompt.user_text
    assert "over the model's context" in prompt.notes[0]


@given(
    budget=st.integers(300, 3000),
    context=st.text(max_size=3000),
    results=st.lists(st.text(max_size=2000), max_size=4),
)
def test_the_budget_is_kept_whenever_the_task_fits(
    budget: int, context: str, results: list[str]
) -> None:
    prompt = built(
        budget_tokens=budget,
        context=context,
        dependencies=[DependencyResult(f"T{i}", text) for i, text in enumerate(results)],
    )

    assert prompt.tokens <= budget
