"""What a home runs on stays known: services of one's own, and settings that change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import pytest

from console.services.errors import ServiceError
from console.supervision.start import up
from console.supervision.status import status
from console.supervision.stop import down
from jobs.settings.load import Settings, load
from tests.support.standins import House, stand_in_house


class Own(TypedDict):
    """Services of one's own, as a shell exports them."""

    DATABASE_URL: str
    REDIS_URL: str


@pytest.fixture
def house() -> Iterator[House]:
    with stand_in_house() as house:
        yield house


@pytest.fixture
def own(postgres_url: str, redis_url: str) -> Own:
    return Own(DATABASE_URL=postgres_url, REDIS_URL=redis_url)


def names(settings: Settings) -> set[str]:
    return {program.name for program in status(settings)}


def pids(settings: Settings) -> dict[str, int | None]:
    return {program.name: program.pid for program in status(settings)}


def test_a_bare_shell_finds_and_starts_again_what_runs_on_services_of_ones_own(
    house: House, own: Own
) -> None:
    house.up(**own)

    bare = house.settings()
    assert (bare.database_url, bare.redis_url) == (own["DATABASE_URL"], own["REDIS_URL"])
    assert not names(bare) & {"infra:postgres", "infra:redis"}

    down(bare)
    again = house.up()

    assert again.database_url == own["DATABASE_URL"]
    assert not names(again) & {"infra:postgres", "infra:redis"}


def test_going_back_to_the_embedded_services_takes_a_word_and_finds_their_data(
    house: House, own: Own
) -> None:
    first = house.up()
    down(first)
    down(house.up(**own))

    with pytest.raises(ServiceError, match=r"DATABASE_URL is set.*kos up --embedded"):
        house.up(embedded=True, **own)
    back = house.up(embedded=True)

    assert back.database_url == first.database_url
    assert {"infra:postgres", "infra:redis"} <= names(back)
    assert house.settings().database_url == first.database_url


def test_a_home_that_forgot_its_own_services_does_not_start_empty_ones(house: House) -> None:
    house.home.mkdir()
    (house.home / "env").write_text("KOS_PYTHON=/usr/bin/python3\nKOS_DASHBOARD_PORT=11480\n")

    with pytest.raises(ServiceError, match=r"ran on a service of your own.*set DATABASE_URL once"):
        house.up()


def test_an_explicit_home_wins_over_what_a_loaded_file_exported(
    house: House, own: Own, tmp_path: Path
) -> None:
    settings = house.up(**own)
    loaded = dict(
        line.removeprefix("export ").replace("'", "").split("=", 1)
        for line in (house.home / "env").read_text().splitlines()
        if line.startswith("export ")
    )

    other = load({**loaded, "KOS_HOME": str(tmp_path / "other")})
    assert (other.home, other.database_url) == (tmp_path / "other", None)
    assert other.embedded_postgres
    assert other.supervisor_socket is None
    assert not down(other)

    assert {program.state for program in status(settings)} == {"RUNNING"}
    assert load(loaded).supervisor_socket == settings.supervisor_socket


def test_a_changed_dotenv_restarts_the_programs_it_concerns(house: House, tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("KOS_POLICY=fifo\n")
    before = pids(house.up(KOS_DOTENV=str(dotenv)))

    dotenv.write_text("KOS_POLICY=fifo\nKOS_DASHBOARD_READ_ONLY=true\n")
    lines: list[str] = []
    after = pids(house.up(say=lines.append, KOS_DOTENV=str(dotenv)))

    assert lines == ["changed: KOS_DASHBOARD_READ_ONLY; restarting watch:dashboard"]
    assert {name for name in before if before[name] != after[name]} == {"watch:dashboard"}

    dotenv.write_text("KOS_POLICY=seed\nKOS_DASHBOARD_READ_ONLY=true\n")
    again = pids(house.up(KOS_DOTENV=str(dotenv)))

    changed = {name for name in after if after[name] != again[name]}
    assert changed == {name for name in after if not name.startswith("infra:")}
    assert pids(house.up(KOS_DOTENV=str(dotenv))) == again


def test_model_servers_that_a_shell_exported_are_known_to_others_until_it_says_otherwise(
    house: House, tmp_path: Path
) -> None:
    file = tmp_path / "servers.toml"
    file.write_text('[[backend]]\nname = "b"\nkind = "openai"\nurl = "http://127.0.0.1:9"\n')
    here: Any = {"OLLAMA_API_URL": "http://127.0.0.1:7", "MLX_API_URL": "disabled"}
    bare = {"KOS_HOME": str(house.home)}
    lines: list[str] = []
    house.up(KOS_BACKENDS_FILE=str(file), **here)

    house.up(say=lines.append, **here)

    assert [spec.url for spec in load(bare).backends] == [
        here["OLLAMA_API_URL"],
        "http://127.0.0.1:9",
    ]
    assert not [line for line in lines if line.startswith(("changed", "not applied"))]
    named = load({**bare, "OLLAMA_BASE_URL": "http://127.0.0.1:6"})
    assert named.backends[0].url == "http://127.0.0.1:6"

    here["OLLAMA_API_URL"] = "http://127.0.0.1:8"
    house.up(say=lines.append, KOS_BACKENDS_FILE="", **here)

    assert [spec.url for spec in load(bare).backends] == [here["OLLAMA_API_URL"]]
    assert any(line.startswith("changed: KOS_BACKENDS_FILE") for line in lines)


def test_what_a_shell_exports_later_is_named_as_not_applied(house: House) -> None:
    before = pids(house.up())
    lines: list[str] = []

    after = pids(house.up(say=lines.append, KOS_POLICY="seed"))

    assert after == before
    assert len(lines) == 1
    assert lines[0].startswith("not applied: KOS_POLICY")
    assert lines[0].endswith("kos down, then kos up")


def test_what_the_workers_may_read_counts_for_a_shell_that_exports_other_roots(
    house: House, tmp_path: Path
) -> None:
    house.up(KOS_FILE_ROOTS=str(tmp_path))

    shell = house.settings(KOS_FILE_ROOTS="/elsewhere")

    assert shell.roots_for_submitting == (tmp_path,)
    assert house.up(KOS_FILE_ROOTS="/elsewhere").roots_for_submitting == (tmp_path,)


def test_the_env_file_of_the_last_start_is_remembered(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs.settings.load import from_environment

    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("KOS_POLICY=fifo\n")
    up(
        from_environment(house.environ()),
        environ=house.environ(),
        python=str(house.python),
        prepare=lambda settings, *, demo: (),
        unready=lambda settings, programs: [],
    )

    monkeypatch.chdir("/")

    assert from_environment(house.environ()).policy == "fifo"
