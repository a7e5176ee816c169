from __future__ import annotations

from pathlib import Path

import pytest

from llm.backends.file import BackendsFileError, load
from llm.types import BackendKind

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "backends.toml"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "backends.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_example_is_usable() -> None:
    attic, vllm, ray = load(EXAMPLE)

    assert (attic.name, attic.kind, attic.max_concurrent) == ("ollama-attic", BackendKind.OLLAMA, 2)
    assert vllm.url == "http://gpu-box:8000/v1"
    assert vllm.api_key_env == "VLLM_API_KEY"
    assert vllm.models_by_category["default"] == ("Qwen/Qwen3-32B",)
    assert ray.metrics_urls == ("http://ray-head:8080/metrics", "http://ray-node-1:8080/metrics")


def test_an_empty_file_names_no_servers(tmp_path: Path) -> None:
    assert load(written(tmp_path, "")) == ()


SERVER = '[[backend]]\nname = "a"\nkind = "ollama"\nurl = "http://h:1"\n'


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (SERVER + "max_concurent = 2\n", "did you mean 'max_concurrent'"),
        (SERVER + "max_concurrent = 0\n", "at least 1"),
        (SERVER + "max_concurrent = true\n", "whole number"),
        (SERVER + 'api_key_env = "sk-123"\n', "not the key itself"),
        (SERVER + '[backend.models]\ncodin = ["x"]\n', "did you mean 'coding'"),
        (SERVER + '[backend.models]\ncoding = "x"\n', "list of model names"),
        (SERVER + 'metrics_urls = "http://h:2"\n', "list of addresses"),
        (SERVER + 'metrics_urls = ["ftp://h"]\n', "use http or https"),
        (SERVER + 'metrics_urls = ["http://u:p@h:2"]\n', "without a password"),
        (SERVER + SERVER, "named twice"),
        (SERVER.replace("ollama", "olama"), "did you mean 'ollama'"),
        (SERVER.replace('"a"', '"A b"'), "small letters"),
        (SERVER.replace("http://h:1", "ftp://h"), "use http or https"),
        (SERVER.replace("url", "ulr"), "did you mean 'url'"),
        ('[[backend]]\nname = "a"\n', "kind is missing"),
        ("[backends]\n", "did you mean 'backend'"),
        ("[backend]\nname = 'a'\n", r"\[\[backend\]\]"),
        ("[[backend\n", "not valid TOML"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, hint: str) -> None:
    with pytest.raises(BackendsFileError, match=hint) as caught:
        load(written(tmp_path, text))
    assert "backends.toml" in str(caught.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendsFileError, match=r"no\.toml: cannot be read"):
        load(tmp_path / "no.toml")
