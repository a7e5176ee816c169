"""The results as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.scheduling.measures import (
    FAIRNESS_COST,
    MEAN_RATIO,
    PLAN_MILLISECONDS,
    RELOAD_FACTOR,
    WORST_RATIO,
    Run,
    Summary,
)

_HEAD = (
    f"{'workload':22}{'policy':14}{'tasks':>6}{'makespan':>10}{'bound':>9}{'ratio':>7}"
    f"{'loads':>7}{'bound':>6}{'wait p50':>10}{'p95':>8}{'max':>8}{'urgent p95':>12}\n"
)


def as_text(runs: Sequence[Run], summary: Summary) -> str:
    """A table, then the means against their targets."""
    lines = [_HEAD, *(_line(run) for run in runs), "\n"]
    for policy, ratio in summary.ratios.items():
        lines.append(f"offline makespan / bound, geometric mean, {policy}: {ratio:.3f}\n")
    lines += [
        f"target {MEAN_RATIO}; worst {summary.worst:.3f} (target {WORST_RATIO})\n",
        f"loads / bound, geometric mean {summary.reload_factor:.3f}, "
        f"worst {summary.worst_reload_factor:.2f} (target {RELOAD_FACTOR})\n",
        f"fairness lengthens an online workload by at most {summary.fairness_cost:.1%} "
        f"(target {FAIRNESS_COST:.0%})\n",
        f"one plan over 2,000 tasks and 5 backends: {summary.plan_milliseconds:.1f} ms "
        f"(target {PLAN_MILLISECONDS:.0f})\n",
        f"broken rules: {sum(run.broken for run in runs)}\n",
        "all targets met\n" if summary.met else "some target missed\n",
    ]
    return "".join(lines)


def as_json(runs: Sequence[Run], summary: Summary) -> dict[str, Any]:
    """The same as one document."""
    return {
        "runs": [
            {
                **run.result.to_json(),
                "offline": run.workload.offline,
                "broken_rules": run.broken,
                "seconds": round(run.seconds, 2),
            }
            for run in runs
        ],
        "ratios": {policy: round(ratio, 4) for policy, ratio in summary.ratios.items()},
        "worst_ratio": round(summary.worst, 4),
        "reload_factor": round(summary.reload_factor, 4),
        "worst_reload_factor": round(summary.worst_reload_factor, 4),
        "fairness_cost": round(summary.fairness_cost, 4),
        "plan_milliseconds": round(summary.plan_milliseconds, 2),
        "targets_met": summary.met,
    }


def _line(run: Run) -> str:
    result = run.result
    urgent = run.urgent_p95_seconds
    text = "" if urgent is None else f"{urgent:.0f} < {run.urgent_bound_seconds:.0f}"
    return (
        f"{result.workload:22}{result.policy:14}{result.tasks:>6}"
        f"{result.makespan_seconds:>10.0f}{result.lower_bound_seconds:>9.0f}{result.ratio:>7.3f}"
        f"{result.reloads:>7}{result.reload_bound:>6}{result.waits.p50:>10.0f}"
        f"{result.waits.p95:>8.0f}{result.waits.max:>8.0f}{text:>12}\n"
    )
