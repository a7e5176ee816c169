"""Thirty prompts to the small real model, greedy, and what the judge says of each answer.

    python -m benchmarks.validation.real_answers > tests/corpus/real_answers.jsonl

Read the new file by eye before it replaces the old one: a test holds the judge to it.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jobs.policy.validation.judge import judge
from jobs.policy.validation.types import Answer, Request
from tests.support.mlx_servers import RunningMLXServer, mlx_server
from tests.support.real_model import NAME, real_models

STREAMS = 8
CALL_SECONDS = 300.0
MAX_TOKENS = 96
MOOD = {
    "type": "object",
    "properties": {"mood": {"enum": ["happy", "sad", "angry"]}},
    "required": ["mood"],
    "additionalProperties": False,
}
PROMPTS: tuple[tuple[str, dict[str, Any] | None], ...] = (
    ("What is the capital of France?", None),
    ("What is a queue in computer science? Answer in two sentences.", None),
    ("What is a database? Answer in two sentences.", None),
    ("Why should a company make backups of its data? Answer in two sentences.", None),
    ("What is gravity? Answer in two sentences.", None),
    ("What is photosynthesis? Answer in two sentences.", None),
    ('What is the opposite of the word "cold"? Answer in one sentence.', None),
    ('Rewrite this message so that it is polite: "Send me the report now."', None),
    ('Correct the grammar of this sentence: "She don\'t like apples."', None),
    ("Name three fruits.", None),
    ("List the planets of the solar system.", None),
    ("List three tips for better sleep.", None),
    ("List twenty European capitals with their countries.", None),
    ('Is this review positive or negative? "The room was dirty and the staff was rude."', None),
    ('Which mood has this message? "Thank you so much, you made my day!"', MOOD),
    ('Which mood has this message? "My dog died yesterday."', MOOD),
    ('Which mood has this message? "I waited three hours for nothing!"', MOOD),
    ("Write a story about a dragon in ten sentences.", None),
    ("Write one sentence about a lighthouse keeper and a cat.", None),
    ("How much is 17 times 23?", None),
    ("Count from 1 to 100.", None),
    ("Repeat the word yes forever.", None),
    ('Translate to French: "Good morning, my friend."', None),
    ("Write a Python function that reverses a string.", None),
    ("Write a SQL query that counts the orders of each customer.", None),
    ("Столица Франции?", None),
    ("Объясни в двух предложениях, что такое база данных.", None),
    ("Исправь ошибки: «Она не любить яблоки».", None),
    ("Compare Postgres and Redis for a job queue in a table with five rows.", None),
    ("Prove that there are infinitely many primes.", None),
)


def main() -> None:
    with (
        mlx_server(real_models(), max_concurrent=STREAMS) as server,
        ThreadPoolExecutor(STREAMS) as pool,
    ):
        for line in pool.map(lambda each: _line(server, *each), PROMPTS):
            print(json.dumps(line, ensure_ascii=False))


def _line(server: RunningMLXServer, prompt: str, schema: dict[str, Any] | None) -> dict[str, Any]:
    body = {
        "model": NAME,
        "stream": False,
        "messages": [{"role": "user", "content": prompt}],
        "options": {"temperature": 0, "num_predict": MAX_TOKENS},
        **({"format": schema} if schema else {}),
    }
    document = server.post("/api/chat", body, timeout=CALL_SECONDS).json()
    answer = Answer(document["message"]["content"], document["done_reason"])
    verdict = judge(answer, Request(prompt, response_schema=schema))
    return {
        "prompt": prompt,
        "schema": schema,
        "answer": answer.text,
        "finish": answer.finish_reason,
        "ok": verdict.ok,
        "code": verdict.code,
    }


if __name__ == "__main__":
    main()
