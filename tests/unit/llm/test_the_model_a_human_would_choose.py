"""Model lists as people have them, and the model that a person would take for each kind of work."""

from __future__ import annotations

import pytest

from llm.catalog import classify, load_catalog, parameters_in_name, rank
from llm.types import Category, ModelInfo

CATALOG = load_catalog()
GB = 10**9

CODING, REASONING, FAST, VISION, DEFAULT = (
    Category.CODING,
    Category.REASONING,
    Category.FAST,
    Category.VISION,
    Category.DEFAULT,
)

SITES: dict[str, tuple[int | None, tuple[str, ...], dict[Category, str]]] = {
    "Mac Studio 192 GB, MLX": (
        192,
        (
            "mlx-community/Llama-3.3-70B-Instruct-4bit",
            "mlx-community/Meta-Llama-3.1-8B-Instruct-4bit",
            "mlx-community/DeepSeek-R1-Distill-Llama-70B-4bit",
            "mlx-community/Qwen2.5-Coder-32B-Instruct-4bit",
            "mlx-community/Phi-3.5-mini-instruct-4bit",
        ),
        {
            CODING: "mlx-community/Qwen2.5-Coder-32B-Instruct-4bit",
            REASONING: "mlx-community/DeepSeek-R1-Distill-Llama-70B-4bit",
            FAST: "mlx-community/Phi-3.5-mini-instruct-4bit",
            DEFAULT: "mlx-community/Llama-3.3-70B-Instruct-4bit",
        },
    ),
    "24 GB GPU, Ollama": (
        24,
        ("qwen3:30b", "qwen3:4b", "qwen2.5-coder:14b", "deepseek-r1:14b", "gemma3:12b"),
        {CODING: "qwen2.5-coder:14b", REASONING: "qwen3:30b", FAST: "qwen3:4b",
         VISION: "gemma3:12b"},
    ),
    "CPU only": (
        16,
        ("llama3.1:8b", "llama3.2:1b", "phi3.5:3.8b"),
        {CODING: "llama3.1:8b", REASONING: "llama3.1:8b", DEFAULT: "llama3.1:8b"},
    ),
    "two Ollama hosts, the first": (
        None,
        ("deepseek-r1:32b", "qwen3:4b", "nomic-embed-text"),
        {REASONING: "deepseek-r1:32b", FAST: "qwen3:4b", CODING: "deepseek-r1:32b"},
    ),
    "two Ollama hosts, the second": (
        None,
        ("qwen2.5-coder:32b", "codellama:7b", "qwen2.5-coder:1.5b"),
        {CODING: "qwen2.5-coder:32b", FAST: "qwen2.5-coder:1.5b"},
    ),
    "vLLM with one model": (
        None,
        ("Qwen/Qwen3-32B-AWQ",),
        dict.fromkeys((CODING, REASONING, FAST, DEFAULT), "Qwen/Qwen3-32B-AWQ"),
    ),
    "LM Studio that loads on demand": (
        64,
        (
            "openai/gpt-oss-20b",
            "qwen/qwen3-coder-30b",
            "google/gemma-3-4b",
            "mistralai/mistral-small-3.2-24b",
            "text-embedding-nomic-embed-text-v1.5",
        ),
        {
            CODING: "qwen/qwen3-coder-30b",
            REASONING: "openai/gpt-oss-20b",
            FAST: "google/gemma-3-4b",
        },
    ),
    "DGX Spark 128 GB": (
        128,
        ("gpt-oss:120b", "gpt-oss:20b", "qwen3:4b", "qwen3-vl:8b"),
        {REASONING: "gpt-oss:120b", CODING: "gpt-oss:120b", FAST: "qwen3:4b",
         VISION: "qwen3-vl:8b"},
    ),
    "MacBook 16 GB that also pulled a model too large": (
        16,
        ("qwen3:8b", "qwen3:32b", "qwen2.5-coder:7b", "llava:7b"),
        {REASONING: "qwen3:8b", CODING: "qwen2.5-coder:7b", VISION: "llava:7b",
         DEFAULT: "qwen3:8b"},
    ),
    "autocomplete beside a chat model": (
        32,
        ("llama3.1:8b", "qwen2.5-coder:1.5b", "nomic-embed-text"),
        {CODING: "llama3.1:8b", REASONING: "llama3.1:8b", DEFAULT: "llama3.1:8b"},
    ),
    "llama.cpp with files by name": (
        48,
        ("DeepSeek-R1-Distill-Qwen-14B-Q4_K_M.gguf", "Codestral-22B-v0.1-Q4_K_M.gguf",
         "Llama-3.2-3B-Instruct-Q8_0.gguf"),
        {
            REASONING: "DeepSeek-R1-Distill-Qwen-14B-Q4_K_M.gguf",
            CODING: "Codestral-22B-v0.1-Q4_K_M.gguf",
            FAST: "Llama-3.2-3B-Instruct-Q8_0.gguf",
        },
    ),
    "names that nobody knows": (
        None,
        ("house-writer-70b", "house-writer-7b", "house-mini-3b"),
        {REASONING: "house-writer-70b", DEFAULT: "house-writer-70b", FAST: "house-mini-3b"},
    ),
}  # fmt: skip


def _size(name: str) -> int | None:
    """As a 4-bit file: 0.6 bytes a parameter."""
    parameters = parameters_in_name(name)
    return None if parameters is None else int(parameters * 0.6)


@pytest.mark.parametrize("site", SITES)
def test_the_model_of_each_category_is_the_one_a_person_would_take(site: str) -> None:
    memory, names, expected = SITES[site]
    models = [
        classify(
            ModelInfo(name, size_bytes=_size(name)),
            catalog=CATALOG,
            memory_bytes=memory and memory * GB,
        )
        for name in names
    ]

    ranking = rank(models)

    assert {category: ranking[category][0] for category in expected} == expected
