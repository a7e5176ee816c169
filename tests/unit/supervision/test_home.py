from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from console.home import (
    free_port,
    locked,
    port_is_free,
    prepare_home,
    private_directory,
    supervisor_socket_path,
    update_env,
    write_private,
)
from console.services.errors import ServiceError
from console.supervision.health import last_words
from jobs.settings.sources import read_home_env


def test_the_env_file_is_private_and_a_shell_reads_what_we_wrote(tmp_path: Path) -> None:
    home = tmp_path / "it's a home"
    prepare_home(home)

    update_env(home, {"DATABASE_URL": "postgresql://u:p'a$s@h/d", "KOS_HEALTH_PORT": "4711"})

    assert (home / "env").stat().st_mode & 0o777 == 0o600
    script = f'. "{home}/env" && printf "%s" "$DATABASE_URL"'
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == "postgresql://u:p'a$s@h/d"
    assert read_home_env(home)["DATABASE_URL"] == "postgresql://u:p'a$s@h/d"


def test_a_port_is_not_exported_to_shells_that_outlive_it(tmp_path: Path) -> None:
    prepare_home(tmp_path / "home")
    update_env(tmp_path / "home", {"KOS_HEALTH_PORT": "4711", "KOS_PYTHON": "/p"})

    script = f'. "{tmp_path}/home/env" && env'
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout

    assert "KOS_PYTHON=/p" in said
    assert "KOS_HEALTH_PORT" not in said


def test_none_forgets_a_pair(tmp_path: Path) -> None:
    prepare_home(tmp_path / "home")
    update_env(tmp_path / "home", {"KOS_HAND": "1", "KOS_POLICY": "seed"})

    assert update_env(tmp_path / "home", {"KOS_HAND": None}) == {"KOS_POLICY": "seed"}


def test_a_home_that_is_a_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")

    with pytest.raises(ServiceError, match="set KOS_HOME"):
        prepare_home(tmp_path / "home")


def test_a_file_that_cannot_be_replaced_stays_whole(tmp_path: Path) -> None:
    target = tmp_path / "env"
    target.mkdir()

    with pytest.raises(ServiceError, match="cannot be written"):
        write_private(target, "text")

    assert [path.name for path in tmp_path.iterdir()] == ["env"]


def test_the_lock_is_held_by_one(tmp_path: Path) -> None:
    prepare_home(tmp_path / "home")

    with locked(tmp_path / "home", "up") as first, locked(tmp_path / "home", "up") as second:
        assert first
        assert not second
    with locked(tmp_path / "home", "up") as again:
        assert again


def test_a_taken_port_is_not_chosen() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert not port_is_free(port)
        assert free_port(port) != port


def test_a_deep_home_gets_a_short_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)

    path = supervisor_socket_path(deep)

    assert len(os.fsencode(path)) < 90
    assert path == supervisor_socket_path(deep)
    assert path != supervisor_socket_path(deep / "other")


def test_a_directory_that_is_a_link_of_somebody_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    with pytest.raises(ServiceError, match="belongs to somebody else"):
        private_directory(tmp_path / "link")


def test_the_last_words_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("first\nlast\n\n")

    assert last_words(tmp_path / "x.log") == "last"
    assert last_words(tmp_path / "missing.log") == ""
