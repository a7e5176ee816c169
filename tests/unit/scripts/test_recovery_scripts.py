"""The recovery scripts against fake docker, ollama and curl on PATH."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.support.polling import pauses

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"

# Each fake writes its call to calls.log; a file in state/ decides what it says.
FAKE_DOCKER = """#!/bin/bash
echo "docker $*" >> "$FAKES/calls.log"
all="$*"
name=${all##* }
healthy="running healthy"
case "$*" in
info) [ -e "$FAKES/state/docker-up" ] ;;
"compose version") ;;
"network inspect "*) [ -e "$FAKES/state/network" ] ;;
"network create "*) touch "$FAKES/state/network" ;;
"compose -f "*) [ ! -e "$FAKES/state/hanging-compose" ] || sleep 600 ;;&
*" config --services") printf 'postgres\\nredis\\n' ;;
*" ps -q -a "*) [ -e "$FAKES/state/$name" ] && echo "id-$name" ;;
"inspect victoria-agent") [ -e "$FAKES/state/victoria-agent" ] ;;
"restart victoria-agent") cp "$FAKES/state/victoria-agent" "$FAKES/state/$VICTORIA_STATUS" ;;
"inspect -f "*) cat "$FAKES/state/${name#id-}" ;;
*" up -d "*) [ -e "$FAKES/state/broken" ] || echo "$healthy" > "$FAKES/state/$name" ;;
*" restart "*) echo "$healthy" > "$FAKES/state/$name" ;;
esac
"""
FAKE_CURL = """#!/bin/bash
url=${*: -1}
echo "curl $url" >> "$FAKES/calls.log"
[ -e "$FAKES/state/slow-curl" ] && sleep 60
name=$(printf '%s' "$url" | tr -c 'A-Za-z0-9\\n' _)
cat "$FAKES/state/$name" 2>/dev/null
"""
FAKE_OLLAMA = """#!/bin/bash
echo "ollama $*" >> "$FAKES/calls.log"
touch "$FAKES/state/http___localhost_11434_api_version"
"""
FAKE_SYSTEMCTL = """#!/bin/bash
echo "systemctl $*" >> "$FAKES/calls.log"
case "$*" in
"start docker") touch "$FAKES/state/docker-up" ;;
"cat ollama.service") exit 1 ;;
esac
"""
FAKE_PYTHON = """#!/bin/bash
echo "python $*" >> "$FAKES/calls.log"
case "$*" in
*running) [ -e "$FAKES/state/supervisord" ] ;;
*up)
    if [ -e "$FAKES/state/bad-settings" ]; then
        echo "SMART_WORKER_BATCH_SIZE is bad" >&2
        exit 4
    fi
    touch "$FAKES/state/supervisord" ;;
esac
"""
FAKE_UNAME = "#!/bin/bash\necho Linux\n"
FAKE_DARWIN = "#!/bin/bash\necho Darwin\n"
FAKE_ROUTE = """#!/bin/bash
[ -e "$FAKES/state/route" ]
"""
FAKE_NETWORKSETUP = """#!/bin/bash
echo "networksetup $*" >> "$FAKES/calls.log"
case "$1" in
-listallhardwareports)
    printf 'Hardware Port: %s\\nDevice: %s\\n\\n' Ethernet en0 Wi-Fi en1 ;;
