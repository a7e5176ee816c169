"""Small random workloads for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from jobs.simulation.workload import VirtualBackend, VirtualModel, VirtualTask, Workload
from llm.types import BackendKind
from models.states import Priority

MODELS = ("a", "b", "c")


@st.composite
def workloads(draw: st.DrawFn, *, offline: bool = False, outages: bool = False) -> Workload:
    backends, models = [], []
    for name in ("mlx", "ollama")[: draw(st.integers(1, 2))]:
        down = [(draw(st.floats(1, 60)), draw(st.floats(61, 120)))] if outages else []
        backends.append(
            VirtualBackend(
                name,
                slots=draw(st.integers(1, 3)),
                resident_models=draw(st.integers(1, 2)),
                kind=BackendKind(name),
                resident=tuple(draw(st.lists(st.sampled_from(MODELS), max_size=1))),
                outages=tuple(down),
            )
        )
        for model in MODELS:
            load = draw(st.floats(0, 20))
            mean = draw(st.floats(0.5, 30))
            models.append(VirtualModel(name, model, load, mean, heavy=draw(st.booleans())))
    tasks = []
    for number in range(draw(st.integers(0, 25))):
        places = draw(st.sets(st.sampled_from(models), min_size=1, max_size=3))
        factor = draw(st.floats(0.2, 3))
        tasks.append(
            VirtualTask(
                f"t{number:02}",
                {m.pair: factor * m.mean_service_seconds for m in places},
                arrival_seconds=0.0 if offline else draw(st.floats(0, 200)),
                priority=draw(st.sampled_from(list(Priority))),
            )
        )
    return Workload(
        tuple(backends), tuple(models), tuple(tasks), allow_two_heavy=draw(st.booleans()),
        fairness_seconds=draw(st.sampled_from([30.0, 900.0])),
    )  # fmt: skip
