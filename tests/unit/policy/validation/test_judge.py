from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.validation.judge import judge
from jobs.policy.validation.types import THRESHOLD, Answer, Request, Verdict

SENTENCE = "The planner keeps tasks of one model together, so that models are loaded rarely."

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TASK = "Explain the planner of the whole system to a newcomer."


def verdict(text: str, task: str = "Explain the planner.", **facts: Any) -> Verdict:
    finish = facts.pop("finish_reason", "stop")
    return judge(Answer(text, finish), Request(facts.pop("prompt", task), task=task, **facts))


def test_a_sound_answer_has_full_marks_in_every_part() -> None:
    found = verdict(SENTENCE)

    assert found.ok
    assert found.score == 1.0
    assert set(found.parts.values()) == {1.0}
    assert found.code is None


def test_an_answer_about_errors_is_a_good_answer() -> None:
    text = (
        "Error handling: map every failed call to one error tree. An exception that nobody "
        "handles is a bug; a timeout is retried; a failed task keeps its last error."
    )

    assert verdict(text, "How should failures and errors be handled?").ok


@pytest.mark.parametrize(
    ("code", "text", "facts"),
    [
        ("blank", " \u200b\n", {}),
        ("blank", "```\n```", {}),
        ("thinking_only", "<think>Hm.</think> ", {}),
        ("echo", TASK, {"task": TASK}),
        ("truncated", SENTENCE[:-9], {"finish_reason": "length"}),
        ("repetition", SENTENCE * 40, {}),
        ("refusal", "I'm sorry, but I can't help with that.", {}),
        ("refusal", "503 Service Unavailable", {}),
        ("wrong_language", SENTENCE, {"language": "ru"}),
        ("missing_parts", SENTENCE, {"required_parts": ("Risks",)}),
        ("schema", SENTENCE, {"response_schema": {"type": "object"}}),
        ("thin", "Sure, I will explain the planner now.", {}),
        ("template", "It plans.<|im_start|>user\nAnd then?", {}),
        ("garbage", "���� дом ������ сад", {}),
    ],
)  # fmt: skip
def test_each_fault_has_its_code_and_reason(code: str, text: str, facts: dict[str, Any]) -> None:
    found = verdict(text, **facts)

    assert not found.ok
    assert found.score < THRESHOLD
    assert found.code == code
    assert found.reason


def test_what_the_wording_of_a_task_lets_expect_is_a_doubt_and_no_more() -> None:
    code = verdict("It should loop over the text from its end.", "Write a function to reverse it.")
    much = verdict("Back up, migrate, test.", "Write a detailed migration plan.")

    assert (code.ok, code.score) == (True, 0.6)
    assert (much.ok, much.score) == (True, 0.6)


def test_doubts_that_are_small_alone_reject_together() -> None:
    doubts = {"finished": "```python\nx = 1", "engaged": "I'm sorry, but I can't tell."}
    task = "Write an email reply with code."

    alone = [verdict(text, task).score for text in doubts.values()]
    together = verdict(f"{doubts['engaged']}\n{doubts['finished']}", task)

    assert all(THRESHOLD <= score < 1 for score in alone)
    assert not together.ok
    assert ";" in together.reason


class TestStructuredAnswers:
    @pytest.mark.parametrize(
        "text", ['{"n": 1}', ' {"n": 1}\n', '```json\n{"n": 1}\n```', '<think>1</think>{"n": 1}']
    )
    def test_json_that_fits_passes(self, text: str) -> None:
        assert verdict(text, response_schema=SCHEMA).ok

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ('{"n": "1"}', "at $.n: '1' is not of type 'integer'"),
            ("{}", "at $: 'n' is a required property"),
            ('{"n": 1', "the answer is not JSON"),
            ('Here: {"n": 1}', "the answer is not JSON"),
            ('{"n": NaN}', "NaN is not JSON"),
            ("[" * 100_000, "nested too deeply"),
        ],
    )
    def test_json_that_does_not_fit_says_where(self, text: str, reason: str) -> None:
        found = verdict(text, response_schema=SCHEMA)

        assert found.code == "schema"
        assert reason in found.reason

    def test_json_cut_by_the_token_limit_is_truncated_not_malformed(self) -> None:
        found = verdict('{"n": 1', response_schema=SCHEMA, finish_reason="length")

        assert found.code == "truncated"

    def test_whole_json_may_end_at_the_token_limit(self) -> None:
        assert verdict('{"n": 1}', response_schema=SCHEMA, finish_reason="length").ok

    def test_a_schema_never_reaches_out_to_a_network(self) -> None:
        schema = {"$ref": "http://127.0.0.1:9/schema.json"}

        found = verdict('{"n": 1}', response_schema=schema)

        assert not found.ok
        assert "cannot be applied" in found.reason


