"""One module: its bugs are listed by cosmic-ray, a sample is drawn, and each meets the tests."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkResult

TEST_SECONDS = 90
# Annotations are never evaluated here, so another sign in ``X | None`` is no bug.
NO_BUGS = ("core/ReplaceBinaryOperator_BitOr_",)


@dataclass(frozen=True, slots=True)
class Score:
    """``missed``: bugs that no test noticed, as ``line: operator``."""

    tried: int
    noticed: int
    missed: tuple[str, ...]


def score_of(tree: Path, module: str, tests: str, *, sample: int, seed: int) -> Score:
    """Raises CalledProcessError where the tests fail without a bug, or cosmic-ray does not run."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    subprocess.run([*command, *tests.split()], cwd=tree, check=True, capture_output=True)
    config, session = tree / "mutation.toml", tree / "mutation.sqlite"
    session.unlink(missing_ok=True)
    config.write_text(_config(module, " ".join([*command, tests])), encoding="utf-8")
    _cosmic_ray(tree, "init", config, session)
    with use_db(str(session)) as bugs:
        _draw(bugs, (tree / module).read_text(encoding="utf-8"), sample=sample, seed=seed)
    _cosmic_ray(tree, "exec", config, session)
    with use_db(str(session)) as bugs:
        return _score(bugs)


def _config(module: str, test_command: str) -> str:
    values = {
        "module-path": module,
        "timeout": TEST_SECONDS,
        "excluded-modules": [],
        "test-command": test_command,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    return "\n".join(["[cosmic-ray]", *lines, "[cosmic-ray.distributor]", 'name = "local"', ""])


def _cosmic_ray(tree: Path, verb: str, config: Path, session: Path) -> None:
    program = Path(sys.executable).with_name("cosmic-ray")
    subprocess.run(
        [program, verb, config.name, session.name], cwd=tree, check=True, capture_output=True
    )


def _draw(bugs: WorkDB, source: str, *, sample: int, seed: int) -> None:
    """Mark all but ``sample`` of the bugs as not to be tried."""
    lines = source.splitlines()
    items = [
        item
        for item in bugs.pending_work_items
        if not any(_is_equivalent(mutation, lines) for mutation in item.mutations)
    ]
    items.sort(key=lambda item: [(m.operator_name, m.occurrence) for m in item.mutations])
    drawn = random.Random(seed).sample(items, min(sample, len(items)))
    chosen = {item.job_id for item in drawn}
    excluded = WorkResult(output="not drawn", worker_outcome=WorkerOutcome.SKIPPED)
    for item in list(bugs.pending_work_items):
        if item.job_id not in chosen:
            bugs.set_result(item.job_id, excluded)


def _is_equivalent(mutation: MutationSpec, lines: Sequence[str]) -> bool:
    """Known to change nothing that a test could see: how values are stored, and annotations."""
    line = lines[mutation.start_pos[0] - 1].lstrip()
    return line.startswith("@dataclass") or str(mutation.operator_name).startswith(NO_BUGS)


def _score(bugs: WorkDB) -> Score:
    missed, noticed = [], 0
    for item, result in bugs.completed_work_items:
        if result.worker_outcome is WorkerOutcome.SKIPPED:
            continue
        if result.test_outcome is TestOutcome.SURVIVED:
            missed += [
                f"line {m.start_pos[0]}: {m.operator_name.removeprefix('core/')} {m.occurrence}"
                for m in item.mutations
            ]
        else:
            noticed += 1
    return Score(noticed + len(missed), noticed, tuple(sorted(missed)))
