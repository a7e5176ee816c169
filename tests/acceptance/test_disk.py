"""A disk that is full, and a home that cannot be written: told in a line, and mended by space."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from jobs.settings.load import PROJECT
from tests.acceptance.house import House, end
from tests.support.ports import own_ports

DISK_BYTES = 220_000_000


@contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of its own, where this account may mount one."""
    with tempfile.TemporaryDirectory(prefix="kos disk ") as scratch:
        place = Path(scratch).resolve()
        place.parent.chmod(place.parent.stat().st_mode | 0o011)
        _run("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=755", "none", str(place))
        try:
            yield place
        finally:
            _run("umount", "-l", str(place))


def may_mount() -> bool:
    try:
        with small_disk():
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def house_on(place: Path) -> Iterator[House]:
    made = House(
        place / "home",
        {
            **own_ports(),
            "KOS_HEALTH_INTERVAL_SECONDS": "1",
            "KOS_SIMULATOR_SPEED": "30",
        },
    )
    try:
        yield made
    finally:
        end(made)


def fill(place: Path) -> Path:
    """A file that takes all that is left."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 1_000_000)
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 512)
    return filler


def complain(place: House, *words: str) -> str:
    """What a command says when it fails: one line, and no traceback."""
    done = place.kos(*words, code=None)
    assert done.returncode in (1, 2, 3, 4), done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def work_goes_on(made: House) -> None:
    made.wait(lambda: all(made.pids().values()), deadline_seconds=90, what="all programs running")
    task_id = ""

    def inserted() -> bool:
        nonlocal task_id
        task_id = made.insert("After", "Name three rivers.")
        return True

    made.wait(inserted, what="an insert")
    made.wait_status(task_id, "completed", deadline_seconds=120)


def read_only_then_full() -> None:
    with small_disk() as place, house_on(place) as made:
        made.home.mkdir()
        _run("mount", "-o", "remount,ro", str(place))
        try:
            assert str(made.home) in complain(made, "up")
        finally:
            _run("mount", "-o", "remount,rw", str(place))
        made.up()
        made.kos("experts", "add", "--from", str(PROJECT / "examples" / "experts.jsonl"))
        before = made.insert("Before", "Name three lakes.")
        made.wait_status(before, "completed")

        filler = fill(place)
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as big:
            for _ in range(60):  # random, so that it cannot be compressed
                big.write(json.dumps({"description": os.urandom(100_000).hex()}) + "\n")
            big.flush()
            assert "no space left" in complain(made, "submit", "--from", big.name).lower()
        made.wait(
            lambda: any(
                check["name"] == "disk" and not check["ok"] for check in made.health()["checks"]
            ),
            what="a red disk check",
        )

        filler.unlink()
        work_goes_on(made)
        assert made.task(before)["result"]


def closed_home() -> None:
    with tempfile.TemporaryDirectory(prefix="kos closed ") as scratch:
        place = Path(scratch).resolve()
        with house_on(place) as made:
            place.chmod(0o500)
            try:
                assert str(made.home) in complain(made, "up")
            finally:
                place.chmod(0o700)
            made.up()


def blocked_home() -> None:
    """Where nothing can be mounted and no permission binds: a file stands in the way."""
    with tempfile.TemporaryDirectory(prefix="kos blocked ") as scratch:
        place = Path(scratch).resolve() / "place"
        place.touch()
        with house_on(place) as made:
            assert str(made.home) in complain(made, "up")


HARMS = [read_only_then_full] if may_mount() else [blocked_home]
HARMS += [closed_home] if os.geteuid() != 0 else []


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_no_space_is_told_in_a_line_and_mended_by_space(harm: object) -> None:
    assert callable(harm)
    harm()
