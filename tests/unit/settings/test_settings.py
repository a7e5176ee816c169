from __future__ import annotations

from pathlib import Path

import pytest

from jobs.policy.types import PolicyName
from jobs.settings.load import SETTING_NAMES, Settings, SettingsError, from_environment, load
from jobs.settings.sources import find_dotenv

MINE = "postgresql://me:secret@db.example:5432/mine"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "kos home"
    home.mkdir()
    return home


def read(home: Path, dotenv: Path | None = None, /, **variables: str) -> Settings:
    return load({"KOS_HOME": str(home), **variables}, dotenv=dotenv, in_container=False)


def problems(home: Path, **variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read(home, **variables)
    return "\n".join(caught.value.problems)


def test_nothing_set_gives_the_documented_defaults(home: Path) -> None:
    settings = read(home)

    assert settings.batch_size == 50
    assert settings.max_concurrent == 10
    assert settings.stuck_minutes == 15
    assert settings.llm_timeout_seconds == 300
    assert settings.heavy_model_timeout_multiplier == 1.5
    assert settings.batch_by_model
    assert settings.interleave_blocks
    assert settings.heavy_light_pairing
    assert not settings.adaptive_concurrency
    assert settings.retry_delay_seconds == 90
    assert settings.adaptive_host_ram_threshold == settings.adaptive_host_cpu_threshold == 0.85
    assert settings.adaptive_ram_critical == 0.90
    assert settings.mlx_max_cached_models == 2
    assert settings.lease_seconds == 60
    assert settings.heartbeat_seconds == 15
    assert settings.policy is PolicyName.RELOAD_AWARE
    assert settings.dashboard_host == "127.0.0.1"
    assert settings.database_pool_size == 18
    assert settings.warnings == ()


def test_every_bad_variable_is_named_with_what_to_write(home: Path) -> None:
    text = problems(
        home,
        SMART_WORKER_BATCH_SIZE="many",
        SMART_WORKER_BATCH_BY_MODEL="perhaps",
        ADAPTIVE_RAM_CRITICAL="90",
        KOS_POLICY="fastest",
    )

    assert "SMART_WORKER_BATCH_SIZE='many' is not a whole number; write a number from 1" in text
    assert "SMART_WORKER_BATCH_BY_MODEL='perhaps' is neither true nor false" in text
    assert "ADAPTIVE_RAM_CRITICAL='90' is out of range; write a fraction" in text
    assert "KOS_POLICY='fastest' is not known; write one of reload_aware, seed, fifo" in text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SMART_WORKER_BATCH_SIZE", "0"),
        ("SMART_WORKER_BATCH_SIZE", "3.5"),
        ("SMART_WORKER_MAX_CONCURRENT", "-1"),
        ("SMART_WORKER_LLM_TIMEOUT", "nan"),
        ("SMART_WORKER_LLM_TIMEOUT", "inf"),
        ("SMART_WORKER_STUCK_MINUTES", "soon"),
        ("ADAPTIVE_HOST_RAM_THRESHOLD", "0"),
        ("ADAPTIVE_HOST_CPU_THRESHOLD", "85%"),
        ("MLX_API_PORT", "70000"),
        ("OLLAMA_KEEP_ALIVE", "a while"),
        ("DATABASE_URL", "mysql://u:p@h/db"),
        ("DATABASE_URL", "postgresql://"),
        ("DATABASE_URL", "postgresql://h:port/db"),
        ("REDIS_URL", "http://localhost"),
        ("OLLAMA_API_URL", "http://host:eleven"),
        ("MLX_API_URL", "ftp://host"),
        ("VICTORIA_URL", "localhost:8010"),
        ("KOS_LOG_FORMAT", "xml"),
        ("KOS_DASHBOARD_HOST", "a\nb"),
        ("KOS_BACKENDS_FILE", "/no/such/file.toml"),
        ("KOS_LEASE_SECONDS", "0"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(home: Path, name: str, text: str) -> None:
    assert name in problems(home, **{name: text})


def test_a_secret_is_not_repeated_in_an_error_nor_in_the_repr(home: Path) -> None:
    assert "hunter2" not in problems(home, DATABASE_URL="mysql://u:hunter2@h/db")
    mine = "postgresql://me:hunter2@db.example/mine"
    assert "hunter2" not in repr(read(home, DATABASE_URL=mine, KOS_DASHBOARD_TOKEN="hunter2"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("SMART_WORKER_BATCHSIZE", "SMART_WORKER_BATCH_SIZE"),
        ("SMART_WORKER_MAX_CONCURENT", "SMART_WORKER_MAX_CONCURRENT"),
        ("KOS_LEASE_SECOND", "KOS_LEASE_SECONDS"),
        ("ADAPTIVE_MAX_HEAVY_OLAMA", "ADAPTIVE_MAX_HEAVY_OLLAMA"),
    ],
)
def test_a_typo_is_a_warning_that_names_what_was_meant(
    home: Path, written: str, meant: str
) -> None:
    settings = read(home, **{written: "3"})

    assert settings.warnings == (f"{written} is not a setting: did you mean {meant}?",)


def test_foreign_variables_are_none_of_our_business(home: Path) -> None:
    assert read(home, MLX_METAL_FAST_SYNCH="1", PATH="/bin", OLLAMA_HOST="x").warnings == ()


@pytest.mark.parametrize("text", ["1", "true", "YES", "on"])
def test_truth_may_be_written_in_the_usual_ways(home: Path, text: str) -> None:
    assert read(home, SMART_WORKER_ADAPTIVE_CONCURRENCY=text).adaptive_concurrency


def test_an_empty_variable_counts_as_unset(home: Path) -> None:
    assert read(home, SMART_WORKER_BATCH_SIZE="  ").batch_size == 50


def test_the_dotenv_of_the_working_directory_wins_over_that_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, project = tmp_path / "here", tmp_path / "project"
    for directory in (here, project):
        directory.mkdir()
        (directory / ".env").write_text("")
    monkeypatch.chdir(here)

    found = [find_dotenv({}, project=project, default_home=tmp_path / "home")]
    (here / ".env").unlink()
    found.append(find_dotenv({}, project=project, default_home=tmp_path / "home"))

    assert found == [here / ".env", project / ".env"]


def test_the_environment_wins_over_dotenv_which_wins_over_the_home(
    home: Path, tmp_path: Path
) -> None:
    (home / "env").write_text("KOS_HAND=7\nKOS_DASHBOARD_PORT=4003\nKOS_HEALTH_PORT=4004\n")
    dotenv = tmp_path / ".env"
    dotenv.write_text('KOS_HAND=8\nKOS_DASHBOARD_PORT=4002\nexport KOS_POLICY="seed"\n')

    settings = read(home, dotenv, KOS_HAND="9")

    assert settings.dispatch_ahead == 9
    assert settings.dashboard_port == 4002
    assert settings.health_port == 4004
    assert settings.policy is PolicyName.SEED


def test_an_old_name_is_read_in_its_layer_and_is_no_typo(home: Path, tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("KOS_DISPATCH_AHEAD=8\n")

    settings = read(home, dotenv, KOS_HAND="9")

    assert settings.dispatch_ahead == 9
    assert settings.warnings == ()
    assert read(home, dotenv, KOS_HAND="9", KOS_DISPATCH_AHEAD="4").dispatch_ahead == 4
    with pytest.raises(SettingsError, match=r"KOS_DISPATCH_AHEAD \(or KOS_HAND\)='x'"):
        read(home, KOS_HAND="x")


def test_embedded_urls_come_from_the_home_where_none_are_set(home: Path) -> None:
    (home / "env").write_text(
        "export KOS_EMBEDDED_DATABASE_URL=postgresql://kos:p@127.0.0.1:21000/knowledge_os\n"
        "export KOS_EMBEDDED_REDIS_URL='redis://:p@127.0.0.1:21001/0'\n"
        "export DATABASE_URL=postgresql://kos:p@127.0.0.1:21000/knowledge_os\n"
    )

    settings = read(home)

    assert settings.embedded_postgres
    assert settings.embedded_redis
    assert settings.database_url == "postgresql://kos:p@127.0.0.1:21000/knowledge_os"
    assert settings.redis_url == "redis://:p@127.0.0.1:21001/0"


def test_services_of_ones_own_are_used_and_nothing_is_embedded(home: Path) -> None:
    settings = read(home, DATABASE_URL=MINE, REDIS_URL="redis://cache:6379/2")

    assert settings.database_url == MINE
    assert not settings.embedded_postgres
    assert not settings.embedded_redis


def test_the_address_past_a_pooler_is_remembered_with_the_database_it_belongs_to(
    home: Path,
) -> None:
    pooled, direct = "postgresql://u:p@pooler:6432/db", "postgresql://u:p@db:5432/db"
    (home / "env").write_text(
        f"export KOS_OWN_DATABASE_URL={pooled} KOS_OWN_DATABASE_DIRECT_URL={direct}\n"
    )

    assert read(home).database_direct_url == direct
    assert read(home, DATABASE_URL=pooled).database_direct_url == direct
    assert read(home, DATABASE_URL=MINE).database_direct_url is None


def test_an_address_past_a_pooler_without_the_pooler_is_refused(home: Path) -> None:
    assert "set both or none" in problems(home, KOS_DATABASE_DIRECT_URL=MINE)


def test_a_shell_that_sourced_the_env_file_does_not_pass_for_a_service_of_ones_own(
    home: Path,
) -> None:
    stale = "postgresql://kos:p@127.0.0.1:1/knowledge_os"
    fresh = "postgresql://kos:p@127.0.0.1:2/knowledge_os"
    (home / "env").write_text(f"export KOS_EMBEDDED_DATABASE_URL={fresh}\n")

    settings = read(home, DATABASE_URL=stale, KOS_EMBEDDED_DATABASE_URL=stale)

    assert settings.embedded_postgres
    assert settings.database_url == fresh


def test_the_driver_in_a_database_url_is_dropped(home: Path) -> None:
    settings = read(home, DATABASE_URL="postgresql+asyncpg://u:p@h/db")

    assert settings.database_url == "postgresql://u:p@h/db"


def test_the_model_servers_of_this_machine_are_the_default(home: Path) -> None:
    urls = {spec.name: spec.url for spec in read(home).backends}

    assert urls == {"ollama": "http://localhost:11434", "mlx": "http://localhost:11435"}


def test_inside_a_container_the_host_is_asked(home: Path) -> None:
    settings = load({"KOS_HOME": str(home)}, in_container=True)

    assert {spec.url.split(":")[1] for spec in settings.backends} == {"//host.docker.internal"}


def test_a_server_may_be_turned_off(home: Path) -> None:
    assert [spec.name for spec in read(home, MLX_API_URL="disabled").backends] == ["ollama"]
    assert [spec.name for spec in read(home, OLLAMA_API_URL="none").backends] == ["mlx"]


def test_without_any_model_server_the_error_says_which_variables_to_set(home: Path) -> None:
    text = problems(home, MLX_API_URL="off", OLLAMA_API_URL="off")

    assert "set OLLAMA_API_URL or MLX_API_URL" in text


def test_limits_of_the_servers_are_bounded_by_the_total(home: Path) -> None:
    settings = read(home, SMART_WORKER_MAX_CONCURRENT="4", ADAPTIVE_OLLAMA_MAX="9",
                    MLX_MAX_CONCURRENT="3")  # fmt: skip

    assert {spec.name: spec.max_concurrent for spec in settings.backends} == {"ollama": 4, "mlx": 3}


def test_a_cap_of_the_adaptive_mode_does_not_bind_without_it(home: Path) -> None:
    settings = read(home, SMART_WORKER_MAX_CONCURRENT="20", ADAPTIVE_OLLAMA_MAX="10")

    assert settings.backend("ollama").max_concurrent == 20  # type: ignore[union-attr]


def test_a_file_adds_backends_and_replaces_those_of_its_names(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "backends.toml"
    file.write_text(
        '[[backend]]\nname = "gpu"\nkind = "openai"\nurl = "http://gpu:8000"\n'
        '[[backend]]\nname = "mlx"\nkind = "mlx"\nurl = "http://studio:11435"\nmax_concurrent = 2\n'
    )

    settings = read(home, KOS_BACKENDS_FILE=str(file))

    assert [spec.name for spec in settings.backends] == ["ollama", "mlx", "gpu"]
    mlx = settings.backend("mlx")
    assert mlx is not None
    assert mlx.url == "http://studio:11435"
    assert settings.backend("nobody") is None


def test_a_broken_backends_file_is_named(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "backends.toml"
    file.write_text('[[backend]]\nname = "gpu"\nkind = "vllm"\nurl = "http://gpu:8000"\n')

    assert "KOS_BACKENDS_FILE" in problems(home, KOS_BACKENDS_FILE=str(file))


def test_a_short_lease_brings_a_heartbeat_that_fits(home: Path) -> None:
    assert read(home, KOS_LEASE_SECONDS="8").heartbeat_seconds == 2
    text = problems(home, KOS_LEASE_SECONDS="8", KOS_HEARTBEAT_SECONDS="5")
    assert "KOS_HEARTBEAT_SECONDS=5 is too slow for a lease of 8 s; write at most 4" in text


def test_file_roots_are_separated_as_in_path(home: Path) -> None:
    assert read(home, KOS_FILE_ROOTS="/a:/b c").file_roots == (Path("/a"), Path("/b c"))


def test_a_demo_replaces_the_servers_it_simulates(home: Path) -> None:
    (home / "env").write_text("KOS_SIMULATED_OLLAMA_URL=http://127.0.0.1:23456\n")

    settings = read(home, OLLAMA_API_URL="http://nowhere:1")

    assert settings.simulated == ("ollama",)
    ollama = settings.backend("ollama")
    assert ollama is not None
    assert ollama.url == "http://127.0.0.1:23456"


def test_dotenv_is_found_by_name(home: Path, tmp_path: Path) -> None:
    named = tmp_path / "production.env"
    named.write_text("SMART_WORKER_BATCH_SIZE=17\n")

    settings = from_environment({"KOS_HOME": str(home), "KOS_DOTENV": str(named)})

    assert settings.batch_size == 17
    assert settings.dotenv == named


def test_variables_that_are_not_ours_are_kept_for_who_needs_them_and_never_shown(
    home: Path, tmp_path: Path
) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("VLLM_API_KEY=hunter2\nMLX_MAX_QUEUE=9\n")

    settings = read(home, dotenv, MLX_MAX_QUEUE="7")

    assert (settings.environ["VLLM_API_KEY"], settings.environ["MLX_MAX_QUEUE"]) == ("hunter2", "7")
    assert "hunter2" not in repr(settings)


def test_no_two_settings_read_the_same_variable() -> None:
    assert len(SETTING_NAMES) > 50


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_dotenv_that_cannot_be_read_is_named(
    home: Path, tmp_path: Path, content: bytes | None
) -> None:
    named = tmp_path / "production.env"
    if content is not None:
        named.write_bytes(content)

    with pytest.raises(SettingsError, match=r"production\.env cannot be read"):
        read(home, named)


def test_a_damaged_env_file_of_the_home_is_named(home: Path) -> None:
    (home / "env").write_text("export DATABASE_URL='never closed\n")

    with pytest.raises(SettingsError, match=r"env is damaged .*remove the file"):
        read(home)


@pytest.mark.parametrize("text", ["~nobody-of-this-name/x", "a\0b"])
def test_a_home_that_is_no_path_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="KOS_HOME"):
        load({"KOS_HOME": text})


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from a file\n")
    named = {"KOS_HOME": str(tmp_path), "KOS_DASHBOARD_TOKEN_FILE": str(file)}

    assert load(named).dashboard_token == "from a file"
    assert load({**named, "KOS_DASHBOARD_TOKEN": "itself"}).dashboard_token == "itself"
    assert load(named).warnings == ()
    file.unlink()
    with pytest.raises(SettingsError, match="KOS_DASHBOARD_TOKEN_FILE"):
        load(named)
