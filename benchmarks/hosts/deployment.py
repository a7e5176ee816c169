"""One deployment over several hosts: databases behind TLS, three model servers, a home for each."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras

from benchmarks.chaos.evidence import JOURNAL, most_at_once
from benchmarks.chaos.feed import AUDIT
from benchmarks.chaos.stage import PROFILE
from benchmarks.hosts.network import OUTSIDE, Host, network
from jobs.settings.load import PROJECT
from tests.support.embedded import Server, postgres_server, redis_server
from tests.support.model_servers import model_server
from tests.support.simulators import RunningSimulator
from tests.support.system import migrate
from tests.support.tls import Authority, over_tls

KOS = "import sys; from console.cli.main import main; sys.exit(main())"
NAME = "db.example"
LIMITS = {"ollama": 8, "mlx": 3, "cluster": 4}
TOTAL_LIMIT = 8
BACKENDS = """
[[backend]]
name = "cluster"
kind = "openai"
url = "{url}/v1"
max_concurrent = 4
"""
KINDS = {"ollama": "ollama", "mlx": "mlx", "cluster": "openai"}
FINAL = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Deployment:
    """``environ`` is what the ``.env`` of every host would hold."""

    directory: Path
    hosts: Sequence[Host]
    postgres: Server
    redis: Server
    servers: Mapping[str, RunningSimulator]
    environ: Mapping[str, str]

    def kos(self, host: Host, *words: str, tree: Path = PROJECT) -> Any:
        """``kos`` of the release in ``tree`` on that host."""
        return host.run(
            sys.executable, "-c", KOS, *words, environ=self.environ_of(host), directory=tree
        )

    def environ_of(self, host: Host) -> dict[str, str]:
        return {**self.environ, "KOS_HOME": str(self.directory / f"home-{host.name}")}

    def sql(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with closing(psycopg2.connect(self.postgres.url)) as connection:
            connection.autocommit = True
            with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
                cursor.execute(statement, parameters or None)
                return list(cursor.fetchall()) if cursor.description else []

    def ended(self) -> int:
        rows = self.sql("SELECT count(*) AS n FROM tasks WHERE status IN %s", (FINAL,))
        return int(rows[0]["n"])

    def leader(self, duty: str) -> str | None:
        """The name of the host that leads."""
        with closing(self.redis.client()) as client:
            holder: Any = client.get(f"kos:leader:{duty}")
        return holder.decode().partition(":")[0] if holder else None

    def wrong(self, *, tasks: int) -> list[str]:
        """What must not be: tasks lost or ended twice, and limits exceeded."""
        found = []
        if (ended := self.ended()) != tasks:
            found.append(f"{tasks - ended} of {tasks} tasks did not end")
        if failed := self.sql("SELECT last_error FROM tasks WHERE status <> 'completed'"):
            found.append(f"{len(failed)} are not completed: {dict(failed[0])}")
        if twice := self.sql("SELECT FROM chaos_endings GROUP BY task_id HAVING count(*) > 1"):
            found.append(f"{len(twice)} tasks ended twice")
        most = self.most_at_once()
        limits = {**LIMITS, "all": TOTAL_LIMIT}
        return found + [
            f"{name}: {most[name]} calls at once, the limit is {limit}"
            for name, limit in limits.items()
            if most[name] > limit
        ]

    def most_at_once(self) -> dict[str, int]:
        """By the journals of the model servers."""
        spans = {
            name: [
                (entry["arrived_at"], entry["ended_at"] or float("inf"))
                for entry in server.stats(journal=JOURNAL)["journal"]
                if entry["task_id"] is not None
            ]
            for name, server in self.servers.items()
        }
        everything = [span for mine in spans.values() for span in mine]
        return {name: most_at_once(mine) for name, mine in {**spans, "all": everything}.items()}


@contextmanager
def deployment(directory: Path, hosts: Mapping[str, int], **environ: str) -> Iterator[Deployment]:
    """Migrated, with the endings of tasks counted by a trigger; no program runs yet."""
    with ExitStack() as stack:
        postgres = stack.enter_context(postgres_server(durable=True))
        redis = stack.enter_context(redis_server(durable=True))
        started = stack.enter_context(network(hosts))
        servers = {name: stack.enter_context(_model_server(name, directory)) for name in KINDS}
        migrate(postgres.url)
        authority = Authority.make(directory / "authority")
        certificate = authority.sign(OUTSIDE)
        trusted = authority.certificate
        urls = [
            stack.enter_context(
                over_tls(server.url, certificate, authority=trusted, name=OUTSIDE, address=OUTSIDE)
            )
            for server in (postgres, redis)
        ]
        backends = directory / "backends.toml"
        backends.write_text(BACKENDS.format(url=servers["cluster"].url))
        made = Deployment(
            directory, started, postgres, redis, servers,
            {
                "DATABASE_URL": urls[0],
                "REDIS_URL": urls[1],
                "OLLAMA_API_URL": servers["ollama"].url,
                "MLX_API_URL": servers["mlx"].url,
                "KOS_BACKENDS_FILE": str(backends),
                "SMART_WORKER_MAX_CONCURRENT": str(TOTAL_LIMIT),
                "MLX_MAX_CONCURRENT": str(LIMITS["mlx"]),
                **environ,
            },
        )  # fmt: skip
        made.sql(AUDIT)
        yield made


@contextmanager
def _model_server(name: str, directory: Path) -> Iterator[RunningSimulator]:
    profile = directory / f"{name}.json"
    profile.write_text(json.dumps(PROFILE))
    words = ["--kind", KINDS[name], "--host", OUTSIDE, "--port", "0", "--time-scale", "1"]
    with model_server(
        "llm.simulator", *words, "--profile", str(profile), start_seconds=120, stop_seconds=10
    ) as (url, process):
        yield RunningSimulator(KINDS[name], url, process.pid)  # type: ignore[arg-type]


def next_release(directory: Path) -> Path:
    """A copy of this release whose database has one step more."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).is_file() and not name.startswith("tests/"):
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, directory / name)
    (directory / "models" / "migrations" / "9000_next_release.py").write_text(
        "def up(migrator, db):\n    db.execute_sql('CREATE TABLE kos_next_release (id int)')\n\n\n"
        "def down(migrator, db):\n    db.execute_sql('DROP TABLE kos_next_release')\n"
    )
    return directory
