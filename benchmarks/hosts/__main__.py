"""Hosts: a deployment over three hosts, with TLS, wrong clocks, cuts and a rolling upgrade.

    scripts/bench hosts [--cut-seconds 120]

Databases and three model servers on this machine, `control`, `both` and `workers` in network
namespaces of their own (root on Linux); the clock of `both` is five minutes ahead and that of
`workers` five behind. The host `workers` is cut off and healed, then `control`, until
`both` leads; then the release after this one is installed host by host. Exits 1 where a task was
lost or ended twice, a limit was exceeded, or the old release runs on the new database.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks.hosts.deployment import LIMITS, TOTAL_LIMIT, Deployment, deployment, next_release
from benchmarks.hosts.network import Host, missing

HOSTS = {"control": 0, "both": 300, "workers": -300}
ROLES = {"control": "control", "both": "all", "workers": "workers"}
DUTIES = ("health", "scheduler")
"""In the order in which a standby takes them."""
SETTLE_SECONDS = 600.0
POLL_SECONDS = 0.5
LEASE_SECONDS = 20
ENVIRON = {"KOS_LEASE_SECONDS": str(LEASE_SECONDS), "KOS_HEARTBEAT_SECONDS": "5"}

WAITING = 60
INSERT = """
INSERT INTO tasks (title, description)
SELECT 'task ' || n, 'Write a sentence about the bridge number ' || n || '.'
FROM generate_series(1, %s) AS n
"""

out = Console(highlight=False)


def main() -> int:
    options = _options()
    if lacking := missing():
        out.print(f"cannot run here: {lacking} is missing")
        return 2
    with tempfile.TemporaryDirectory(prefix="kos-hosts-") as scratch:
        directory = Path(scratch)
        directory.chmod(0o755)
        with deployment(directory, HOSTS, **ENVIRON) as site:
            try:
                return _run(site, options.cut_seconds)
            finally:
                for host in site.hosts:
                    site.kos(host, "down")


def _run(site: Deployment, cut_seconds: float) -> int:
    control, both, workers = site.hosts
    for host in site.hosts:
        _up(site, host)
    feed = Feed(site)
    _wait(partial(_works, site, workers), "the first answers")
    _cut_off(site, workers, cut_seconds)
    _take_over(site, control, both)
    wrong = _upgrade(site, control, both, workers)
    feed.stop()
    _wait(lambda: site.ended() >= feed.tasks, "every task to end")
    wrong += site.wrong(tasks=feed.tasks)
    out.print(f"{feed.tasks} tasks")
    _report(site)
    for line in wrong:
        out.print(f"WRONG: {line}")
    out.print("0 lost, 0 doubled, no limit exceeded" if not wrong else f"{len(wrong)} faults")
    return 1 if wrong else 0


def _up(site: Deployment, host: Host, *, tree: Path | None = None) -> None:
    began = time.monotonic()
    words = ("up", "--timeout", "300", "--role", ROLES[host.name])
    done = site.kos(host, *words) if tree is None else site.kos(host, *words, tree=tree)
    assert done.returncode == 0, f"{host.name}: {done.stdout}{done.stderr}"
    out.print(f"{host.name}: up as {ROLES[host.name]} in {time.monotonic() - began:.0f} s")


class Feed:
    """Keeps ``WAITING`` tasks in the backlog until it is stopped; ``tasks`` were inserted."""

    def __init__(self, site: Deployment) -> None:
        self._site = site
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._insert, daemon=True)
        self.tasks = 0
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _insert(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            lacking = WAITING - (self.tasks - self._site.ended())
            self._site.sql(INSERT, (max(0, lacking),))
            self.tasks += max(0, lacking)


def _cut_off(site: Deployment, host: Host, seconds: float) -> None:
    before = site.ended()
    host.cut()
    time.sleep(seconds)
    during = site.ended() - before
    returned = site.sql("SELECT count(*) AS n FROM kos_attempts WHERE outcome = 'lost'")[0]["n"]
    host.heal()
    out.print(
        f"{host.name}: cut off for {seconds:.0f} s; {during} tasks ended elsewhere, "
        f"{returned} of its attempts were given to others"
    )
    healed = time.monotonic()
    _wait(partial(_works, site, host), f"{host.name} to work again")
    out.print(f"{host.name}: works again {time.monotonic() - healed:.0f} s after it was healed")


def _works(site: Deployment, host: Host) -> bool:
    return bool(
        site.sql(
            "SELECT 1 FROM kos_attempts WHERE worker LIKE %s AND outcome = 'completed' "
            "AND started_at > now() - interval '5 seconds' LIMIT 1",
            (f"{host.name}:%",),
        )
    )


def _take_over(site: Deployment, leader: Host, standby: Host) -> None:
    led = {duty: site.leader(duty) for duty in DUTIES}
    before, began = site.ended(), time.monotonic()
    leader.cut()
    for duty in DUTIES:
        _wait(partial(_leads, site, standby, duty), f"{standby.name} to lead {duty}")
        passed = time.monotonic() - began
        out.print(f"{duty}: {led[duty]} led, {standby.name} leads {passed:.0f} s after the cut")
    ended = site.ended() - before
    leader.heal()
    out.print(f"{leader.name}: cut off; meanwhile {ended} tasks ended")


def _upgrade(site: Deployment, control: Host, both: Host, workers: Host) -> list[str]:
    """The next release host by host, while tasks run; returns what is wrong."""
    tree = next_release(site.directory / "next")
    for host in (workers, both):
        site.kos(host, "down")
        _up(site, host, tree=tree)
        _wait(partial(_works, site, host), f"{host.name} to work with the next release")
    site.kos(control, "down")
    old = site.kos(control, "up", "--role", "control")
    out.print(f"the old release on the new database: rc {old.returncode}: {old.stderr.strip()}")
    _up(site, control, tree=tree)
    return [] if old.returncode else ["the old release runs on a newer database"]


def _report(site: Deployment) -> None:
    for row in site.sql(
        "SELECT split_part(worker, ':', 1) AS host, outcome, count(*) AS n FROM kos_attempts "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    ):
        out.print(f"attempts: {row['host']} {row['outcome']} {row['n']}")
    for name, most in site.most_at_once().items():
        limit = {**LIMITS, "all": TOTAL_LIMIT}[name]
        out.print(f"at once: {name} {most}, limit {limit}")


def _leads(site: Deployment, host: Host, duty: str) -> bool:
    return site.leader(duty) == host.name


def _wait(holds: Callable[[], bool], what: str, seconds: float = SETTLE_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(POLL_SECONDS)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench hosts")
    parser.add_argument("--cut-seconds", type=float, default=120.0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
