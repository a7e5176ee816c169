"""Lines of a batch as tasks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from console.web.batches.disk import Disk
from console.web.batches.mapping import (
    as_submission,
    custom_id_of,
    error_line,
    output_line,
)
from jobs.policy.chat_task import ChatTaskError
from jobs.policy.metadata import Submission, check_submission
from models.batch import BatchLine

URL = "/v1/chat/completions"
USER = {"role": "user", "content": "Explain a lease."}


def _mapped(**body: Any) -> dict[str, Any]:
    line = {"custom_id": "a", "method": "POST", "url": URL, "body": {"messages": [USER], **body}}
    return as_submission(line, key="batch_1:1", models={"phi3.5:3.8b"})


def test_a_plain_line_becomes_a_task_that_is_accepted() -> None:
    value = _mapped(model="phi3.5:3.8b", max_completion_tokens=5, temperature=0.2)

    checked = check_submission(value)

    assert isinstance(checked, Submission)
    assert checked.description == "Explain a lease."
    assert checked.custom_id == "batch_1:1"
    assert checked.model == "phi3.5:3.8b"
    assert checked.metadata["max_tokens"] == 5


def test_system_texts_are_kept_and_an_earlier_exchange_stands_before_the_question() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {"role": "assistant", "content": "Hi"},
        USER,
    ]

    value = _mapped(messages=messages)

    assert value["metadata"] == {"verbatim": True, "system": "Be brief."}
    assert value["description"] == "user: Hello\n\nassistant: Hi\n\nuser: Explain a lease."


@pytest.mark.parametrize("model", [None, "", "auto", "Default"])
def test_any_model_may_be_left_to_the_planner(model: str | None) -> None:
    assert "model" not in _mapped(model=model)


def test_a_schema_is_taken_over() -> None:
    schema = {"type": "object", "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}

    assert _mapped(response_format=wanted)["schema"] == schema
    assert _mapped(response_format={"type": "json_object"})["schema"] == {"type": "object"}
    assert "schema" not in _mapped(response_format={"type": "text"})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"messages": None}, "invalid_messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "invalid_messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "invalid_messages"),
        ({"messages": [{"role": "user", "content": " "}]}, "invalid_messages"),
        ({"messages": ["x"]}, "invalid_messages"),
        ({"model": "gpt-9"}, "model_not_found"),
        ({"model": 5}, "invalid_model"),
        ({"n": 2}, "invalid_parameter"),
        ({"tools": [{}]}, "invalid_parameter"),
        ({"stream": True}, "invalid_parameter"),
        ({"response_format": {"type": "xml"}}, "invalid_response_format"),
        ({"response_format": {"type": "json_schema"}}, "invalid_response_format"),
    ],
)
def test_what_is_not_served_is_named(body: dict[str, Any], code: str) -> None:
    with pytest.raises(ChatTaskError) as refused:
        _mapped(**body)

    assert refused.value.code == code


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"max_tokens": "many"}, "max_tokens: expected"),
        ({"max_completion_tokens": 0, "max_tokens": 5}, "max_completion_tokens: "),
        ({"max_completion_tokens": None, "max_tokens": 0}, "max_tokens: "),
        ({"temperature": 9}, "temperature: "),
        ({"seed": "x"}, "seed: "),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 5}}}},
            "response_format: ",
        ),
        ({"messages": [{"role": "user", "content": "a\0b"}]}, "messages[0].content: "),
        ({"user": float("nan")}, "user: "),
    ],
)
def test_a_problem_names_the_field_as_the_body_does(body: dict[str, Any], message: str) -> None:
    with pytest.raises(ChatTaskError) as refused:
        _mapped(**body)

    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("line", [None, [], "x", {}, {"url": URL}, {"url": URL, "body": 5}])
def test_what_is_no_request_is_refused(line: object) -> None:
    with pytest.raises(ChatTaskError):
        as_submission(line, key="k", models=None)


def test_answers_and_failures_have_the_official_shape() -> None:
    row = BatchLine(3, "a", "t", status="completed", result="Yes", model="m", ended_at=5,
                    prompt_tokens=1)  # fmt: skip

    good = output_line("batch_x", row)
    bad = error_line("batch_x", replace(row, status="failed", last_error="late"), ended="completed")

    assert good["response"]["body"]["choices"][0]["message"]["content"] == "Yes"
    assert good["response"]["body"]["usage"]["total_tokens"] == 1
    assert (bad["response"], bad["error"]) == (None, {"code": "task_failed", "message": "late"})


@pytest.mark.parametrize("name", ["", "..", "file-", "file-../../etc/passwd", "/etc/passwd"])
def test_a_file_is_found_by_an_id_of_ours_only(tmp_path: Any, name: str) -> None:
    with pytest.raises(ValueError, match="not the id"):
        Disk(tmp_path).path(name)


def test_a_file_that_breaks_off_leaves_nothing(tmp_path: Any) -> None:
    def broken() -> Any:
        yield b"half"
        raise OSError("disk full")

    disk, file_id = Disk(tmp_path), "file-" + "0" * 24
    with pytest.raises(OSError, match="disk full"):
        disk.write(file_id, broken())

    assert list((tmp_path / "files").iterdir()) == []


def test_what_the_line_says_of_drawing_is_taken_over() -> None:
    value = _mapped(temperature=0, top_p=0.5, stop=["END"], seed=7, max_tokens=1)

    checked = check_submission(value)

    assert isinstance(checked, Submission)
    assert checked.metadata == {
        "verbatim": True, "max_tokens": 1, "temperature": 0, "top_p": 0.5, "stop": ["END"],
        "seed": 7,
    }  # fmt: skip


def test_a_number_is_a_custom_id_and_the_finish_reason_is_told() -> None:
    assert custom_id_of({"custom_id": 17}) == "17"
    row = BatchLine(1, "17", "t", result="Hi", finish_reason="length")

    assert (
        output_line("batch_1", row)["response"]["body"]["choices"][0]["finish_reason"] == "length"
    )
