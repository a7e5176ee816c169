"""What serves each backend after ``kos up``."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.home import update_env
from console.supervision.programs import varying_programs
from console.supervision.simulated import Absent, choose_servers
from jobs.settings.load import Settings, load
from jobs.settings.sources import LEFT_OUT, OWN_MLX, read_home_env
from tests.support.simulators import simulator
from tests.support.tiny_models import build_llama

NOBODY = "http://127.0.0.1:9"


def settings_of(home: Path, **variables: str) -> Settings:
    environ = {"KOS_HOME": str(home), "MLX_MODELS_DIR": str(home / "models"), **variables}
    in_container = "MLX_API_URL" not in variables
    return load({"OLLAMA_API_URL": NOBODY, **environ}, in_container=in_container)


@pytest.fixture
def with_model(tmp_path: Path) -> Path:
    build_llama(tmp_path / "models" / "llama")
    return tmp_path


def chosen(settings: Settings, absent: Absent, **earlier: str) -> dict[str, str]:
    pairs, _ = choose_servers(settings, absent=absent, earlier=earlier, running=bool(earlier))
    return pairs


def test_our_server_runs_once_it_has_a_model(with_model: Path) -> None:
    settings = settings_of(with_model, MLX_API_URL=NOBODY)

    pairs = chosen(settings, Absent.WAIT)
    update_env(with_model, pairs)

    assert pairs == {OWN_MLX: NOBODY}
    after = settings_of(with_model, MLX_API_URL=NOBODY)
    assert after.run_mlx_server
    assert "mlx-api --port 9" in " ".join(p.command for p in varying_programs(after))


def test_without_a_model_nothing_is_run(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, MLX_API_URL=NOBODY)

    assert chosen(settings, Absent.WAIT) == {}


@pytest.mark.parametrize(
    "variables",
    [{"MLX_API_URL": "http://studio:1"}, {"MLX_API_URL": NOBODY, "KOS_MLX_SERVER": "false"}],
)
def test_a_persons_word_on_the_server_counts(with_model: Path, variables: dict[str, str]) -> None:
    assert chosen(settings_of(with_model, **variables), Absent.WAIT) == {}


def test_in_a_container_our_server_is_on_loopback(with_model: Path) -> None:
    pairs = chosen(settings_of(with_model), Absent.WAIT)
    update_env(with_model, pairs)

    mlx = settings_of(with_model).backend("mlx")
    assert mlx is not None
    assert mlx.url == pairs[OWN_MLX]
    assert mlx.url.startswith("http://127.0.0.1:")


def test_a_real_demo_leaves_out_what_nothing_serves(with_model: Path) -> None:
    pairs = chosen(settings_of(with_model, MLX_API_URL=NOBODY), Absent.LEAVE_OUT)
    update_env(with_model, pairs)

    assert pairs["KOS_SIMULATED_OLLAMA_URL"] == LEFT_OUT
    after = settings_of(with_model, MLX_API_URL=NOBODY)
    assert [spec.name for spec in after.backends] == ["mlx"]
    assert after.simulated == ()


def test_a_simulated_demo_has_no_real_model_of_ours(with_model: Path) -> None:
    pairs = chosen(settings_of(with_model, MLX_API_URL=NOBODY), Absent.SIMULATE)

    assert set(pairs) == {"KOS_SIMULATED_OLLAMA_URL", "KOS_SIMULATED_MLX_URL"}


def test_a_server_of_the_persons_own_comes_first_and_ours_stays_ours(with_model: Path) -> None:
    with simulator("mlx") as server:
        settings = settings_of(with_model, MLX_API_URL=server.url)

        assert chosen(settings, Absent.WAIT) == {}
        assert chosen(settings, Absent.WAIT, **{OWN_MLX: server.url}) == {OWN_MLX: server.url}
    assert read_home_env(with_model) == {}
