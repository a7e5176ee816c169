"""``python -m benchmarks.scheduling [--json] [--policy P] [--workload W] [--picture FILE]``,
or ``--narrow N`` for N narrow workloads.

Prints every policy on every named workload: makespan against its lower bound, loads against
theirs, waits; then the geometric means, what fairness costs, and how long one plan takes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.scheduling import narrow
from benchmarks.scheduling.measures import Summary, fairness_cost, plan_milliseconds, run_all
from benchmarks.scheduling.table import as_json, as_text
from jobs.policy.types import PolicyName
from jobs.simulation.simulate import simulate
from jobs.simulation.timeline import timeline_svg
from jobs.simulation.workloads import WORKLOADS, named


def main(arguments: list[str] | None = None) -> int:
    """Run; exit code 0 when every target is met, else 1."""
    options = _parser().parse_args(arguments)
    if options.picture is not None:
        _draw(options.picture, options.workload or ["day"])
        return 0
    if options.narrow:
        sys.stdout.write(narrow.as_text(narrow.measured(range(options.narrow))))
        return 0
    policies = [PolicyName(name) for name in options.policy or list(PolicyName)]
    runs = run_all(options.workload or list(WORKLOADS), policies, progress=sys.stderr)
    summary = Summary.of(runs, fairness=fairness_cost(), plan_milliseconds=plan_milliseconds())
    if options.json:
        json.dump(as_json(runs, summary), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        sys.stdout.write(as_text(runs, summary))
    return 0 if summary.met else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scheduling")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--policy", action="append", choices=[p.value for p in PolicyName])
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS))
    parser.add_argument("--narrow", type=int, metavar="N", help="only N narrow workloads")
    parser.add_argument("--picture", type=Path, help="only draw seed beside reload_aware here")
    return parser


def _draw(path: Path, names: list[str]) -> None:
    workload = named(names[0])
    results = [
        simulate(workload, policy=policy) for policy in (PolicyName.SEED, PolicyName.RELOAD_AWARE)
    ]
    path.write_text(timeline_svg(results), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
