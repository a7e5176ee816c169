"""kill -9 under load below supervisord: how long until it serves again, and what callers saw.

python -m benchmarks.mlx_server.restart [--kills 3]
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import requests

from benchmarks.mlx_server.servers import free_port
from tests.support.tiny_models import build_llama

ROOT = Path(__file__).resolve().parents[2]

BOUND_SECONDS = 10.0
CALLERS = 8
CONFIG = """
[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid

[program:mlx-api]
command={python} -m llm.mlx_server --port {port} --models-dir {folder}/models
directory={root}
autorestart=true
startsecs=1
stdout_logfile={folder}/out.log
stderr_logfile={folder}/err.log
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=3)
    kills = parser.parse_args().kills
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        build_llama(folder / "models" / "llama")
        config = folder / "supervisord.conf"
        config.write_text(CONFIG.format(folder=folder, python=sys.executable, port=port, root=ROOT))
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            downtimes, outcomes = _kill_under_load(port, supervisor.pid, kills)
        finally:
            supervisor.terminate()
            supervisor.wait(30)
    print(f"serving again after {[round(each, 2) for each in downtimes]} s (bound {BOUND_SECONDS})")
    print(f"callers saw {dict(outcomes)}")
    return 0 if max(downtimes) <= BOUND_SECONDS else 1


def _kill_under_load(port: int, supervisor: int, kills: int) -> tuple[list[float], Counter[str]]:
    _wait_until_serving(port)
    outcomes: Counter[str] = Counter()
    enough = threading.Event()
    callers = [
        threading.Thread(target=_keep_asking, args=(port, enough, outcomes)) for _ in range(CALLERS)
    ]
    for caller in callers:
        caller.start()
    downtimes = []
    try:
        for _ in range(kills):
            enough.wait(1.0)
            os.kill(_child_of(supervisor), signal.SIGKILL)
            killed_at = time.monotonic()
            _wait_until_serving(port)
            downtimes.append(time.monotonic() - killed_at)
    finally:
        enough.set()
        for caller in callers:
            caller.join()
    return downtimes, outcomes


def _child_of(supervisor: int) -> int:
    listed = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return int(listed[0])


def _keep_asking(port: int, enough: threading.Event, outcomes: Counter[str]) -> None:
    while not enough.is_set():
        try:
            outcomes[str(_ask(port))] += 1
        except requests.RequestException as error:
            outcomes[type(error).__name__] += 1
            enough.wait(0.05)


def _wait_until_serving(port: int) -> None:
    while True:
        try:
            if _ask(port) == 200:
                return
        except requests.RequestException:
            time.sleep(0.02)


def _ask(port: int) -> int:
    body = {
        "model": "llama",
        "prompt": "hello",
        "stream": False,
        "options": {"num_predict": 32, "temperature": 0},
    }
    answer = requests.post(f"http://127.0.0.1:{port}/api/generate", json=body, timeout=20)
    return answer.status_code


if __name__ == "__main__":
    sys.exit(main())
