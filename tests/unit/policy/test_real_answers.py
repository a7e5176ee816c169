"""The judge on answers that a real, tiny model gave: read by eye, kept as they came."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.policy.validation.judge import judge
from jobs.policy.validation.types import Answer, Request

LINES: list[dict[str, Any]] = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "corpus" / "real_answers.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]


def test_thirty_answers_are_there_and_both_verdicts() -> None:
    assert len(LINES) == 30
    assert {line["ok"] for line in LINES} == {True, False}


@pytest.mark.parametrize("line", LINES, ids=[line["prompt"][:40] for line in LINES])
def test_the_judge_says_of_a_real_answer_what_it_said_before(line: dict[str, Any]) -> None:
    answer = Answer(line["answer"], line["finish"])

    verdict = judge(answer, Request(line["prompt"], response_schema=line["schema"]))

    assert (verdict.ok, verdict.code) == (line["ok"], line["code"]), verdict.reason
