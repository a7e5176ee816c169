from __future__ import annotations

from xml.etree import ElementTree

from jobs.policy.types import PolicyName
from jobs.simulation.lower_bound import bounds
from jobs.simulation.simulate import simulate
from jobs.simulation.timeline import timeline_svg
from jobs.simulation.workloads import named


def test_the_picture_has_a_lane_per_server_and_shows_every_load() -> None:
    workload = named("heavy-pairing")
    known = bounds(workload, exact=False)
    results = [
        simulate(workload, policy=policy, known_bounds=known)
        for policy in (PolicyName.SEED, PolicyName.RELOAD_AWARE)
    ]

    picture = timeline_svg(results)

    root = ElementTree.fromstring(picture)
    assert root.tag.endswith("svg")
    texts = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    assert texts.count("mlx") == texts.count("ollama") == 2
    hatched = [e.get("d", "") for e in root.iter() if e.get("class") == "l" and e.get("d")]
    assert sum(d.count("M") for d in hatched) == sum(len(result.loads) for result in results)


def test_a_picture_of_nothing_is_a_picture() -> None:
    assert timeline_svg([]).startswith("<svg")