-getairportpower) echo "Wi-Fi Power ($2): $(cat "$FAKES/state/wifi")" ;;
-setairportpower) [ "$2" = en1 ] && echo On > "$FAKES/state/wifi" ;;
esac
"""
VICTORIA_STATUS = "http___localhost_8010_status"
LEVELS = '{"status": "ok", "victoria_levels": {"agent": true, "enhanced": %s, "initiative": true}}'
OLLAMA_UP = "http___localhost_11434_api_version"


@dataclass(frozen=True)
class Machine:
    root: Path

    @property
    def home(self) -> Path:
        return self.root / "kos home"

    def has(self, name: str, text: str = "") -> None:
        (self.root / "state" / name).write_text(text)

    def calls(self) -> str:
        log = self.root / "calls.log"
        return log.read_text() if log.exists() else ""

    def run(
        self, script: str, *arguments: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        environ = {
            "PATH": f"{self.root}/bin:/usr/bin:/bin",
            "HOME": str(self.root),
            "TMPDIR": str(self.root),
            "FAKES": str(self.root),
            "VICTORIA_STATUS": VICTORIA_STATUS,
            "KOS_HOME": str(self.home),
            "KOS_DOTENV": str(self.root / "dotenv"),
            "KOS_PYTHON": str(self.root / "bin" / "python"),
            "MLX_API_URL": "disabled",
            **variables,
        }
        return subprocess.run(
            ["bash", str(SCRIPTS / script), *arguments],
            env=environ, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A healthy machine that uses Docker, Ollama and supervisord."""
    machine = Machine(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "state").mkdir()
    for directory in ("log", "run"):
        (machine.home / directory).mkdir(parents=True)
    (machine.home / "env").write_text("export KOS_PROJECT=/somewhere\n")
    fakes = {"docker": FAKE_DOCKER, "curl": FAKE_CURL, "ollama": FAKE_OLLAMA, "uname": FAKE_UNAME,
             "systemctl": FAKE_SYSTEMCTL, "python": FAKE_PYTHON}  # fmt: skip
    for name, text in fakes.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    for name in ("docker-up", "network", OLLAMA_UP, "supervisord"):
        machine.has(name)
    for name in ("postgres", "redis"):
        machine.has(name, "running healthy")
    (tmp_path / "compose.yml").write_text("services: {}\n")
    return machine


