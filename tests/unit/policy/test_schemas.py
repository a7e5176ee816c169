"""Schemas of strangers: linear patterns, bounded steps, an end when nobody waits."""

from __future__ import annotations

import time
from typing import Any

import pytest

from jobs.policy.schemas import MAX_STEPS, BudgetSpent, misfit, schema_problem


def doubling(levels: int) -> dict[str, Any]:
    """Each level looks at the next one twice: 2 ** levels looks at the last."""
    parts: dict[str, Any] = {
        f"n{level}": {"allOf": [{"$ref": f"#/$defs/n{level + 1}"}] * 2} for level in range(levels)
    }
    return {"$ref": "#/$defs/n0", "$defs": {**parts, f"n{levels}": {"type": "integer"}}}


def test_a_pattern_that_the_usual_engine_never_ends_is_matched_at_once() -> None:
    schema = {"type": "string", "pattern": r"^(\w+\s?)+$"}
    assert schema_problem(schema) is None
    began = time.thread_time()
    assert misfit(schema, "many words and no end to them " * 200 + ".") is not None
    assert misfit(schema, "many words and no end to them") is None
    assert time.thread_time() - began < 0.5


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "(", "(?<!a)b"])
def test_a_pattern_that_cannot_be_served_is_refused_with_the_reason(pattern: str) -> None:
    problem = schema_problem({"properties": {"x": {"pattern": pattern}}})
    assert problem is not None
    assert "is not served: " in problem


def test_references_that_double_end_with_the_budget() -> None:
    schema = doubling(28)
    assert schema_problem(schema) is None
    with pytest.raises(BudgetSpent, match=str(MAX_STEPS)):
        misfit(schema, 1)


def test_a_check_that_nobody_waits_for_ends_soon() -> None:
    looks = []

    def abandoned() -> bool:
        looks.append(1)
        return len(looks) == 2

    with pytest.raises(BudgetSpent, match="abandoned"):
        misfit(doubling(28), 1, abandoned=abandoned)


def test_unique_items_are_compared_in_one_pass() -> None:
    schema = {"uniqueItems": True}
    rows: list[Any] = [{"n": number} for number in range(20_000)]
    began = time.thread_time()
    assert misfit(schema, rows) is None
    assert misfit(schema, [*rows, {"n": 5.0}]) is not None
    assert misfit(schema, [1, True, "1"]) is None
    assert time.thread_time() - began < 2


@pytest.mark.parametrize(
    ("value", "fits"),
    [({"a1": 1}, True), ({"a1": "x"}, False), ({"b": 1}, False), ({"n": "x"}, True)],
)
def test_names_of_properties_are_matched_by_the_same_engine(
    value: dict[str, Any], fits: bool
) -> None:
    schema = {
        "properties": {"n": {}},
        "patternProperties": {r"^a\d$": {"type": "integer"}},
        "additionalProperties": False,
    }
    assert schema_problem(schema) is None
    assert (misfit(schema, value) is None) is fits
