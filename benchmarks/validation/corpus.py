"""The labelled answers of ``tests/corpus/answers.jsonl`` and what the judge says of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.policy.validation.judge import judge
from jobs.policy.validation.types import Answer, Request, Verdict
from llm.types import Category

_FOLDER = Path(__file__).resolve().parents[2] / "tests" / "corpus"
CORPUS = _FOLDER / "answers.jsonl"
BLIND = _FOLDER / "blind.jsonl"


@dataclass(frozen=True, slots=True)
class Labelled:
    """An answer with its label. The rules were written against the ``first`` split."""

    id: str
    split: str
    good: bool
    kind: str
    lang: str
    answer: Answer
    request: Request


@dataclass(frozen=True, slots=True)
class Judged:
    labelled: Labelled
    verdict: Verdict

    @property
    def right(self) -> bool:
        return self.labelled.good == self.verdict.ok


def load(path: Path = CORPUS) -> list[Labelled]:
    with path.open(encoding="utf-8") as lines:
        return [_labelled(json.loads(line)) for line in lines]


def judged(corpus: list[Labelled]) -> list[Judged]:
    return [Judged(item, judge(item.answer, item.request)) for item in corpus]


def _labelled(row: dict[str, Any]) -> Labelled:
    request = Request(
        row["task"],
        task=row["task"],
        category=Category(row.get("category", "default")),
        language=row.get("language"),
        required_parts=tuple(row.get("required_parts", ())),
        response_schema=row.get("schema"),
    )
    return Labelled(
        id=row["id"],
        split=row["split"],
        good=row["label"] == "good",
        kind=row["kind"],
        lang=row["lang"],
        answer=Answer(row["answer"], row.get("finish_reason", "stop")),
        request=request,
    )