def recover(
    machine: Machine, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    compose = str(machine.root / "compose.yml")
    return machine.run(
        "system_auto_recovery.sh", *arguments, **{"KOS_COMPOSE_FILE": compose, **variables}
    )


def gone(machine: Machine, name: str) -> None:
    (machine.root / "state" / name).unlink()


def test_a_healthy_machine_is_left_alone(machine: Machine) -> None:
    done = recover(machine)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "docker=ok docker-network=ok containers=ok ollama=ok mlx=skipped" in done.stdout
    assert "supervisord=ok" in done.stdout
    assert not [call for call in machine.calls().splitlines() if "start" in call or " up" in call]


def test_what_is_down_is_started_and_said(machine: Machine) -> None:
    for name in ("docker-up", "network", OLLAMA_UP, "supervisord"):
        gone(machine, name)
    machine.has("redis", "exited ")

    done = recover(machine)

    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("docker=fixed", "docker-network=fixed", "containers=ok", "ollama=fixed",
                 "supervisord=fixed"):  # fmt: skip
        assert part in done.stdout
    calls = machine.calls()
    assert "systemctl start docker" in calls
    assert "up -d redis" in calls
    assert "up -d postgres" not in calls
    assert "ollama serve" in calls
    assert "python -m console.supervision up" in calls
    assert "summary:" in (machine.home / "log" / "recovery.log").read_text()


def test_a_dry_run_changes_nothing(machine: Machine) -> None:
    for name in ("network", OLLAMA_UP, "supervisord"):
        gone(machine, name)
    machine.has("redis", "exited ")

    done = recover(machine, "--dry-run")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "would run: docker network create" in done.stdout
    assert "would start: ollama serve" in done.stdout
    calls = machine.calls()
    for change in ("network create", "up -d", "ollama serve", "supervision up"):
        assert change not in calls


def test_what_cannot_be_mended_is_named_by_the_exit_code(machine: Machine) -> None:
    done = recover(machine, VICTORIA_URL="http://localhost:8010")

    assert done.returncode == 1
    assert "victoria: failed - http://localhost:8010 does not answer" in done.stdout
    assert "supervisord=ok" in done.stdout


def test_an_agent_is_started_by_its_command(machine: Machine) -> None:
    mark = machine.root / "state" / "http___localhost_8011_health"

    done = recover(machine, VERONICA_URL="http://localhost:8011/",
                   KOS_VERONICA_COMMAND=f"touch '{mark}'")  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert "veronica=fixed" in done.stdout


def test_the_last_words_of_what_failed_are_in_the_log(machine: Machine) -> None:
    gone(machine, "supervisord")
    machine.has("bad-settings")

    done = recover(machine)

    assert done.returncode == 1
    assert "it failed (4): SMART_WORKER_BATCH_SIZE is bad" in done.stdout


def test_a_system_stopped_on_purpose_stays_down(machine: Machine) -> None:
    gone(machine, "supervisord")
    (machine.home / "run" / "stopped-on-purpose").touch()

    done = recover(machine)

    assert done.returncode == 0
    assert "supervisord=skipped" in done.stdout
    assert "supervision up" not in machine.calls()


def test_docker_is_not_touched_where_the_embedded_databases_are_used(machine: Machine) -> None:
    (machine.home / "env").write_text("export KOS_EMBEDDED_DATABASE_URL='postgresql://x'\n")

    done = recover(machine)

    assert "docker=skipped" in done.stdout
    assert "docker" not in machine.calls()


def test_beside_own_services_no_second_deployment_is_started(machine: Machine) -> None:
    """Neither a compose file nor its password is named: the one that ships is not this system's."""
    done = machine.run("system_auto_recovery.sh", DATABASE_URL="postgresql://localhost/own")

    assert "docker=skipped" in done.stdout
    assert "docker" not in machine.calls()


def test_beside_the_jobs_of_kos_up_no_container_is_made(machine: Machine) -> None:
    gone(machine, "redis")

    beside = recover(machine)
    asked = recover(machine, KOS_RECOVERY_DOCKER="yes")

    assert "redis: unused" in beside.stdout
    assert "redis: missing" in asked.stdout
    assert machine.calls().count("up -d redis") == 1


def test_docker_that_hangs_on_compose_does_not_hold_the_recovery(machine: Machine) -> None:
    """It answers ``docker info``, and every question about containers stays open."""
    machine.has("hanging-compose")

    done = recover(machine, KOS_RECOVERY_QUERY_SECONDS="1")

    assert done.returncode == 1
    assert "docker=ok" in done.stdout
    assert "containers=failed" in done.stdout
    assert "supervisord=ok" in done.stdout


def test_a_second_compose_file_is_looked_after(machine: Machine) -> None:
    second = machine.root / "second compose.yml"
    second.write_text("services: {}\n")

    done = recover(machine, KOS_SECOND_COMPOSE_FILE=str(second))

    assert "second-containers=ok" in done.stdout
    assert f"compose -f {second} config --services" in machine.calls()


def test_the_mlx_server_is_started_with_the_variables_of_the_dotenv_file(machine: Machine) -> None:
    done = machine.run("start_mlx_api_server.sh", "--host", "127.0.0.2")

    assert done.returncode == 0, done.stderr
    assert "python -m console.services mlx-api --host 127.0.0.2" in machine.calls()


def test_urls_are_read_from_the_dotenv_file(machine: Machine) -> None:
    (machine.root / "dotenv").write_text('OLLAMA_API_URL="http://gpu.example:11434"\n')

    done = recover(machine)

    assert "curl http://gpu.example:11434/api/version" in machine.calls()
    assert "ollama: failed - http://gpu.example:11434 does not answer" in done.stdout


@pytest.mark.parametrize("written", ["{root}/kos home", "~/kos home"])
def test_the_home_is_read_from_the_dotenv_file(machine: Machine, written: str) -> None:
    (machine.root / "dotenv").write_text(f"KOS_HOME='{written.format(root=machine.root)}'\n")
    (machine.home / "run" / "stopped-on-purpose").touch()
    gone(machine, "supervisord")

    done = recover(machine, KOS_HOME="")
    shown = machine.run("install_auto_recovery.sh", "--dry-run", "--method", "cron", KOS_HOME="")

    assert "supervisord=skipped" in done.stdout
    assert "summary:" in (machine.home / "log" / "recovery.log").read_text()
    assert f"KOS_HOME='{machine.home}'" in shown.stdout


def test_a_relative_home_lies_in_the_checkout(machine: Machine) -> None:
    shown = machine.run("install_auto_recovery.sh", "--dry-run", "--method", "cron", KOS_HOME="k")

    assert f"KOS_HOME='{SCRIPTS.parent}/k'" in shown.stdout


@pytest.mark.parametrize(
    ("file", "environ", "value"),
    [
        ("X=one\nX=two\nXY=three\n", {}, "two"),
        ("X=one\n", {"X": "own"}, "own"),
        ('export X="a b"\n', {}, "a b"),
        ("X='q'\n#X=later\n", {}, "q"),
        ("XY=three\n", {}, "default"),
    ],
)
def test_a_setting_is_read_as_a_shell_reads_it(
    tmp_path: Path, file: str, environ: dict[str, str], value: str
) -> None:
    (tmp_path / "dotenv").write_text(file)
    script = f'root=$1; . "{SCRIPTS}/lib/recovery.sh"; setting X default "$1/dotenv"'

    said = subprocess.run(
        ["bash", "-c", script, "-", str(tmp_path)],
        env={"PATH": "/usr/bin:/bin", **environ}, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert said.stdout == value


def test_a_second_run_at_once_does_nothing(machine: Machine) -> None:
    lock = machine.home / "run" / "kos-recovery.lock"
    lock.mkdir()
    (lock / "pid").write_text(str(os.getpid()))

    done = recover(machine)

    assert done.returncode == 0
    assert "another recovery is at work" in done.stdout
    assert lock.exists()


@pytest.mark.parametrize("state", ["its run was killed", "its run hangs for more than an hour"])
def test_the_lock_of_a_run_that_is_gone_is_taken_over(machine: Machine, state: str) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    lock = machine.home / "run" / "kos-recovery.lock"
    lock.mkdir()
    hangs = "hangs" in state
    (lock / "pid").write_text(str(os.getpid() if hangs else ended.pid))
    if hangs:
        long_ago = time.time() - 61 * 60
        os.utime(lock, (long_ago, long_ago))

    done = recover(machine)

    assert "summary:" in done.stdout
    assert not lock.exists()


def test_an_unknown_option_is_refused_with_the_usage(machine: Machine) -> None:
    done = recover(machine, "--dryrun")

    assert done.returncode == 2
    assert "--dry-run" in done.stderr


def sourced(machine: Machine, text: str) -> str:
    """What ``text`` prints where the functions of the recovery scripts are known."""
    script = machine.root / "sourced.sh"
    script.write_text(f'root="{machine.root}"\n. "{SCRIPTS}/lib/recovery.sh"\n{text}\n')
    done = subprocess.run(
        ["bash", str(script)], capture_output=True, text=True, check=False, timeout=30
    )
    return done.stdout


def test_a_command_that_hangs_is_ended_after_its_seconds(machine: Machine) -> None:
    begun = time.monotonic()

    assert sourced(machine, 'bounded 2 sleep 600\necho "code $?"') == "code 124\n"

    assert 2 <= time.monotonic() - begun < 8


def test_a_command_that_is_ended_leaves_no_child(machine: Machine) -> None:
    child = machine.root / "child"
    program = f"trap '' TERM; sleep 600 & echo $! > '{child}'; wait; wait"

    sourced(machine, f"bounded 1 bash -c {shlex.quote(program)}")

    with suppress(psutil.NoSuchProcess):
        orphan = psutil.Process(int(child.read_text()))
        end = time.monotonic() + 10
        for pause in pauses():
            if orphan.status() == psutil.STATUS_ZOMBIE:
                break
            assert time.monotonic() < end
            time.sleep(pause)


def test_a_command_keeps_its_exit_code_and_a_reply_its_text(machine: Machine) -> None:
    text = 'bounded 5 bash -c "exit 3"; echo "$?"; reply 5 bash -c "echo out; echo err >&2; exit 4"'

    assert sourced(machine, f'{text}; echo "$?"') == "3\nout\n4\n"


def test_waiting_for_a_slow_question_ends_by_the_clock(machine: Machine) -> None:
    begun = time.monotonic()

    sourced(machine, "slow() { sleep 1; return 1; }; until_true 3 slow")

    assert time.monotonic() - begun < 8


def test_unhealthy_containers_are_restarted_and_stopped_ones_started(machine: Machine) -> None:
    machine.has("postgres", "running unhealthy")
    machine.has("redis", "exited ")

    done = machine.run("check_and_start_containers.sh", "--file", str(machine.root / "compose.yml"))

    assert done.returncode == 0, done.stdout + done.stderr
    compose = f"docker compose -f {machine.root / 'compose.yml'}"
    assert f"{compose} restart postgres" in machine.calls()
    assert f"{compose} up -d redis" in machine.calls()
    assert f"{compose} ps -q -a redis" in machine.calls()


def test_containers_that_do_not_come_up_are_named(machine: Machine) -> None:
    gone(machine, "redis")
    machine.has("broken")

    done = machine.run("check_and_start_containers.sh", "--wait", "1",
                       "--file", str(machine.root / "compose.yml"))  # fmt: skip

    assert done.returncode == 1
    assert "redis: still missing" in done.stdout


def test_docker_that_does_not_answer_is_told_apart(machine: Machine) -> None:
    gone(machine, "docker-up")

    done = machine.run("check_and_start_containers.sh", "--file", str(machine.root / "compose.yml"))

    assert done.returncode == 4
    assert "Docker does not answer" in done.stderr


@pytest.mark.parametrize("method", ["launchd", "systemd", "cron"])
def test_the_installer_shows_what_it_would_write(machine: Machine, method: str) -> None:
    done = machine.run("install_auto_recovery.sh", "--dry-run", "--method", method)

    assert done.returncode == 0, done.stderr
    assert f"{SCRIPTS}/system_auto_recovery.sh" in done.stdout
    assert str(machine.home) in done.stdout
    assert "@ROOT@" not in done.stdout


def test_the_crontab_keeps_its_other_lines_and_holds_ours_once(machine: Machine) -> None:
    table = machine.root / "crontab"
    table.write_text("0 1 * * * backup\n")
    fake = machine.root / "bin" / "crontab"
    fake.write_text(
        f'#!/bin/bash\nif [ "$1" = -l ]; then cat "{table}"; else cat "$1" > "{table}.new" && '
        f'mv "{table}.new" "{table}"; fi\n'
    )
    fake.chmod(0o755)

    for _ in range(2):
        machine.run("install_auto_recovery.sh", "--method", "cron")
    installed = table.read_text()
    shown = machine.run(
        "install_auto_recovery.sh", "--method", "cron", "--uninstall", "--dry-run"
    ).stdout
    assert table.read_text() == installed
    machine.run("install_auto_recovery.sh", "--method", "cron", "--uninstall")

    assert shown.startswith("would remove from crontab:\n*/5 ")
    assert "backup" not in shown
    assert installed.count("backup") == 1
    assert installed.count("kos-auto-recovery") == 1
    assert table.read_text() == "0 1 * * * backup\n"


def test_every_script_is_executable_and_parses() -> None:
    scripts = [path for path in [*SCRIPTS.iterdir(), SCRIPTS.parent / ".ci" / "run"]
               if path.is_file()]  # fmt: skip
    assert len(scripts) >= 6
    for script in scripts:
        shell = "bash" if "bash" in script.read_text().splitlines()[0] else "sh"
        assert os.access(script, os.X_OK), script
        if shutil.which(shell) and "python" not in script.read_text().splitlines()[0]:
            subprocess.run([shell, "-n", str(script)], check=True)


def test_an_agent_that_answers_only_its_status_is_not_started_again(machine: Machine) -> None:
    machine.has(VICTORIA_STATUS, "{}")
    mark = machine.root / "started"

    done = recover(machine, KOS_VICTORIA_COMMAND=f"touch '{mark}'")

    assert "victoria=ok veronica=skipped" in done.stdout
    assert not mark.exists()


def test_a_level_of_victoria_that_is_off_comes_back_with_a_restart(machine: Machine) -> None:
    machine.has(VICTORIA_STATUS, LEVELS % "false")

    alone = recover(machine, KOS_COMPOSE_FILE="")
    machine.has("victoria-agent", LEVELS % "true")
    done = recover(machine, KOS_COMPOSE_FILE="")
    by_hand = machine.run("check_and_start_containers.sh")

    assert "victoria: failed - off: enhanced; there is no container" in alone.stdout
    assert "victoria: fixed - was off: enhanced" in done.stdout
    assert machine.calls().count("docker restart victoria-agent") == 1
    assert "victoria-agent" not in by_hand.stdout


def test_the_containers_script_restarts_it_too(machine: Machine) -> None:
    machine.has(VICTORIA_STATUS, LEVELS % "false")
    machine.has("victoria-agent", LEVELS % "true")

    done = machine.run("check_and_start_containers.sh")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "victoria-agent: off: enhanced" in done.stdout
    assert "docker restart victoria-agent" in machine.calls()


@pytest.mark.parametrize(
    ("route", "wanted", "result"),
    [(False, "auto", "fixed"), (True, "auto", "skipped"), (True, "yes", "fixed"),
     (False, "no", "skipped")],
)  # fmt: skip
def test_wifi_is_turned_on_where_a_mac_has_no_route(
    machine: Machine, route: bool, wanted: str, result: str
) -> None:
    for name, text in (("uname", FAKE_DARWIN), ("route", FAKE_ROUTE),
                       ("networksetup", FAKE_NETWORKSETUP)):  # fmt: skip
        program = machine.root / "bin" / name
        program.write_text(text)
        program.chmod(0o755)
    machine.has("wifi", "Off")
    if route:
        machine.has("route")

    done = recover(machine, KOS_RECOVERY_WIFI=wanted)

    assert f"wifi={result}" in done.stdout
    assert ("-setairportpower en1 on" in machine.calls()) == (result == "fixed")
