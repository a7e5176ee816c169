"""Tokens per second of mlx-lm's BatchGenerator alone: the ceiling for any server around it.

    python -m benchmarks.mlx_server.raw_generator MODEL_FOLDER REQUESTS IN_FLIGHT

Keeps IN_FLIGHT sequences decoding as a server under the same load would, and prints the rate.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.mlx_server.load import answer_tokens
from llm.mlx_server.openblas import load_openblas


def main() -> None:
    load_openblas(threads=int(os.environ.get("MLX_CPU_THREADS", "0")))
    from mlx_lm.generate import BatchGenerator  # after the BLAS, or MLX finds its own first
    from mlx_lm.utils import load_model, load_tokenizer

    folder, requests, in_flight = Path(sys.argv[1]), *map(int, sys.argv[2:])
    model, config = load_model(folder)
    tokenizer = load_tokenizer(folder, {}, eos_token_ids=[config["eos_token_id"]])
    generator: Any = BatchGenerator(
        model,
        stop_tokens=[[token] for token in tokenizer.eos_token_ids],
        completion_batch_size=in_flight,
        prefill_batch_size=min(8, in_flight),
    )
    prompts = [_prompt(tokenizer, n) for n in range(requests)]
    _run(generator, prompts[:in_flight], in_flight=in_flight)  # warm
    started = time.perf_counter()
    tokens = _run(generator, prompts, in_flight=in_flight)
    print(tokens / (time.perf_counter() - started))


def _prompt(tokenizer: Any, number: int) -> list[int]:
    messages = [{"role": "user", "content": f"{number:06d} is the number of this question"}]
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True))


def _run(generator: Any, prompts: list[list[int]], *, in_flight: int) -> int:
    waiting = [(prompt, answer_tokens(n)) for n, prompt in enumerate(prompts)][::-1]
    running = tokens = 0
    while waiting or running:
        while waiting and running < in_flight:
            prompt, count = waiting.pop()
            generator.insert([prompt], max_tokens=[count])
            running += 1
        _, responses = generator.next()
        for response in responses:
            tokens += response.finish_reason != "stop"
            running -= response.finish_reason is not None
    return tokens


if __name__ == "__main__":
    main()
