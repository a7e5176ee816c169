"""``kos models`` against the MLX API server and its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from console.cli.main import main
from tests.support.gguf_models import write_gguf
from tests.support.mlx_servers import mlx_server

INTERRUPT_AT_HALF = """
import os, signal, sys
from console.cli.main import main
from llm.model_files import conversion
# A shell that starts the tests in the background has them ignore the signal.
signal.signal(signal.SIGINT, signal.default_int_handler)
convert = conversion.convert_tensor
def interrupted(tensor, **more):
    if tensor.name == "blk.1.attn_q.weight":
        os.kill(os.getpid(), signal.Signals[os.environ["SIGNAL"]])
    return convert(tensor, **more)
conversion.convert_tensor = interrupted
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def kos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Call ``kos models`` with --json: (exit code, document or the line on stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KOS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLX_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("OLLAMA_API_URL", "disabled")
    monkeypatch.setenv("MLX_API_URL", "http://127.0.0.1:1")

    def call(*words: str) -> tuple[int, Any]:
        code = main(["models", *words, "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else said.err

    return call


def test_a_file_is_added_served_loaded_unloaded_and_removed(
    kos: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf = write_gguf(tmp_path / "tiny.gguf")
    code, added = kos("add", str(gguf))
    assert (code, added["model"], added["added"]) == (0, "tiny", True)
    assert [(row["backend"], row["model"]) for row in kos("list")[1]] == [(None, "tiny")]

    with mlx_server(tmp_path / "models") as server:
        monkeypatch.setenv("MLX_API_URL", server.url)
        (row,) = kos()[1]
        assert (row["backend"], row["quantization"], row["context_tokens"]) == ("mlx", "4bit", 256)
        assert row["ranks"]["default"] == 1
        assert row["resident"] is False

        assert kos("load", "tiny")[1]["backend"] == "mlx"
        assert kos()[1][0]["resident"] is True
        assert kos("unload", "tiny")[1] == {"model": "tiny", "backends": ["mlx"]}
        server.wait_until(lambda health: not health["models"])

        kos("load", "tiny")
        assert kos("rm", "tiny") == (0, {"model": "tiny", "removed": True})
        server.wait_until(lambda health: not health["models"])

    assert list((tmp_path / "models").glob("[!.]*")) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "smolm2"), "did you mean smollm2?"),
        (("add", "smollm2", "--name", "mine"), "--name is for files"),
        (("add", ".", "--sha256", "00"), "--sha256 is the checksum of a GGUF file"),
        (("rm", "nobody"), "'nobody' is not in"),
        (("load", "x"), "no model server answers"),
        (("load", "x", "--on", "mlxx"), "did you mean mlx?"),
    ],
)
def test_what_does_not_exist_is_told_in_one_line(
    kos: Any, words: tuple[str, ...], said: str
) -> None:
    code, line = kos(*words)

    assert code in (2, 4)
    assert said in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_in_the_middle_leaves_nothing(tmp_path: Path, name: str) -> None:
    gguf, models = write_gguf(tmp_path / "tiny.gguf"), tmp_path / "models"
    folders = {"KOS_HOME": str(tmp_path / "home"), "MLX_MODELS_DIR": str(models)}
    environ = {**os.environ, **folders, "SIGNAL": name}

    done = subprocess.run(
        [sys.executable, "-c", INTERRUPT_AT_HALF, "models", "add", str(gguf)],
        capture_output=True, text=True, timeout=120, check=False, env=environ, cwd=tmp_path,
    )  # fmt: skip

    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert [file.name for file in models.iterdir()] == [".adding.lock"]


def test_a_damaged_file_is_refused(kos: Any, tmp_path: Path) -> None:
    gguf = write_gguf(tmp_path / "tiny.gguf")
    gguf.write_bytes(gguf.read_bytes()[:-5000])

    code, line = kos("add", str(gguf))

    assert code == 2
    assert "damaged or cut short" in line
