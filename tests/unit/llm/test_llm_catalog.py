from __future__ import annotations

from pathlib import Path

import pytest

from llm.catalog import (
    Catalog,
    CatalogError,
    classify,
    is_heavy,
    load_catalog,
    parameters_in_name,
    rank,
)
from llm.types import Category, ModelInfo


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def best(catalog: Catalog, category: Category, *names: str) -> str:
    models = [classify(ModelInfo(name), catalog=catalog) for name in names]
    return rank(models)[category][0]


@pytest.mark.parametrize(
    ("category", "names"),
    [
        (Category.CODING, ["qwen2.5-coder:7b", "qwen3:32b", "llama3.2:3b"]),
        (Category.CODING, ["mlx-community/Qwen2.5-Coder-32B-4bit", "mlx-community/Qwen3-8B-4bit"]),
        (Category.REASONING, ["deepseek-r1:32b", "qwen3:8b", "qwen2.5-coder:32b"]),
        (Category.REASONING, ["qwen3:32b", "qwen3:0.6b"]),
        (Category.FAST, ["llama3.2:3b", "qwen3:32b", "unknown"]),
        (Category.FAST, ["new-model:1b", "other-model:7b"]),
        (Category.VISION, ["llava:7b", "qwen3:32b"]),
        (Category.DEFAULT, ["qwen3:32b", "dolphin-mixtral:8x7b", "unknown"]),
        (Category.DEFAULT, ["unknown:70b", "unknown:8b"]),
        (Category.REASONING, ["deepseek-r1:32b", "qwen3:4b"]),
        (Category.CODING, ["qwen2.5-coder:32b", "qwen2.5-coder:1.5b", "codellama:7b"]),
        (Category.CODING, ["llama3.1:8b", "qwen2.5-coder:1.5b"]),
        (Category.DEFAULT, ["gpt-oss:120b", "qwen3:4b"]),
    ],
)
def test_the_first_of_these_is_picked(
    catalog: Catalog, category: Category, names: list[str]
) -> None:
    assert best(catalog, category, *names) == names[0]
    assert best(catalog, category, *reversed(names)) == names[0]


def test_what_the_user_listed_comes_first(catalog: Catalog) -> None:
    chosen = {"coding": ("house-model",)}
    models = [
        classify(ModelInfo(name), catalog=catalog, chosen=chosen)
        for name in ("qwen3-coder:30b", "house-model")
    ]

    assert rank(models, chosen=chosen)[Category.CODING][0] == "house-model"
    assert Category.CODING in models[1].categories


def test_a_model_that_does_not_fit_the_memory_comes_last(catalog: Catalog) -> None:
    models = [
        classify(
            ModelInfo(f"qwen3:{size}b", size_bytes=size * 600_000_000),
            catalog=catalog,
            memory_bytes=16_000_000_000,
        )
        for size in (8, 14, 32)
    ]

    assert rank(models)[Category.REASONING] == ("qwen3:14b", "qwen3:8b", "qwen3:32b")


def test_a_model_of_unknown_name_is_ranked_by_its_parameters_else_by_its_file(
    catalog: Catalog,
) -> None:
    infos = [
        ModelInfo("house-a", parameters=8 * 10**9),
        ModelInfo("house-b", size_bytes=20 * 10**9),
        ModelInfo("house-c", parameters=70 * 10**9, capabilities=frozenset({"thinking"})),
    ]

    ranking = rank([classify(info, catalog=catalog) for info in infos])

    assert ranking[Category.REASONING] == ("house-c", "house-b", "house-a")


@pytest.mark.parametrize(
    ("info", "heavy"),
    [
        (ModelInfo("a", parameters=32 * 10**9), True),
        (ModelInfo("a", parameters=7 * 10**9, size_bytes=5 * 10**9), False),
        (ModelInfo("a", parameters=7 * 10**9, size_bytes=15 * 10**9), True),
        (ModelInfo("a:70b"), True),
        (ModelInfo("a:70b", size_bytes=10**9), False),
        (ModelInfo("a"), False),
    ],
)
def test_heavy_is_told_by_parameters_and_size_before_names(
    catalog: Catalog, info: ModelInfo, heavy: bool
) -> None:
    assert is_heavy(info, catalog) is heavy


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("qwen3:32b", 32e9),
        ("qwen3:0.6b-q4_K_M", 0.6e9),
        ("mlx-community/Qwen3-30B-A3B-4bit", 30e9),
        ("mixtral:8x7b", 56e9),
        ("smollm:135m", 135e6),
        ("phi4", None),
        ("llama3-4bit", None),
    ],
)
def test_the_size_in_a_name_is_read(name: str, parameters: float | None) -> None:
    assert parameters_in_name(name) == parameters


@pytest.mark.parametrize(
    "info",
    [
        ModelInfo("nomic-embed-text"),
        ModelInfo("bge-m3:567m"),
    ],
)
def test_a_model_without_text_is_set_aside(catalog: Catalog, info: ModelInfo) -> None:
    assert "gives no text" in (classify(info, catalog=catalog).broken or "")


@pytest.mark.parametrize("offered", ["embedding", "raw"])
def test_a_model_that_cannot_chat_is_set_aside(catalog: Catalog, offered: str) -> None:
    info = ModelInfo("something", capabilities=frozenset({offered}))
    assert classify(info, catalog=catalog).broken == f"cannot chat: it offers {offered}"


def test_capabilities_decide_on_vision_where_they_are_told(catalog: Catalog) -> None:
    blind = ModelInfo("llava-like-name", capabilities=frozenset({"completion"}))
    seeing = ModelInfo("anything", capabilities=frozenset({"completion", "vision"}))

    assert Category.VISION not in classify(blind, catalog=catalog).categories
    assert Category.VISION in classify(seeing, catalog=catalog).categories


def test_a_name_is_not_found_in_the_middle_of_a_word(catalog: Catalog) -> None:
    assert best(catalog, Category.DEFAULT, "phi4:14b", "dolphin:14b") == "phi4:14b"


def test_a_users_table_overrides_its_keys_only(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[priority]\ncoding = ["house"]\n[classes]\nheavy_bytes = 5\n')

    catalog = load_catalog(path)

    assert catalog.priority[Category.CODING] == ("house",)
    assert catalog.priority[Category.FAST] == load_catalog().priority[Category.FAST]
    assert is_heavy(ModelInfo("a", size_bytes=6), catalog)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('[priority]\ncodin = ["x"]\n', "no category"),
        ("[priority]\ncoding = 3\n", "list of names"),
        ("[classes]\nheavy = 3\n", "unknown key 'heavy'"),
        ("[classes]\nheavy_bytes = -3\n", "whole number"),
        ("[prioritys]\n", "unknown key"),
        ("[strength]\noutside_doublings = -1\n", "above 0"),
        ("[", "not valid TOML"),
    ],
)
def test_a_mistake_in_the_table_is_named(tmp_path: Path, text: str, hint: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)

    with pytest.raises(CatalogError, match=hint):
        load_catalog(path)
