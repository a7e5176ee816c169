"""``kos mcp`` where it cannot start."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from console.cli.main import main


def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "kos_client.mcp", raising=False)
    monkeypatch.delattr("kos_client.mcp", raising=False)
    for name in ["mcp", "mcp.server"]:
        monkeypatch.setitem(sys.modules, name, None)

    assert main(["mcp"]) == 2
    assert "knowledge-os-jobs[mcp]" in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        assert main(["mcp", "--http", str(port)]) == 2

    assert f"port {port} is taken" in capsys.readouterr().err


@pytest.mark.parametrize("stdin", ["<&-", "</dev/null", "<&- >&-"])
def test_without_an_agent_it_ends_at_once(tmp_path: Path, stdin: str) -> None:
    program = "import sys; from console.cli.main import main; sys.exit(main(['mcp']))"

    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {stdin}', sys.executable, program],
        env={**os.environ, "KOS_HOME": str(tmp_path)}, stderr=subprocess.PIPE, text=True,
        timeout=120, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
