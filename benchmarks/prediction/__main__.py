"""How well the end of a backlog is predicted, on the machines of people, simulated or real.

Without options: 300 tasks on each machine of ``tests/support/sites.toml``, on a virtual clock, with
the policies, the learning and the forecast of the product. ``--real``: the whole system on two
simulated servers, beside ``kos simulate`` of the same tasks.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Sequence
from statistics import median

from benchmarks.prediction import real
from benchmarks.prediction.errors import MOMENTS, Found, Prediction, predict
from benchmarks.prediction.houses import houses

TARGETS = {"median": 0.15, "p90": 0.30}
TASK_ERROR = 0.40


def main() -> None:
    options = _options()
    if options.real:
        real.main(options.tasks, time_scale=options.time_scale, as_json=options.json)
        return
    found = [predict(house, seed) for seed in range(options.seeds) for house in houses(seed)]
    print(json.dumps(_figures(found)) if options.json else _table(found))


def _figures(found: Sequence[Found]) -> dict[str, float]:
    ends = [one for run in found for one in run.ends.values()]
    tasks = [one for run in found for one in run.tasks]
    return {
        "runs": len(found),
        "median": round(median(one.error for one in ends), 3),
        "p90": round(_p90(one.error for one in ends), 3),
        "inside": round(sum(one.inside for one in ends) / len(ends), 3),
        "tasks_median": round(median(one.error for one in tasks), 3),
        "tasks_within": round(sum(one.error <= TASK_ERROR for one in tasks) / len(tasks), 3),
    }


def _table(found: Sequence[Found]) -> str:
    houses_ = list(dict.fromkeys(run.house for run in found))
    lines = [
        "| machine | left at 10 % | error at 10 % | at 50 % | at 90 % | single tasks |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_row(name, [run for run in found if run.house == name]) for name in houses_]
    figures = _figures(found)
    lines += [
        "",
        f"All ends: median {figures['median']:.1%} (target {TARGETS['median']:.0%}), "
        f"p90 {figures['p90']:.1%} (target {TARGETS['p90']:.0%}); "
        f"{figures['inside']:.0%} inside the range that is shown.",
        f"Single tasks: median {figures['tasks_median']:.1%}; "
        f"{figures['tasks_within']:.0%} within {TASK_ERROR:.0%}.",
    ]
    return "\n".join(lines)


def _row(name: str, runs: Sequence[Found]) -> str:
    at = {part: [run.ends[part] for run in runs] for part in MOMENTS}
    left = median(one.real for one in at[MOMENTS[0]])
    tasks = [one for run in runs for one in run.tasks]
    cells = [f"{left / 60:.0f} min", *(_errors(at[part]) for part in MOMENTS), _errors(tasks)]
    return f"| {name} | {' | '.join(cells)} |"


def _errors(predictions: Sequence[Prediction]) -> str:
    errors = [one.error for one in predictions]
    return f"{median(errors):.0%}, p90 {_p90(errors):.0%}"


def _p90(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[math.ceil(0.9 * (len(ordered) - 1))]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prediction", description=__doc__)
    parser.add_argument("--real", action="store_true", help="the whole system on two simulators")
    parser.add_argument("--tasks", type=int, default=150, help="of the real run")
    parser.add_argument("--time-scale", type=float, default=20.0, help="of the real run")
    parser.add_argument("--seeds", type=int, default=5, help="backlogs for each machine")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
