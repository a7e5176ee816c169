from __future__ import annotations

import plistlib
import socket
import subprocess
from functools import partial
from pathlib import Path

import pytest

from console.boot import install
from console.boot.units import Argv, Deployment, Manager, Owner, Service, service
from console.operations.errors import OperationError
from console.supervision.notify import service_manager
from jobs.settings.load import load
from jobs.settings.sources import find_dotenv

ODD = Deployment(Path("/srv/a b"), '/opt/py "3" $x/python', "/usr/bin:/50%", Path("/srv/a b/.env"))


class FakeManager:
    """Takes commands down; those with ``refused`` in them fail."""

    def __init__(self, refused: str = "nothing") -> None:
        self.refused, self.calls = refused, list[str]()

    def __call__(self, command: Argv) -> subprocess.CompletedProcess[str]:
        self.calls.append(" ".join(command))
        fails = self.refused in command
        return subprocess.CompletedProcess(command, int(fails), "", "no bus" if fails else "")


def of_a_person(home_directory: Path, manager: Manager = Manager.SYSTEMD) -> Service:
    return service(manager, ODD, Owner(1000, home_directory))


def test_a_unit_quotes_what_systemd_would_expand() -> None:
    text = service(Manager.SYSTEMD, ODD, Owner(0, Path("/root"), run_as="kos")).text

    assert '"KOS_HOME=/srv/a b" "PATH=/usr/bin:/50%%" "KOS_DOTENV=/srv/a b/.env"\n' in text
    assert 'ExecStart="/opt/py \\"3\\" $$x/python" -m console.supervision run' in text
    assert "User=kos\n" in text
    assert "WantedBy=multi-user.target" in text
    assert "WantedBy=default.target" in of_a_person(Path("/home/me")).text


def test_a_property_list_starts_the_same_program_with_the_same_variables() -> None:
    planned = of_a_person(Path("/Users/me"), Manager.LAUNCHD)

    keys = plistlib.loads(planned.text.encode())

    assert planned.file == Path("/Users/me/Library/LaunchAgents/com.knowledge-os.jobs.plist")
    assert keys["ProgramArguments"] == [ODD.python, "-m", "console.supervision", "run"]
    assert keys["EnvironmentVariables"] == ODD.environment
    assert keys["KeepAlive"] == {"SuccessfulExit": False}
    assert planned.state == ("launchctl", "print", "gui/1000/com.knowledge-os.jobs")


def test_installing_twice_is_safe_and_removing_leaves_nothing(tmp_path: Path) -> None:
    planned, manager = of_a_person(tmp_path), FakeManager()

    for _ in range(2):
        make_room = partial(manager, ("make", "room"))
        assert install.install(planned, make_room=make_room, run=manager) == ()
        stopped = manager.calls.index("systemctl --user disable --now knowledge-os-jobs.service")
        assert stopped < manager.calls.index("make room")
        manager.calls.clear()
    assert install.install(planned, run=manager) == ()

    assert install.is_active(planned, run=manager)
    assert "systemctl --user enable --now knowledge-os-jobs.service" in manager.calls
    assert any(call.startswith("loginctl enable-linger") for call in manager.calls)
    assert install.remove(planned, run=manager)
    assert not planned.file.exists()
    assert not install.remove(planned, run=manager)


def test_the_service_of_another_home_is_not_overwritten(tmp_path: Path) -> None:
    planned = of_a_person(tmp_path)
    planned.file.parent.mkdir(parents=True)
    planned.file.write_text("another home")

    with pytest.raises(OperationError, match="kos service remove"):
        install.install(planned, run=FakeManager())

    assert planned.file.read_text() == "another home"


def test_a_manager_that_refuses_leaves_no_file_and_stops_nothing(tmp_path: Path) -> None:
    planned, stopped = of_a_person(tmp_path), list[str]()

    refusing = FakeManager(refused="enable")
    with pytest.raises(OperationError, match="no bus"):
        install.install(planned, run=refusing)
    assert "systemctl --user disable --now knowledge-os-jobs.service" in refusing.calls
    with pytest.raises(OperationError, match="no bus"):
        install.install(
            planned,
            make_room=lambda: stopped.append("what runs"),
            run=FakeManager(refused="daemon-reload"),
        )

    assert not planned.file.exists()
    assert stopped == []


def test_what_only_a_shell_knows_is_named_before_a_reboot_loses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"KOS_HOME": str(tmp_path), "KOS_MAX_ATTEMPTS": "5"}
    monkeypatch.setenv("KOS_HOME", str(tmp_path))
    monkeypatch.setenv("KOS_MAX_ATTEMPTS", "5")
    with pytest.raises(OperationError, match="kos up"):
        install.require_lasting(load(environ))
    (tmp_path / "env").write_text("KOS_PYTHON=python\n")

    with pytest.raises(OperationError, match="only this shell has KOS_MAX_ATTEMPTS"):
        install.require_lasting(load(environ))

    file = tmp_path / "settings.env"
    file.write_text("KOS_MAX_ATTEMPTS=5\n")
    environ["KOS_DOTENV"] = str(file)
    found = find_dotenv(environ, project=tmp_path, default_home=tmp_path)
    install.require_lasting(load(environ, dotenv=found))


def test_systemd_hears_that_the_service_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        service_manager()("READY=1")

        assert manager.recv(100) == b"READY=1"
