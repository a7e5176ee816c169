"""Answers in ``knowledge_nodes`` get vectors where a server makes them, and none are lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from jobs.settings.load import load
from jobs.upkeep.embeddings import Embeddings
from llm.backends.registry import Backends
from llm.scanner import Scanner
from models import database
from models.migrations import runner
from tests.support import original_site
from tests.support.original_site import VECTORS, run

ENDED = """
INSERT INTO tasks (id, title, status, result) VALUES
  ('00000000-0000-0000-0000-000000000001', 'Indexes', 'completed', 'They speed up reads.');
INSERT INTO kos_attempts (task_id, number, epoch, outcome, finished_at) VALUES
  ('00000000-0000-0000-0000-000000000001', 1, 0, 'completed', now() - interval '5 minutes');
"""


class Vectors(BaseHTTPRequestHandler):
    """An Ollama with one embedding model of 768 numbers and one of 3."""

    def do_GET(self) -> None:
        names = ("small-embed", "nomic-embed-text")
        self._send({"version": "0.9", "models": [{"name": n, "size": 1} for n in names]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/api/show":
            self._send({"capabilities": ["embedding"]})
            return
        size = 768 if body["model"] == "nomic-embed-text" else 3
        self._send({"embeddings": [[0.25] * size for _ in body["input"]]})

    def _send(self, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not events."""


@pytest.fixture
def ollama_url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Vectors)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    original_site.build(postgres_url, "init only", rows=0)
    database.configure(postgres_url, pool_size=5, application_name="kos-test")
    runner.up()
    run(postgres_url, ENDED)
    yield postgres_url
    database.close_all()


def embeddings(url: str, ollama_url: str) -> Iterator[Embeddings]:
    settings = load({
        "DATABASE_URL": url, "KOS_COMPAT": "knowledge_os", "OLLAMA_API_URL": ollama_url,
        "MLX_API_URL": "off",
    })  # fmt: skip
    backends = Backends(settings.backends, environ={})
    yield Embeddings(settings, backends, Scanner(backends))
    backends.close()


def test_an_answer_gets_the_vector_of_the_model_that_fits_its_column(
    url: str, ollama_url: str
) -> None:
    run(url, VECTORS)
    for rounds in embeddings(url, ollama_url):
        assert [rounds.run(), rounds.run()] == [1, 0]

    assert run(url, "SELECT content, vector_dims(embedding) FROM knowledge_nodes") == [
        ("📊 REPORT BY Knowledge OS Jobs: Indexes\n\nThey speed up reads.", 768)
    ]


def test_without_a_column_or_a_table_nothing_is_asked_and_nothing_breaks(url: str) -> None:
    for rounds in embeddings(url, "http://127.0.0.1:9"):
        assert rounds.run() == 0
        assert run(url, "SELECT count(*) FROM knowledge_nodes") == [(1,)]
        run(url, "DROP TABLE knowledge_nodes")
        assert rounds.run() == 0
