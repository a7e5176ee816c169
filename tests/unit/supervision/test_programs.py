from __future__ import annotations

import configparser
import dataclasses
from pathlib import Path

import pytest

from console.services.__main__ import mlx_server
from console.services.errors import ServiceError
from console.supervision.programs import (
    left_out,
    static_groups,
    stop_wait_seconds,
    varying_programs,
)
from console.supervision.render import render
from jobs.settings.load import PROJECT, Settings, load
from llm.types import BackendKind, BackendSpec


def settings_of(tmp_path: Path, **variables: str) -> Settings:
    return load({"KOS_HOME": str(tmp_path), **variables}, in_container=False)


def names(settings: Settings) -> set[str]:
    return {f"{program.group}:{program.name}" for program in varying_programs(settings)}


def parsed(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(text)
    return parser


def test_one_worker_a_backend_and_the_embedded_databases(tmp_path: Path) -> None:
    assert names(settings_of(tmp_path)) == {
        "infra:postgres", "infra:redis", "jobs:llm-ollama", "jobs:llm-mlx",
    }  # fmt: skip


def test_databases_of_ones_own_start_nothing(tmp_path: Path) -> None:
    mine = settings_of(tmp_path, DATABASE_URL="postgresql://u@h/d", REDIS_URL="redis://h")

    assert not [name for name in names(mine) if name.startswith("infra:")]


def test_the_mlx_server_is_run_only_where_its_url_points_here(tmp_path: Path) -> None:
    here = settings_of(tmp_path, KOS_MLX_SERVER="true")
    there = settings_of(tmp_path, KOS_MLX_SERVER="true", MLX_API_URL="http://studio:11435")

    assert "servers:mlx-api" in names(here)
    assert "servers:mlx-api" not in names(there)


def test_the_mlx_server_hears_of_its_variables_wherever_they_stand(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("KOS_MLX_SERVER=true\nMLX_MODELS_DIR=/opt/models\nMLX_API_PORT=12000\n")
    environ = {"KOS_HOME": str(tmp_path), "MLX_MODELS_DIR": "/srv/models"}
    settings = load(environ, dotenv=dotenv, in_container=False)

    program = next(p for p in varying_programs(settings) if p.name == "mlx-api")

    assert program.command.endswith("console.services mlx-api")
    assert mlx_server(settings).argv[1:] == ("-m", "llm.mlx_server")
    assert mlx_server(settings).environ == {
        "MLX_MODELS_DIR": "/srv/models", "MLX_API_PORT": "12000",
    }  # fmt: skip


def test_threads_cover_the_slots_and_the_hand(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, MLX_MAX_CONCURRENT="3", KOS_DISPATCH_AHEAD="2")
    mlx = next(p for p in varying_programs(settings) if p.name == "llm-mlx")

    assert "--queues llm-mlx --threads 5" in mlx.command


def test_workers_are_given_more_than_twice_the_drain_to_stop(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, KOS_DRAIN_SECONDS="40")

    assert stop_wait_seconds(settings) > 80


def test_a_backend_name_that_would_break_the_file_is_refused(tmp_path: Path) -> None:
    odd = BackendSpec(name="a]\n[x", kind=BackendKind.OPENAI, url="http://h")
    settings = dataclasses.replace(settings_of(tmp_path), backends=(odd,))

    with pytest.raises(ServiceError, match="cannot name a program"):
        varying_programs(settings)


def test_what_is_rendered_stops_by_one_signal_and_kills_the_group(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    parser = parsed(render(varying_programs(settings), static_groups(settings)))

    for section in parser.sections():
        if section.startswith("program:"):
            assert parser[section]["stopasgroup"] == "false"
            assert parser[section]["killasgroup"] == "true"
            assert parser[section]["autorestart"] == "true"
    assert parser["program:postgres"]["stopsignal"] == "INT"
    assert parser["program:postgres"]["autostart"] == "true"
    assert parser["program:llm-mlx"]["stopsignal"] == "TERM"
    jobs = parser["group:jobs"]["programs"].split(",")
    assert jobs == ["scheduler", "listener", "control", "llm-mlx", "llm-ollama"]


def test_the_file_of_the_project_names_the_programs_that_every_deployment_has() -> None:
    parser = parsed((PROJECT / "supervisord.conf").read_text())
    programs = {name[8:] for name in parser.sections() if name.startswith("program:")}

    assert programs == {"scheduler", "listener", "control", "health", "dashboard", "gateway"}
    assert parser["unix_http_server"]["chmod"] == "0700"
    assert "inet_http_server" not in parser.sections()
    for name in programs:
        section = parser[f"program:{name}"]
        assert section["stopsignal"] == "TERM"
        assert section["stopasgroup"] == "false"
        assert section["killasgroup"] == "true"
        assert section["stdout_logfile"] == f"%(ENV_KOS_HOME)s/log/{name}.log"


@pytest.mark.parametrize(
    ("role", "here", "elsewhere"),
    [
        ("workers", {"llm-ollama", "llm-mlx", "health"},
         {"scheduler", "listener", "control", "dashboard", "gateway"}),
        ("control", {"scheduler", "listener", "control", "health", "dashboard", "gateway"}, set()),
    ],
)  # fmt: skip
def test_a_host_runs_the_programs_of_its_role(
    tmp_path: Path, role: str, here: set[str], elsewhere: set[str]
) -> None:
    own = {"DATABASE_URL": "postgresql://u@h/d", "REDIS_URL": "redis://h"}
    settings = settings_of(tmp_path, KOS_ROLE=role, **own)

    text = render(varying_programs(settings), static_groups(settings))

    groups = [section for section in parsed(text).sections() if section.startswith("group:")]
    members = {name for group in groups for name in parsed(text)[group]["programs"].split(",")}
    assert members == here
    assert set(left_out(settings)) == elsewhere