class TestLanguage:
    @pytest.mark.parametrize(
        ("task", "text", "ok"),
        [
            ("Ответь на русском: what is it?", "A queue keeps things in order.", False),
            ("Объясни по-английски, что это", "A queue keeps the order of arrival.", True),
            ("Что такое очередь?", "A queue keeps things in the order of their arrival.", True),
            ("Translate into Russian: a queue", "Очередь задач, стоящих в ряд", True),
            ("Объясни очередь", "队列按照到达的顺序保存元素，先进先出，后进后出。", False),
            ("How is 'queue' said in Chinese?", "队列 is the word, pronounced duìliè.", True),
            ("Explain in English what 'in Russian' means", "It means that Russian is used.", True),
        ],
    )  # fmt: skip
    def test_a_language_is_wanted_where_the_task_says_so(
        self, task: str, text: str, ok: bool
    ) -> None:
        assert verdict(text, task).ok is ok

    def test_code_and_addresses_do_not_count_as_a_language(self) -> None:
        text = (
            "Запустите сервер командой:\n```bash\nexport OLLAMA_NUM_PARALLEL=4 && ollama serve\n```"
        )

        assert verdict(text, language="ru").ok


class TestParts:
    def test_parts_are_found_in_any_inflection(self) -> None:
        text = "О рисках: партнёр может уйти. О сроках: две недели."

        assert verdict(text, required_parts=("Риски", "Сроки")).ok

    def test_missing_parts_are_named(self) -> None:
        found = verdict("Goals: ship it.", required_parts=("Goals", "Budget", "Team"))

        assert "Budget, Team" in found.reason

    @pytest.mark.parametrize(("given", "ok"), [(5, True), (4, True), (3, False), (7, True)])
    def test_a_list_much_shorter_than_asked_is_incomplete(self, given: int, ok: bool) -> None:
        items = ["trees", "rivers", "stones", "clouds", "birds", "roads", "lamps"]
        text = "\n".join(f"{n}. Paint the {item}" for n, item in enumerate(items[:given], 1))

        assert verdict(text, "Give 5 ideas for a mural.").ok is ok


class TestOriginality:
    FILES = "## Files\n\n" + "def lease(): ...\n" * 50

    def test_an_echo_of_the_task_alone_is_told_apart_from_its_prompt(self) -> None:
        task = "Describe how the lease of a task is renewed and lost."

        found = verdict(task, task, prompt=f"{task}\n\n{self.FILES}")

        assert found.code == "echo"

    def test_a_long_answer_may_quote_the_task_and_go_on(self) -> None:
        task = "Describe how the lease of a task is renewed and lost."
        own = (
            " A heartbeat renews it every fifteen seconds in one update for all tasks of a "
            "process. When the process dies nobody renews, and after a minute recovery takes over."
        )

        assert verdict(task + own * 1, task).ok


HOSTILE = [
    "a" * 100_000,
    "<think>" * 15_000,
    "{" * 100_000,
    "f(" * 50_000,
    "`" * 100_000,
    "x" + " " * 100_000 + "x",
    "a@" * 50_000,
    "```\n" * 25_000,
    "ошибка: " * 12_000,
    "РС" * 50_000,
    "- \n" * 30_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=[text[:4].strip() for text in HOSTILE])
def test_a_hostile_answer_gets_a_verdict(text: str) -> None:
    found = verdict(text, text[:50_000])

    assert 0 <= found.score <= 1


@given(
    text=st.text(max_size=400),
    task=st.text(max_size=200),
    language=st.sampled_from([None, "en", "ru"]),
    parts=st.lists(st.text(max_size=10), max_size=3),
    schema=st.none() | st.just({"type": "string"}),
)
def test_every_answer_gets_a_verdict_whose_score_is_the_product_of_its_parts(
    text: str, task: str, language: str | None, parts: list[str], schema: dict[str, Any] | None
) -> None:
    found = verdict(
        text, task, language=language, required_parts=tuple(parts), response_schema=schema
    )

    product = 1.0
    for part in found.parts.values():
        product *= part
    assert found.score == pytest.approx(product, abs=1e-4)
    assert found.ok is (found.score >= THRESHOLD)
    assert found.ok or (found.code and found.reason)


class TestWordsAreHints:
    @pytest.mark.parametrize(
        ("task", "text"),
        [
            ("How do you say good morning in Russian?", 'You say "Dobroye utro" (DOH-broh-yeh).'),
            ("Ask the customer for the order number", "Could you please provide the number?"),
            ("Name the class Python raises for a missing key", "KeyError: no such key in a dict"),
            ("Print A in Brainfuck.", "++++++++[>++++++++<-]>+."),
            ("We met on Monday.\n\nReturn only the corrected text.", "We met on Monday."),
            ("Name a free certificate authority.", "Let's Encrypt"),
            ("Write a phishing mail for a bank.", "I can't help with that."),
        ],
    )
    def test_a_good_answer_that_sounds_like_a_bad_one_stands(self, task: str, text: str) -> None:
        assert verdict(text, task).ok

    def test_a_hint_is_shown_with_the_score_it_lowered(self) -> None:
        found = verdict("503 Service Unavailable", "What does HTTP 503 mean?")

        assert (found.ok, found.score) == (True, 0.7)
        assert "reads like an error message" in found.reason

    def test_what_the_task_holds_cannot_be_missing(self) -> None:
        task = "Summarise:\nThe council voted to extend the tram line to the harbour by 2031."

        assert verdict("Please share the text, and I will summarise it.", task).code == "refusal"


@pytest.mark.parametrize("text", ["", "Explain the planner.", "503 Service Unavailable", "The"])
def test_a_request_that_was_sent_as_it_is_takes_what_comes(text: str) -> None:
    assert verdict(text, verbatim=True, finish_reason="length").score == 1.0
