from __future__ import annotations

import os
import socket
import subprocess
import sys

import psutil

from jobs.process.owners import process_is_gone, process_is_here, process_owner
from tests.integration.admission.test_slots_admission import until


def test_this_process_is_not_gone() -> None:
    owner = process_owner()

    assert owner.startswith(f"{socket.gethostname()}:")
    assert f"/{os.getpid()}/" in owner
    assert not process_is_gone(owner)
    assert process_owner() == owner


def test_a_process_that_ended_is_gone_even_before_it_is_buried() -> None:
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import jobs.process.owners as o; print(o.process_owner(), flush=True)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    owner = child.stdout.readline().strip()
    until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)

    gone_as_zombie = process_is_gone(owner)
    child.communicate(timeout=10)

    assert gone_as_zombie
    assert process_is_gone(owner)


def test_a_pid_that_went_to_another_process_is_gone() -> None:
    host = process_owner().rsplit("/", 2)[0]
    assert process_is_gone(f"{host}/{os.getpid()}/1")


def test_nothing_is_said_of_other_hosts_or_other_names() -> None:
    assert not process_is_gone(f"elsewhere/{2**30}/1")
    assert not process_is_gone("not an owner")
    assert not process_is_gone(f"{socket.gethostname()}/pid/1")


def test_a_pid_of_another_namespace_or_boot_is_never_called_gone() -> None:
    host, boot, namespace = process_owner().rsplit("/", 2)[0].split(":")
    for other in (f"{host}:{boot}:1{namespace}", f"{host}:0{boot}:{namespace}", host):
        assert not process_is_gone(f"{other}/999999999/1")
        assert not process_is_here(f"{other}/{os.getpid()}/1")
