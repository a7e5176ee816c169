"""Each reason for which the judge rejects an answer says what to do."""

from __future__ import annotations

import ast

import pytest

from console.operations.remedies import OTHERWISE, remedy_of
from jobs.settings.load import PROJECT


def codes_of_the_judge() -> set[str]:
    """The second argument of every finding, and every ``code``, as they stand in its modules."""
    found: list[ast.expr] = []
    for module in (PROJECT / "jobs" / "policy" / "validation").glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                found += node.args[1:2] if node.func.id == "Finding" else []
                found += [keyword.value for keyword in node.keywords if keyword.arg == "code"]
    constants = (node.value for node in found if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


@pytest.mark.parametrize("code", sorted(codes_of_the_judge()))
def test_a_rejected_answer_says_what_to_do(code: str) -> None:
    assert remedy_of(code) != OTHERWISE


def test_the_judge_has_many_reasons() -> None:
    assert len(codes_of_the_judge()) >= 14
