from __future__ import annotations

import pytest

from benchmarks.validation.__main__ import measured
from benchmarks.validation.corpus import BLIND, Judged, judged, load


@pytest.fixture(scope="module")
def results() -> list[Judged]:
    return judged(load())


def test_the_corpus_is_large_and_mixed_enough_to_mean_something(results: list[Judged]) -> None:
    labelled = [result.labelled for result in results]

    assert len(labelled) >= 120
    assert len({item.id for item in labelled}) == len(labelled)
    for good in (True, False):
        for lang in ("en", "ru"):
            assert sum(item.good is good and item.lang == lang for item in labelled) >= 30


def test_rejections_are_right_and_find_what_is_bad(results: list[Judged]) -> None:
    found = measured(results)

    assert found.precision >= 0.98
    assert found.recall >= 0.95


def test_answers_written_without_a_look_at_the_rules_are_judged_as_well() -> None:
    found = measured(judged(load(BLIND)))

    assert found.count >= 900
    assert found.precision >= 0.98
    assert found.recall >= 0.90


@pytest.mark.parametrize("lang", ["en", "ru"])
def test_both_languages_are_judged_about_as_well(results: list[Judged], lang: str) -> None:
    found = measured(result for result in results if result.labelled.lang == lang)

    assert found.precision >= 0.98
    assert found.recall >= 0.94


def test_no_answer_about_errors_is_rejected(results: list[Judged]) -> None:
    about = [result for result in results if result.labelled.kind == "about_errors"]

    assert len(about) >= 15
    assert [result.labelled.id for result in about if not result.verdict.ok] == []
