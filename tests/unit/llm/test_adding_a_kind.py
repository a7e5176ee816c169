"""The checklist of docs/adding-a-backend.md: what a kind of model server needs, and where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llm.backends.registry import ADAPTERS, build
from llm.kinds import TRAITS
from llm.simulator.dialects import DIALECTS
from llm.simulator.profiles import load_profile
from llm.types import BackendKind, BackendSpec

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "docs" / "adding-a-backend.md"

MAY_NAME_A_KIND = {
    "llm/kinds.py": "the traits",
    "llm/backends/registry.py": "the adapters",
    "llm/simulator/dialects.py": "the simulator's answers",
    "jobs/settings/load.py": "the settings that bear a kind's name",
    "jobs/policy/effective_limit.py": "the defaults of those settings",
    "jobs/policy/assignment.py": "the owner's rule: which departments prefer MLX",
    "jobs/policy/plan_building/two_sources.py": "the former rule, kept for comparison",
    "jobs/policy/estimation.py": "the estimate for servers that are no longer configured",
    "jobs/attempt/processors/agents.py": "agents are addressed by OpenAI's wire format",
    "jobs/simulation/workload.py": "simulated fleets",
    "jobs/simulation/workloads.py": "simulated fleets",
    "console/operations/models.py": "the folder of model files belongs to our MLX server",
    "console/operations/history.py": "simulated fleets, rebuilt from past attempts",
}


@pytest.mark.parametrize("kind", list(BackendKind), ids=lambda kind: kind.value)
def test_a_kind_has_each_entry_of_the_checklist(kind: BackendKind) -> None:
    assert kind in TRAITS
    assert kind in ADAPTERS
    assert kind in DIALECTS
    assert load_profile(kind.value).models
    assert f"| `{kind.value}` |" in GUIDE.read_text(encoding="utf-8")
    build(BackendSpec("x", kind, "http://127.0.0.1:1"), environ={}).close()


def test_no_other_module_asks_which_kind_a_server_is() -> None:
    found = {
        str(path.relative_to(ROOT))
        for wing in ("llm", "jobs", "models", "gateway", "console")
        for path in (ROOT / wing).rglob("*.py")
        if re.search(r"BackendKind\.[A-Z]", path.read_text(encoding="utf-8"))
    }

    assert found == set(MAY_NAME_A_KIND)


def test_the_guide_names_only_files_that_exist() -> None:
    named = re.findall(r"`((?:llm|tests|docs|examples)/[a-z0-9_/.-]+)`", GUIDE.read_text("utf-8"))

    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_an_unknown_kind_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'lama'; known: ollama, mlx, openai"):
        BackendKind("lama")
