"""LiteLLM's proxy from PyPI, in a virtual environment of its own, for comparison."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from benchmarks.gateway.stage import KEY
from console.home import free_port

START_SECONDS = 240.0


@contextmanager
def litellm_proxy(environment: Path, *, model: str, server: str) -> Iterator[str]:
    """The address of a proxy with one worker that offers ``model`` of ``server``."""
    program = _installed(environment)
    port = free_port()
    entry = {
        "model_name": model,
        "litellm_params": {
            "model": f"openai/{model}", "api_base": f"{server}/v1", "api_key": "none",
        },
    }  # fmt: skip
    config = environment / "proxy.json"
    config.write_text(json.dumps({"model_list": [entry]}))
    arguments = ["--config", str(config), "--port", str(port), "--host", "127.0.0.1"]
    environ = {
        **os.environ,
        "LITELLM_MASTER_KEY": KEY,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
    }
    with (environment / "proxy.log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), *arguments, "--num_workers", "1", "--telemetry", "False"],
            env=environ, stdout=log, stderr=log,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _installed(environment: Path) -> Path:
    program = environment / "bin" / "litellm"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        pip = str(environment / "bin" / "pip")
        subprocess.run([pip, "install", "--quiet", "litellm[proxy]"], check=True)
    return program


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, "the proxy ended; see proxy.log in its environment"
        assert time.monotonic() < end, f"the proxy did not answer within {START_SECONDS:g} s"
        try:
            if requests.get(f"{url}/health/liveliness", timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)
