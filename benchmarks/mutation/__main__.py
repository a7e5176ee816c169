"""Mutation: small bugs are put into the code one at a time; how many do the tests notice?

    scripts/bench mutation [--sample 20] [--seed 1] [MODULE ...]

Works on a copy of the tree, so nothing here is changed. Not part of continuous integration: each
bug costs a run of the module's tests. Prints the bugs that no test noticed, and the score.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.mutation.run import Score, score_of

ROOT = Path(__file__).resolve().parents[2]

# Each module with the tests that should notice a bug in it.
MODULES = {
    "jobs/policy/outcome.py": "tests/unit/policy/outcome",
    "jobs/policy/dispatch.py": "tests/unit/policy/planning",
    "jobs/policy/task_order.py": "tests/unit/policy/planning",
    "jobs/policy/plan_building/balance.py": "tests/unit/policy/planning",
    "jobs/policy/plan_building/timing.py": "tests/unit/policy/planning/test_figures.py",
    "jobs/policy/plan_building/memory.py": "tests/unit/policy/planning/test_figures.py",
    "jobs/policy/deployment.py": "tests/unit/policy/test_deployment.py",
    "jobs/policy/effective_limit.py": "tests/unit/policy/concurrency",
    "jobs/policy/limit_holds.py": "tests/unit/policy/concurrency",
    "jobs/policy/validation/judge.py": "tests/unit/policy/validation",
    "jobs/admission/slots.py": "tests/integration/admission/test_slots_admission.py "
    "tests/integration/admission/test_slots_forgotten.py",
    "jobs/attempt/lease_keeper.py": "tests/integration/flow/test_lease_keeper.py",
    "jobs/upkeep/recovery.py": "tests/integration/flow/test_recoverer.py",
    "models/task.py": "tests/integration/models",
    "models/backlog.py": "tests/integration/models",
    "models/orphans.py": "tests/integration/models/test_poison.py "
    "tests/integration/flow/test_recoverer.py",
    "llm/breaker.py": "tests/unit/llm/test_llm_breaker.py",
    "llm/deadlines.py": "tests/unit/llm/test_llm_deadlines.py "
    "tests/unit/llm/test_deadlines_table.py",
    "llm/backends/mapping.py": "tests/unit/llm/test_llm_transport.py "
    "tests/unit/llm/test_llm_openai.py tests/unit/llm/test_mapping_table.py",
}
EXCLUDED = (".git", ".venv", ".kos", "artifacts", "*.egg-info", "__pycache__", ".*_cache")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="default: all of the table")
    parser.add_argument("--sample", type=int, default=20, help="bugs a module, drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    unknown = [name for name in options.modules if name not in MODULES]
    if unknown:
        parser.error(f"no tests are known for {unknown[0]}; known are {', '.join(MODULES)}")
    scores: list[Score] = []
    with tempfile.TemporaryDirectory(prefix="kos-mutation-") as folder:
        tree = Path(folder, "tree")
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*EXCLUDED))
        for module in options.modules or MODULES:
            score = score_of(
                tree, module, MODULES[module], sample=options.sample, seed=options.seed
            )
            scores.append(score)
            print(f"{score.noticed:3} of {score.tried:3}  {module}", flush=True)
            for bug in score.missed:
                print(f"            not noticed: {bug}")
    noticed, tried = sum(s.noticed for s in scores), sum(s.tried for s in scores)
    print(f"noticed {noticed} of {tried} ({noticed / max(1, tried):.0%})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
