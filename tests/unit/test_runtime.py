from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.runtime import model_servers
from jobs.settings.load import load

BACKENDS = """
[[backend]]
name = "gpu"
kind = "openai"
url = "{url}"
api_key_env = "VLLM_API_KEY"
"""


@pytest.fixture
def seen() -> Iterator[tuple[str, list[str | None]]]:
    """(address of a server that knows no page, the credentials it was sent)."""
    keys: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers["Authorization"])
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", keys
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_key_that_stands_in_dotenv_is_sent(
    tmp_path: Path, seen: tuple[str, list[str | None]]
) -> None:
    url, keys = seen
    (tmp_path / "backends.toml").write_text(BACKENDS.format(url=url))
    (tmp_path / ".env").write_text(f"VLLM_API_KEY=k1\nKOS_BACKENDS_FILE={tmp_path}/backends.toml\n")
    environ = {"KOS_HOME": str(tmp_path), "OLLAMA_API_URL": "none", "MLX_API_URL": "none"}
    settings = load(environ, dotenv=tmp_path / ".env", in_container=False)

    servers, scanner = model_servers(settings, None)
    scanner.scan(refresh=True)
    servers.close()

    assert keys
    assert set(keys) == {"Bearer k1"}


@pytest.mark.parametrize(("seconds", "kept"), [("0", False), ("3600", True)])
def test_a_scan_is_kept_as_long_as_the_setting_says(seconds: str, kept: bool) -> None:
    settings = load(
        {
            "OLLAMA_API_URL": "http://127.0.0.1:1",
            "MLX_API_URL": "off",
            "KOS_SCAN_CACHE_SECONDS": seconds,
        }
    )
    _, scanner = model_servers(settings, None)

    first, second = scanner.scan(), scanner.scan()

    assert (first == second) is kept
