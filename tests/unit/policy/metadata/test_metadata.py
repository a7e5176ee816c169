from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.metadata import Delegate, SecondOpinion, TaskOptions, read
from llm.types import Category

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
KEYS = [name for name in TaskOptions.__dataclass_fields__ if name != "problems"] + ["file_path"]


def problem(metadata: object) -> str:
    problems = read(metadata).problems
    assert len(problems) == 1, problems
    return str(problems[0])


def test_no_metadata_gives_the_defaults() -> None:
    assert read(None) == read({}) == TaskOptions()


def test_every_key_that_is_right_is_read() -> None:
    options = read(
        {
            "preferred_source": "MLX",
            "preferred_model": "qwen2.5:32b",
            "required_backend": "gpu-2",
            "category": "Coding",
            "source": "dashboard_scout",
            "file_path": "a.py",
            "file_paths": ["b.py", "a.py"],
            "keywords": ["lease"],
            "bug_probability": 0.4,
            "assignee_hint": "Анна",
            "response_schema": {"type": "object"},
            "max_tokens": 500,
            "num_ctx": 8192,
            "complex": True,
            "delegate": "veronica",
            "validator": "llm",
            "language": "Русский",
            "required_parts": ["Риски"],
        }
    )

    assert options == TaskOptions(
        preferred_source="mlx",
        required_model="qwen2.5:32b",
        required_backend="gpu-2",
        category=Category.CODING,
        source="dashboard_scout",
        file_paths=("a.py", "b.py"),
        keywords=("lease",),
        bug_probability=0.4,
        assignee_hint="Анна",
        response_schema={"type": "object"},
        max_tokens=500,
        num_ctx=8192,
        complex=True,
        delegate=Delegate.VERONICA,
        validator=SecondOpinion.LLM,
        language="ru",
        required_parts=("Риски",),
    )


def test_an_older_creators_own_keys_are_left_alone() -> None:
    assert read({"session": 7, "assigned_by": "orchestrator"}) == TaskOptions()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"category": "codng"}, 'category: unknown value "codng"; did you mean coding?'),
        ({"category": "zzz"}, "write one of default, fast, coding, reasoning, vision"),
        ({"category": 3}, "category: expected one of default, fast, coding, reasoning, vision"),
        ({"preferred_source": ["mlx"]}, "preferred_source: expected text in quotes, got a list"),
        ({"preferred_model": "  "}, "preferred_model: is blank"),
        (
            {"file_paths": "a.py"},
            'file_paths: expected a list of texts, got "a.py"; write ["a.py"]',
        ),
        ({"file_paths": {"a": 1}}, "file_paths: expected a list of texts, got an object"),
        ({"file_paths": ["a.py", 5]}, "file_paths[1]: expected some text, got the number 5"),
        ({"keywords": "lease"}, 'keywords: expected a list of texts, got "lease"'),
        ({"bug_probability": "0.5"}, 'bug_probability: expected a number, got "0.5"'),
        (
            {"bug_probability": 1.5},
            "bug_probability: is the number 1.5; write a number from 0 to 1",
        ),
        ({"bug_probability": float("nan")}, "bug_probability: is the number nan"),
        ({"bug_probability": True}, "bug_probability: expected a number, got true"),
        ({"max_tokens": 0}, "max_tokens: is the number 0; write a whole number from 1"),
        ({"max_tokens": 10**400}, "max_tokens: is a number; write a whole number"),
        ({"max_tokens": "many"}, 'max_tokens: expected a whole number, got "many"'),
        ({"max_tokens": 1.5}, "max_tokens: expected a whole number, got the number 1.5"),
        ({"num_ctx": -1}, "num_ctx: is the number -1"),
        ({"complex": "yes"}, 'complex: expected true or false, got "yes"; write it unquoted'),
        ({"delegate": "viktoria"}, 'delegate: unknown value "viktoria"; did you mean victoria?'),
        ({"validator": "gpt"}, 'validator: unknown value "gpt"'),
        ({"response_schema": "object"}, "response_schema: expected a JSON Schema object"),
        ({"response_schema": {"type": "objekt"}}, "response_schema: is not a valid JSON Schema"),
        (
            {"response_schema": {"$ref": "http://127.0.0.1/x"}},
            'response_schema: refers to "http://127.0.0.1/x"',
        ),
        ({"response_schema": {"pattern": "("}}, "which is not served: missing"),
        ({"response_schema": {"pattern": "(?=a)b"}}, "which is not served: invalid perl"),
        ({"response_schema": {"patternProperties": {"[": {}}}}, "which is not served: missing"),
        ({"language": "klingon"}, 'language: unknown value "klingon"; write ru or en'),
        ([1, 2], "metadata: expected an object, got a list"),
        ("{broken", 'metadata: expected an object, got "{broken"'),
        (17, "metadata: expected an object, got the number 17"),
    ],
)
def test_a_wrong_field_is_named_with_what_to_write(metadata: object, message: str) -> None:
    assert message in problem(metadata)


def test_a_wrong_field_leaves_the_others_in_force() -> None:
    options = read({"max_tokens": "many", "category": "fast"})

    assert options.category is Category.FAST
    assert options.max_tokens is None


def test_metadata_dumped_twice_is_understood_and_named() -> None:
    options = read(json.dumps({"category": "fast"}))

    assert options.category is Category.FAST
    assert "write it unquoted" in str(options.problems[0])


@pytest.mark.parametrize(("value", "expected"), [(True, Delegate.AUTO), (False, None)])
def test_delegate_may_be_left_to_the_rule(value: bool, expected: Delegate | None) -> None:
    assert read({"delegate": value}) == TaskOptions(delegate=expected)


def test_a_schema_nested_without_end_is_a_problem_not_a_crash() -> None:
    schema: dict[str, object] = {}
    for _ in range(3000):
        schema = {"not": schema}

    assert "response_schema" in problem({"response_schema": schema})


@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING) | ANYTHING)
def test_nothing_a_stranger_writes_raises(metadata: object) -> None:
    options = read(metadata)

    assert all(found.field and found.message for found in options.problems)
