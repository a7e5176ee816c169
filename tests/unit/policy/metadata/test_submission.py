from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.metadata import Submission, check_submission
from llm.types import Category
from models.states import Priority

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


def problems(line: object) -> list[str]:
    result = check_submission(line)
    assert not isinstance(result, Submission), result
    return [str(problem) for problem in result]


def accepted(line: object) -> Submission:
    result = check_submission(line)
    assert isinstance(result, Submission), result
    return result


def test_a_description_is_enough() -> None:
    submission = accepted({"description": "\n  Summarise the report\nin five lines"})

    assert submission.title == "Summarise the report"
    assert submission.priority is Priority.MEDIUM
    assert submission.metadata == {}


def test_a_long_first_line_is_cut_into_a_title() -> None:
    submission = accepted({"description": "word " * 100})

    assert len(submission.title) <= 80
    assert submission.title.endswith("…")


def test_every_field_of_the_contract_is_read() -> None:
    submission = accepted(
        {
            "title": "T",
            "description": "D",
            "custom_id": "b",
            "priority": "Urgent",
            "category": "coding",
            "expert": "Anna",
            "backend": "mlx",
            "model": "qwen",
            "after": ["a"],
            "schema": {"type": "object"},
            "files": ["x.py"],
            "metadata": {"keywords": ["k"], "theirs": 1},
        }
    )

    assert submission.priority is Priority.URGENT
    assert submission.category is Category.CODING
    assert submission.after == ("a",)
    assert submission.metadata == {
        "keywords": ["k"],
        "theirs": 1,
        "category": "coding",
        "assignee_hint": "Anna",
        "required_backend": "mlx",
        "preferred_model": "qwen",
        "response_schema": {"type": "object"},
        "file_paths": ["x.py"],
    }


def test_files_of_the_line_join_those_of_its_metadata() -> None:
    line = {"description": "d", "files": ["a", "b"], "metadata": {"file_paths": ["b", "c"]}}

    assert accepted(line).metadata == {"file_paths": ["a", "b", "c"]}


def test_null_means_left_out() -> None:
    line = {"description": "d", "priority": None, "after": None, "metadata": None, "schema": None}

    assert accepted(line) == accepted({"description": "d"})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "line: expected an object, got a list"),
        ("text", 'line: expected an object, got "text"'),
        (None, "line: expected an object, got null"),
        ({}, "description: is missing"),
        ({"description": None}, "description: is missing"),
        ({"description": " \n"}, "description: is blank"),
        ({"description": 5}, "description: expected text in quotes, got the number 5"),
        ({"description": "a\x00b"}, "description: holds a NUL character at position 1"),
        ({"description": "\ud800"}, "description: holds half a surrogate pair at position 0"),
        ({"description": "я" * 600_000}, "description: has 1200000 bytes; at most 1000000 (1 MB)"),
        ({"description": "d", "title": "t" * 256}, "title: has 256 characters; at most 255"),
        (
            {"description": "d", "priority": "hihg"},
            'priority: unknown value "hihg"; did you mean high?',
        ),
        (
            {"description": "d", "priority": 1},
            "priority: expected one of low, medium, high, urgent",
        ),
        ({"description": "d", "category": "fsat"}, "did you mean fast?"),
        (
            {"description": "d", "custom_id": 17},
            "custom_id: expected text in quotes, got the number 17",
        ),
        ({"description": "d", "custom_id": "x" * 256}, "custom_id: has 256 characters"),
        (
            {"description": "d", "after": "a"},
            'after: expected a list of texts, got "a"; write ["a"]',
        ),
        ({"description": "d", "after": [""]}, 'after[0]: expected some text, got ""'),
        ({"description": "d", "custom_id": "a", "after": ["a"]}, "after: names the task itself"),
        ({"description": "d", "schema": []}, "schema: expected a JSON Schema object"),
        (
            {"description": "d", "schema": {"type": 5}},
            "schema: is not a valid JSON Schema: at $.type",
        ),
        ({"description": "d", "files": {"a": 1}}, "files: expected a list of texts, got an object"),
        ({"description": "d", "metadata": 5}, "metadata: expected an object, got the number 5"),
        ({"description": "d", "metadata": {"max_tokens": "x"}}, "metadata.max_tokens: expected"),
        ({"description": "d", "metadata": {"a": {"b": "\x00"}}}, "metadata.a.b: holds a NUL"),
        ({"description": "d", "metadata": {"\x00": 1}}, "holds a NUL character"),
        ({"description": "d", "metadata": {"a": [float("inf")]}}, "metadata.a[0]: is not a finite"),
        (
            {"description": "d", "metadata": {"a": ["x" * 1000] * 2000}},
            "metadata: has more than 1000000 bytes (1 MB) in all",
        ),
        (
            {"description": "d", "metadata": {"a": [0] * 200_000}},
            "metadata: has more than 100000 parts",
        ),
        ({"descripton": "d"}, "descripton: is not a known key; did you mean description?"),
        ({"description": "d", "modle": "m"}, "modle: is not a known key; did you mean model?"),
        (
            {"description": "d", "zzz": 1},
            "zzz: is not a known key; write one of title, description",
        ),
    ],
)
def test_a_bad_line_names_its_field(line: object, message: str) -> None:
    found = problems(line)

    assert any(message in told for told in found), found


def test_every_wrong_field_of_a_line_is_named_at_once() -> None:
    found = problems({"description": " ", "priority": "x", "after": 5})

    assert [told.split(":")[0] for told in found] == ["description", "after", "priority"]


def test_metadata_nested_without_end_is_refused() -> None:
    deep: object = 1
    for _ in range(5000):
        deep = [deep]

    assert "nested deeper than 64" in problems({"description": "d", "metadata": {"a": deep}})[0]


@given(
    st.dictionaries(
        st.sampled_from(["title", "description", "priority", "after", "schema", "metadata", "x"]),
        ANYTHING,
    )
    | ANYTHING
)
def test_whatever_is_accepted_can_be_stored(line: object) -> None:
    result = check_submission(line)

    if isinstance(result, Submission):
        stored = json.dumps(dict(result.metadata), allow_nan=False)
        assert "\\u0000" not in stored
        assert result.description.strip()
    else:
        assert result
