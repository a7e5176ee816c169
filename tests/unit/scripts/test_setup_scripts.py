"""Setting up an environment, with a fake python, pip and apt-get on PATH."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"

FAKE_PYTHON = """#!/bin/sh
# Stands for a system's python and for the one in the environment it makes.
echo "$(basename "$(dirname "$0")")/python $*" >> "$FAKES/calls.log"
case "$*" in
"-c import sys; sys.exit"*) [ ! -e "$FAKES/too-old" ] ;;
"-c import sys; print(sys.prefix)") dirname "$(dirname "$0")" ;;
"-m venv --without-pip "*) ;;
"-m venv "*)
    if [ -e "$FAKES/no-venv" ]; then exit 1; fi
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && touch "$3/pyvenv.cfg" ;;
"-m virtualenv "*) exit 1 ;;
"-m pip --version") ;;
"-m pip install"*" uv")
    if [ -e "$FAKES/no-network" ] || [ -e "$FAKES/no-uv" ]; then exit 1; fi
    cp "$FAKES/uv" "$(dirname "$0")/uv" ;;
"-m pip install"*)
    echo "SetuptoolsDeprecationWarning: editable" >&2
    [ ! -e "$FAKES/no-network" ] ;;
"-m tests.support.browsers --install") [ -e "$FAKES/fetchable-browser" ] ;;
"-m tests.support.browsers") [ ! -e "$FAKES/no-browser" ] ;;
"-m pytest --collect-only"*)
    echo tests/browser/test_pages.py::test_one
    echo tests/browser/test_pages.py::test_two
    echo tests/integration/pooler/test_pgbouncer.py::test_four
    echo tests/unit/test_layers.py::test_three ;;
"-m mypy") echo "an error of mypy"; [ ! -e "$FAKES/wrong-types" ] ;;
"-m tests.support.poolers") [ ! -e "$FAKES/no-pooler" ] ;;
"-m console.supervision running") exit 1 ;;
"-m console.demo"*)
    if [ -e "$FAKES/demo-hangs" ]; then touch "$FAKES/hanging"; exec sleep 600; fi
    [ ! -e "$FAKES/demo-fails" ] ;;
