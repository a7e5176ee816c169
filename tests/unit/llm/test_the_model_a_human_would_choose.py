"""Model lists as people have them, and the model that a person would take for each kind of work."""

from __future__ import annotations

import pytest

from llm.catalog import rank
from tests.support.sites import read_sites

SITES = read_sites()


def test_there_are_twelve_machines() -> None:
    assert len(SITES) == 12


@pytest.mark.parametrize("name", SITES)
def test_the_model_of_each_category_is_the_one_a_person_would_take(name: str) -> None:
    site = SITES[name]

    ranking = rank(site.scanned)

    assert {category: ranking[category][0] for category in site.choose} == dict(site.choose)
