"""What is said of model servers that give no answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.operations.doctor.servers import silent_servers
from jobs.settings.load import Settings, load
from tests.support.simulators import simulator

NOBODY = "http://127.0.0.1:1"


def configured(home: Path, *, ollama: str, mlx: str) -> Settings:
    environ = {"KOS_HOME": str(home), "OLLAMA_API_URL": ollama, "MLX_API_URL": mlx}
    return load(environ, in_container=False)


def test_where_no_server_answers_the_way_to_simulated_ones_is_told(tmp_path: Path) -> None:
    lines = silent_servers(configured(tmp_path, ollama=NOBODY, mlx=NOBODY))

    assert [line.split(":")[0] for line in lines[:2]] == ["model server ollama", "model server mlx"]
    assert "ollama serve" in lines[0]
    assert "kos up --demo" in lines[2]


@pytest.mark.parametrize(("mlx", "silent"), [("off", 0), (NOBODY, 1)])
def test_one_that_answers_is_enough_to_work(tmp_path: Path, mlx: str, silent: int) -> None:
    with simulator("ollama") as server:
        lines = silent_servers(configured(tmp_path, ollama=server.url, mlx=mlx))

    assert len(lines) == silent
    assert not any("kos up --demo" in line for line in lines)