esac
"""
FAKE_UV = """#!/bin/sh
echo "uv $*" >> "$FAKES/calls.log"
echo "a warning of uv" >&2
[ ! -e "$FAKES/no-index" ]
"""
FAKE_APT = """#!/bin/sh
echo "apt-get $*" >> "$FAKES/calls.log"
case "$*" in *install*) rm -f "$FAKES/no-venv" ;; esac
"""
USUAL = ("sh", "dirname", "basename", "cat", "cksum", "grep", "mkdir", "rm", "cp", "touch",
         "sleep", "find", "env", "sed", "ls", "mktemp", "tail")  # fmt: skip


@dataclass(frozen=True)
class Checkout:
    """A checkout in a path with a space; PATH holds nothing but fakes and the usual tools."""

    fakes: Path

    @property
    def root(self) -> Path:
        return self.fakes / "my checkout"

    def has(self, name: str) -> None:
        (self.fakes / name).touch()

    def calls(self) -> list[str]:
        log = self.fakes / "calls.log"
        return log.read_text().splitlines() if log.exists() else []

    def installs(self) -> int:
        return sum("pip install" in call and " -e " in call for call in self.calls())

    def demo(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("demo", *arguments)

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.root / "scripts" / script), *arguments],
            env={"PATH": str(self.fakes / "bin"), "FAKES": str(self.fakes)},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip


def command(checkout: Checkout, name: str, text: str) -> None:
    path = checkout.fakes / "bin" / name
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    checkout = Checkout(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "uv").write_text(FAKE_UV)
    (tmp_path / "uv").chmod(0o755)
    for name in USUAL:
        found = shutil.which(name, path="/usr/bin:/bin")
        assert found is not None
        (tmp_path / "bin" / name).symlink_to(found)
    command(checkout, "python3.11", FAKE_PYTHON)
    command(checkout, "id", "#!/bin/sh\necho 1000\n")
    shutil.copytree(SCRIPTS, checkout.root / "scripts")
    for name in ("setup.cfg", "pyproject.toml", "constraints.txt"):
        (checkout.root / name).write_text(name)
    return checkout


def test_the_first_run_installs_and_the_second_does_not(checkout: Checkout) -> None:
    first = checkout.demo()
    second = checkout.demo()

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert checkout.installs() == 1
    assert f"-e {checkout.root}[embedded,dashboard,mlx]" in "\n".join(checkout.calls())
    assert not (checkout.root / ".venv.lock").exists()


@pytest.mark.parametrize("name", ["setup.cfg", "constraints.txt"])
def test_changed_dependencies_are_installed(checkout: Checkout, name: str) -> None:
    checkout.demo()
    (checkout.root / name).write_text("another")

    checkout.demo()

    assert checkout.installs() == 2


def test_the_uv_of_the_machine_is_used_and_its_warnings_are_not_shown(checkout: Checkout) -> None:
    command(checkout, "uv", FAKE_UV)

    done = checkout.demo()

    assert [call.split()[0] for call in checkout.calls() if "install" in call] == ["uv"]
    assert "a warning" not in done.stderr


@pytest.mark.parametrize("lack", ["no-uv", "no-index"])
def test_pip_installs_where_uv_is_not_to_be_had_or_fails(checkout: Checkout, lack: str) -> None:
    checkout.has(lack)

    done = checkout.demo()

    assert done.returncode == 0, done.stderr
    assert any("-m pip install" in call and " -e " in call for call in checkout.calls())


def test_the_versions_that_were_tested_are_installed(checkout: Checkout) -> None:
    checkout.demo()

    assert f"-c {checkout.root}/constraints.txt" in "\n".join(checkout.calls())


def test_without_a_browser_its_tests_are_left_out_by_name_and_counted(checkout: Checkout) -> None:
    checkout.has("no-browser")

    done = checkout.run("test", "tests/unit")

    assert done.returncode == 0, done.stderr
    assert "tests/browser/test_pages.py::test_two" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last == "Left out for want of a program: 2 tests of tests/browser (chromium). "
    assert "--ignore=tests/browser tests/unit" in checkout.calls()[-1]


def test_without_a_pooler_its_tests_are_left_out_by_name_and_counted(checkout: Checkout) -> None:
    checkout.has("no-pooler")

    done = checkout.run("test", "tests/unit")

    assert done.returncode == 0, done.stderr
    assert "tests/integration/pooler/test_pgbouncer.py::test_four" in done.stderr
    assert done.stderr.splitlines()[-1].endswith(
        "1 tests of tests/integration/pooler (pgbouncer). "
    )
    assert "--ignore=tests/integration/pooler tests/unit" in checkout.calls()[-1]


def test_a_browser_that_playwright_can_fetch_runs_its_tests(checkout: Checkout) -> None:
    checkout.has("no-browser")
    checkout.has("fetchable-browser")

    done = checkout.run("test")

    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stderr
    assert not any("--ignore" in call for call in checkout.calls())


@pytest.mark.parametrize("arguments", [(), ("tests/unit",)])
def test_a_check_that_fails_is_reported_whole_and_named_last(
    checkout: Checkout, arguments: tuple[str, ...]
) -> None:
    checkout.has("wrong-types")

    done = checkout.run("test", *arguments)

    assert done.returncode == 1
    assert "mypy FAILED\nan error of mypy\n" in done.stderr
    assert "ruff passed" in done.stderr
    assert done.stderr.splitlines()[-1] == "FAILED: mypy"
    assert any("-m pytest --numprocesses" in call for call in checkout.calls())


def test_a_release_is_installed_at_once_and_audited_and_packed(checkout: Checkout) -> None:
    done = checkout.run("test", "--release")

    assert done.returncode == 0, done.stderr
    assert checkout.installs() == 1
    assert f"-e {checkout.root}[embedded,mlx,dashboard,dev,audit,package]" in "\n".join(
        checkout.calls()
    )
    assert "audit passed" in done.stderr
    assert "package passed" in done.stderr


def test_a_moved_checkout_gets_a_new_environment(checkout: Checkout) -> None:
    checkout.demo()
    elsewhere = checkout.fakes / "moved" / "my checkout"
    elsewhere.parent.mkdir()
    checkout.root.rename(elsewhere)
    elsewhere.rename(checkout.fakes / "other name")
    moved = checkout.fakes / "other name"

    done = subprocess.run(
        [str(moved / "scripts" / "demo")],
        env={"PATH": str(checkout.fakes / "bin"), "FAKES": str(checkout.fakes)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert sum("-m venv" in call for call in checkout.calls()) == 2


def test_without_a_new_enough_python_the_message_says_what_to_install(checkout: Checkout) -> None:
    checkout.has("too-old")

    done = checkout.demo()

    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr
    assert not (checkout.root / ".venv.lock").exists()


def test_a_python_without_venv_is_told_what_to_install(checkout: Checkout) -> None:
    checkout.has("no-venv")

    done = checkout.demo()

    assert done.returncode == 1
    assert "cannot make virtual environments. Debian: apt-get install python3-venv" in done.stderr
    assert not (checkout.root / ".venv").exists()


def test_root_on_debian_installs_venv_by_itself(checkout: Checkout) -> None:
    checkout.has("no-venv")
    command(checkout, "id", "#!/bin/sh\necho 0\n")
    command(checkout, "apt-get", FAKE_APT)

    done = checkout.demo()

    assert done.returncode == 0, done.stderr
    assert "apt-get install -y -qq python3-venv" in checkout.calls()


def test_an_install_that_failed_is_tried_again(checkout: Checkout) -> None:
    checkout.has("no-network")
    failed = checkout.demo()
    (checkout.fakes / "no-network").unlink()

    done = checkout.demo()

    assert failed.returncode == 1
    assert "could not be installed" in failed.stderr
    assert done.returncode == 0
    # What the installation warns of helps only where it fails.
    assert "DeprecationWarning" in failed.stderr
    assert "DeprecationWarning" not in done.stderr


def test_the_demo_stops_everything_also_when_it_fails(checkout: Checkout) -> None:
    checkout.has("demo-fails")

    done = checkout.demo("--json")

    assert done.returncode == 1
    assert checkout.calls()[-2:] == [
        "bin/python -m console.demo --json",
        "bin/python -m console.supervision down",
    ]


def test_the_demo_keeps_running_when_asked(checkout: Checkout) -> None:
    done = checkout.demo("--keep")

    assert done.returncode == 0
    assert checkout.calls()[-1] == "bin/python -m console.demo --keep"


def test_a_directory_that_is_no_environment_is_not_removed(checkout: Checkout) -> None:
    (checkout.root / ".venv").mkdir()
    (checkout.root / ".venv" / "precious").touch()

    done = checkout.demo()

    assert done.returncode == 1
    assert "is no virtual environment; move it away" in done.stderr
    assert (checkout.root / ".venv" / "precious").exists()


def test_a_demo_that_is_interrupted_stops_everything_at_once(checkout: Checkout) -> None:
    checkout.has("demo-hangs")
    demo = subprocess.Popen(
        [str(checkout.root / "scripts" / "demo")],
        env={"PATH": str(checkout.fakes / "bin"), "FAKES": str(checkout.fakes)},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not (checkout.fakes / "hanging").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)

    demo.terminate()

    assert demo.wait(timeout=30) == 143
    assert checkout.calls()[-1] == "bin/python -m console.supervision down"
