"""Root's own directories are closed to the account that the databases run as."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from console.services.account import (
    data_directory,
    readable_root,
    remove_unused_copies,
    unprivileged_account,
)
from console.services.errors import ServiceError
from console.services.identity import mark, orphans, purge
from console.services.postgres import PostgresPlan, prepare_postgres
from console.services.redis import RedisPlan, prepare_redis


@contextmanager
def closed_home() -> Iterator[tuple[Path, Path]]:
    """(a home below a directory that only we can enter, a shared place that all can enter)."""
    with tempfile.TemporaryDirectory() as closed, tempfile.TemporaryDirectory() as open_:
        Path(open_).chmod(0o755)
        home = Path(closed).resolve() / "my home"
        home.mkdir()
        yield home, Path(open_).resolve()


def test_data_of_a_closed_home_are_kept_where_the_account_can_enter() -> None:
    account = unprivileged_account()
    with closed_home() as (home, shared):
        place = data_directory(home, "postgres", account=account, shared=shared)

        assert (home / "postgres").resolve() == place
        assert account is None or account.can("-w", place)
        assert place == data_directory(home, "postgres", account=account, shared=shared)


def test_a_home_made_anew_at_the_same_path_never_gets_the_data_of_the_one_before() -> None:
    account = unprivileged_account()
    with closed_home() as (home, shared):
        place = data_directory(home, "postgres", account=account, shared=shared)
        (place / "theirs").touch()
        shutil.rmtree(home)
        home.mkdir()

        fresh = data_directory(home, "postgres", account=account, shared=shared)

        assert not (fresh / "theirs").exists()
        if account is not None:
            assert (place / "theirs").exists()
            assert orphans(shared) == (
                f"{place} holds data of a home that is gone ({home}); remove it",
            )


def test_a_link_to_the_data_of_another_home_is_not_followed() -> None:
    account = unprivileged_account()
    with closed_home() as (home, shared):
        theirs = shared / "theirs"
        theirs.mkdir()
        other = home.parent / "other home"
        other.mkdir()
        mark(theirs, other)
        (home / "redis").symlink_to(theirs)

        place = data_directory(home, "redis", account=account, shared=shared)

        assert place != theirs
        assert theirs.exists()


def test_a_purge_removes_a_home_with_its_data_outside_and_nothing_else() -> None:
    account = unprivileged_account()
    with closed_home() as (home, shared):
        place = data_directory(home, "postgres", account=account, shared=shared)
        with pytest.raises(ServiceError, match="nothing was removed"):
            purge(home)
        (home / "env").touch()
        (home / "run").mkdir()
        (shared / "not ours").mkdir()
        (home / "link").symlink_to(shared / "not ours")

        assert home in purge(home)

        assert not home.exists()
        assert not place.exists()
        assert (shared / "not ours").exists()


def test_copies_of_programs_go_with_the_last_home_once_nothing_runs_from_them(
    tmp_path: Path,
) -> None:
    used, unused = tmp_path / "programs" / "used", tmp_path / "programs" / "unused"
    for copy in (used, unused):
        copy.mkdir(parents=True)
        shutil.copy2(shutil.which("sleep") or "/bin/sleep", copy / "server")
    server = subprocess.Popen([str(used / "server"), "60"])
    try:
        assert remove_unused_copies(tmp_path) == (unused,)
        assert used.exists()
    finally:
        server.kill()
        server.wait()

    (tmp_path / "homes" / "another").mkdir(parents=True)
    assert remove_unused_copies(tmp_path) == ()
    (tmp_path / "homes" / "another").rmdir()
    assert remove_unused_copies(tmp_path) == (used,)


def test_programs_below_a_closed_directory_are_copied_to_where_they_can_be_run() -> None:
    account = unprivileged_account()
    with closed_home() as (home, shared):
        program = home / "wheel" / "bin" / "server"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o700)

        root = readable_root(home, ("wheel",), probe="wheel/bin/server", account=account,
                             shared=shared)  # fmt: skip

        assert account is None or account.can("-x", root / "wheel" / "bin" / "server")
        assert program.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("service", ["postgres", "redis"])
def test_a_service_is_prepared_below_a_closed_home(service: str) -> None:
    account = unprivileged_account()
    with closed_home() as (home, shared):
        if service == "postgres":
            plan = PostgresPlan(home, port=1, password="secret", durable=False)
            command = prepare_postgres(plan, account=account, shared=shared)
        else:
            command = prepare_redis(RedisPlan(home, 1, "secret"), account=account, shared=shared)

        assert account is None or account.can("-x", Path(command.argv[0]))
        assert account is None or account.can("-w", command.directory)
        assert "secret" not in " ".join(command.argv)


def test_a_killed_initialisation_leaves_no_half_cluster() -> None:
    account = unprivileged_account()
    with closed_home() as (home, shared):
        directory = data_directory(home, "postgres", account=account, shared=shared)
        (directory / "data.new" / "base").mkdir(parents=True)
        plan = PostgresPlan(home, port=1, password="secret", durable=False)

        command = prepare_postgres(plan, account=account, shared=shared)

        assert (command.directory / "PG_VERSION").is_file()
        assert not (directory / "data.new").exists()
