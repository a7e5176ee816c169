"""Who decides how tokens are drawn, and what a retry changes."""

from __future__ import annotations

import pytest

from jobs.policy import metadata
from jobs.policy.metadata import Submission, check_submission
from jobs.policy.sampling import choose_sampling
from llm.backends.ollama_wire import OllamaChat, described
from llm.backends.openai_wire import OpenAIChat
from llm.types import SERVER_DEFAULTS, Category, GenerateRequest, Message, ModelInfo, Sampling


def chosen(task: Sampling, *faults: str, **others: Sampling) -> Sampling:
    return choose_sampling(
        task,
        expert=others.get("expert", SERVER_DEFAULTS),
        model=others.get("model", SERVER_DEFAULTS),
        category=Category.CODING,
        faults=faults,
    )


def test_the_task_decides_before_its_expert_the_model_and_the_category() -> None:
    expert, model = Sampling(temperature=0.9, top_p=0.8), Sampling(temperature=0.6, top_k=20)
    assert chosen(Sampling(temperature=0.1), expert=expert, model=model) == Sampling(
        temperature=0.1, top_p=0.8, top_k=20
    )
    assert chosen(SERVER_DEFAULTS, model=model) == model
    assert chosen(SERVER_DEFAULTS).temperature == 0.2


def test_a_temperature_of_zero_is_a_wish_like_any_other() -> None:
    assert chosen(Sampling(temperature=0.0), expert=Sampling(temperature=1.0)).temperature == 0.0


@pytest.mark.parametrize("fault", ["echo", "blank", "thinking_only"])
def test_a_retry_after_saying_nothing_draws_with_another_seed_and_hotter(fault: str) -> None:
    again = chosen(Sampling(temperature=0.0, seed=7), fault)
    assert again.temperature == 0.2
    assert again.seed == 8
    assert again.repeat_penalty is None


def test_each_retry_after_a_loop_punishes_repeats_more() -> None:
    once = chosen(Sampling(temperature=0.5), "repetition")
    twice = chosen(Sampling(temperature=0.5), "repetition", "repetition")
    assert (once.repeat_penalty, once.temperature) == (1.1, 0.7)
    assert twice.repeat_penalty == 1.2
    assert twice.temperature == pytest.approx(0.9)


def test_other_faults_change_nothing() -> None:
    wished = Sampling(temperature=0.3, seed=1)
    assert chosen(wished, "timeout", "truncated") == chosen(wished)


def test_metadata_that_is_wrong_is_named_and_the_rest_is_read() -> None:
    options = metadata.read({"temperature": "hot", "top_p": 0.5, "stop": "END", "seed": -1})
    assert options.sampling == Sampling(top_p=0.5, stop=("END",))
    assert [problem.field for problem in options.problems] == ["temperature", "seed"]


def test_a_submitted_line_may_say_it_beside_the_description() -> None:
    line = check_submission({"description": "x", "temperature": 0, "metadata": {"top_k": 3}})
    assert isinstance(line, Submission)
    assert line.metadata == {"temperature": 0.0, "top_k": 3}


def test_each_kind_of_server_gets_it_under_its_own_names() -> None:
    sampling = Sampling(0.1, 0.9, 40, 0.05, 7, ("END",), 1.1)
    request = GenerateRequest("m", (Message("user", "hi"),), 5, sampling=sampling)
    assert OllamaChat().body(request)["options"] == {
        "num_predict": 5, "temperature": 0.1, "top_p": 0.9, "top_k": 40, "min_p": 0.05,
        "seed": 7, "stop": ["END"], "repeat_penalty": 1.1,
    }  # fmt: skip
    body = OpenAIChat().body(request)
    assert {name: body[name] for name in ("temperature", "top_p", "top_k", "min_p", "seed")} == {
        "temperature": 0.1, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "seed": 7,
    }  # fmt: skip
    assert (body["stop"], body["repetition_penalty"]) == (["END"], 1.1)


def test_what_nobody_names_is_left_to_the_server() -> None:
    request = GenerateRequest("m", (Message("user", "hi"),), 5)
    assert OllamaChat().body(request)["options"] == {"num_predict": 5}
    assert not {"temperature", "top_p", "stop", "seed"} & set(OpenAIChat().body(request))


def test_the_authors_values_of_a_model_are_read_from_its_modelfile() -> None:
    shown = {"parameters": 'stop    "<|im_end|>"\ntemperature   0.6\ntop_k  20\nnum_ctx 4096\n'}
    assert described(ModelInfo("m"), shown).sampling == Sampling(temperature=0.6, top_k=20)
    assert described(ModelInfo("m"), {"parameters": ["odd"]}).sampling == SERVER_DEFAULTS
