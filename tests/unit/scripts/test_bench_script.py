"""``scripts/bench`` finds measurements by their directory."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "scripts" / "bench"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", timeout=30)


def test_every_measurement_is_listed_with_its_purpose() -> None:
    listed = bench()

    assert listed.returncode == 0
    for main in ROOT.glob("benchmarks/*/__main__.py"):
        assert f"  {main.parent.name} " in listed.stdout
    assert "Chaos: tasks run while" in listed.stdout


def test_an_unknown_measurement_is_refused_with_the_list() -> None:
    refused = bench("no-such-thing")

    assert refused.returncode == 2
    assert "no-such-thing" in refused.stderr
    assert "chaos" in refused.stderr
