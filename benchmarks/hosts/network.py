"""Hosts of a network of their own: namespaces with a cable to one switch.

Each has its own address, host name, processes, shared memory and wall clock. Needs root on Linux.
A cut takes the cable out of the switch: nothing is refused, packets are gone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

SWITCH = "kos-switch"
OUTSIDE = "10.77.0.1"
"""The machine itself: its databases and model servers listen here."""
WRONG_CLOCK = Path(__file__).with_name("clock")
COMMAND_SECONDS = 600
INIT = """
import signal, socket, subprocess, sys
socket.sethostname(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev/shm"], check=True)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
signal.pause()
"""
"""The first process of a host: whoever ends there is reaped."""


@dataclass(frozen=True, slots=True)
class Host:
    """``pid`` is its first process; its clock is ``ahead_seconds`` off."""

    name: str
    address: str
    pid: int
    ahead_seconds: int = 0

    @property
    def cable(self) -> str:
        return f"kos-{self.address.rpartition('.')[2]}"

    def run(
        self, *command: str, environ: Mapping[str, str], directory: Path
    ) -> subprocess.CompletedProcess[str]:
        enter = ("nsenter", f"--target={self.pid}", "--net", "--uts", "--pid", "--mount")
        return subprocess.run(
            [*enter, f"--wd={directory}", *command],
            env={**os.environ, **environ, **self._clock()},
            capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS,
        )  # fmt: skip

    def cut(self) -> None:
        _ip("link", "set", self.cable, "nomaster")

    def heal(self) -> None:
        _ip("link", "set", self.cable, "master", SWITCH)

    def _clock(self) -> dict[str, str]:
        return {
            "PYTHONPATH": str(WRONG_CLOCK),
            "HOST_CLOCK_AHEAD_SECONDS": str(self.ahead_seconds),
        }


def missing() -> str | None:
    """What keeps this machine from having hosts, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "root on Linux"
    for program in ("ip", "nsenter", "unshare", "mount"):
        if shutil.which(program) is None:
            return f"the program {program}"
    done = subprocess.run(["unshare", "--net", "--uts", "--pid", "--fork", "true"], check=False)
    return None if done.returncode == 0 else "the right to make namespaces"


@contextmanager
def network(hosts: Mapping[str, int]) -> Iterator[list[Host]]:
    """The hosts by name with the seconds that their clocks are ahead; gone afterwards."""
    processes: list[subprocess.Popen[str]] = []
    _ip("link", "add", SWITCH, "type", "bridge")
    try:
        _ip("addr", "add", f"{OUTSIDE}/24", "dev", SWITCH)
        _ip("link", "set", SWITCH, "up")
        yield [
            _started(name, f"10.77.0.{number}", ahead, processes)
            for number, (name, ahead) in enumerate(hosts.items(), start=11)
        ]
    finally:
        for process in processes:
            process.kill()
            process.wait()
        _ip("link", "del", SWITCH)


def _started(
    name: str, address: str, ahead_seconds: int, processes: list[subprocess.Popen[str]]
) -> Host:
    process = subprocess.Popen(
        ["unshare", "--net", "--uts", "--pid", "--mount", "--fork", "--mount-proc",
         "--kill-child", sys.executable, "-c", INIT, name],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    processes.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", f"{name} does not start"
    host = Host(name, address, psutil.Process(process.pid).children()[0].pid, ahead_seconds)
    _ip("link", "add", host.cable, "type", "veth", "peer", "eth0", "netns", str(host.pid))
    _ip("link", "set", host.cable, "master", SWITCH, "up")
    for words in (
        ("addr", "add", f"{address}/24", "dev", "eth0"),
        ("link", "set", "eth0", "up"),
        ("link", "set", "lo", "up"),
    ):
        _call(("nsenter", f"--target={host.pid}", "--net", "ip", *words))
    return host


def _ip(*words: str) -> None:
    _call(("ip", *words))


def _call(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
