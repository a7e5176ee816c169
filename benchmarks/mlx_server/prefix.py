"""What the planner's order saves our real MLX server of reading, with a small model.

Tasks of some experts (personas of about 600 tokens) and 3 shared files, as they came and in the
order of the planner, against a server that starts anew for each. The cache holds two prompts or
three, as 256 MiB do for an 8B model.

    python -m benchmarks.mlx_server.prefix [--tasks 400 --experts 12] [--in-flight 4]
    python -m benchmarks.mlx_server.prefix --real --tasks 20 --experts 6 --in-flight 2 \
        --cache-bytes 20000000 --persona-words 120 --file-words 10
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.mlx_server.servers import our_server
from jobs.policy.task_order import rank_tasks
from jobs.policy.types import PlanningConfig, TaskView
from tests.support.real_model import NAME, real_models
from tests.support.tiny_models import build_llama

FILES = 3
ANSWER_TOKENS = 8
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def main() -> None:
    options = _options()
    chance = random.Random(1)
    tasks = [
        TaskView(
            id=f"task {number}",
            created_at=NOW - timedelta(seconds=600 - number),
            prefix=(
                f"expert {chance.randrange(options.experts)}",
                f"file {chance.randrange(FILES)}",
            ),
        )
        for number in range(options.tasks)
    ]
    print("| order | prompt tokens read | of | seconds | answer tokens/s |\n|---|---|---|---|---|")
    for name, order in (
        ("as they came", tasks),
        ("of the planner", rank_tasks(tasks, now=NOW, config=PlanningConfig())),
    ):
        print(_measured(name, order, options), flush=True)


def _measured(name: str, tasks: Sequence[TaskView], options: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory() as folder:
        models, model = Path(folder), "one"
        if options.real:
            models, model = real_models(), NAME
        else:
            build_llama(
                models / model,
                hidden=options.hidden,
                layers=options.layers,
                context_tokens=8192,
            )
        with our_server(
            models, Path(folder) / "log",
            max_concurrent=options.in_flight, prefix_cache_bytes=options.cache_bytes,
        ) as server:  # fmt: skip
            _ask(server.port, model, TaskView("warm up", NOW, prefix=("none", "none")), options)
            began = time.monotonic()
            with ThreadPoolExecutor(options.in_flight) as pool:
                usages = list(pool.map(lambda task: _ask(server.port, model, task, options), tasks))
            seconds = time.monotonic() - began
    total = sum(usage["prompt_tokens"] for usage in usages)
    cached = sum(usage["prompt_tokens_details"]["cached_tokens"] for usage in usages)
    written = sum(usage["completion_tokens"] for usage in usages)
    return f"| {name} | {total - cached:,} | {total:,} | {seconds:.1f} | {written / seconds:.1f} |"


def _ask(port: int, model: str, task: TaskView, options: argparse.Namespace) -> dict[str, Any]:
    expert, file = task.prefix
    body = {
        "model": model,
        "max_tokens": ANSWER_TOKENS,
        "temperature": 0,
        "messages": [
            {"role": "system", "content": _words(expert, options.persona_words)},
            {
                "role": "user",
                "content": f"{_words(file, options.file_words)}\n\n{task.id}: sum it up.",
            },
        ],
    }
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=600) as answer:
        usage: dict[str, Any] = json.load(answer)["usage"]
    return usage


def _words(seed: str, count: int) -> str:
    """The same text for the same seed."""
    chance = random.Random(seed)
    return " ".join(f"w{chance.randrange(100)}" for _ in range(count))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=132)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--experts", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--persona-words", type=int, default=160)
    parser.add_argument("--file-words", type=int, default=240)
    parser.add_argument("--in-flight", type=int, default=4)
    parser.add_argument("--cache-bytes", type=int, default=2 * 2**20)
    return parser.parse_args()


if __name__ == "__main__":
    main()
