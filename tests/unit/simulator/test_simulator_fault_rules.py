"""Rules of harm: whom they meet, how often they fire, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from llm.simulator.faults import FAULTS, FaultBook, FaultError


def names(book: FaultBook, *, model: str = "m", prompt: str = "p", times: int = 1) -> list[Any]:
    picked = [book.pick(model=model, prompt=prompt) for _ in range(times)]
    return [fault.name if fault else None for fault in picked]


def test_a_rule_meets_its_model_and_its_prompt_only() -> None:
    book = FaultBook(seed=0)
    book.add({"fault": "echo", "model": "m", "match": "berlin"})
    assert names(book, prompt="about berlin") == ["echo"]
    assert names(book, prompt="about paris") == [None]
    assert names(book, model="other", prompt="about berlin") == [None]


def test_a_count_is_spent() -> None:
    book = FaultBook(seed=0)
    book.add({"fault": "reset", "count": 2})
    assert names(book, times=4) == ["reset", "reset", None, None]


def test_the_next_rule_has_its_turn_when_the_first_does_not_fire() -> None:
    book = FaultBook(seed=0)
    book.add({"fault": "reset", "rate": 0})
    book.add({"fault": "echo"})
    assert names(book) == ["echo"]


def test_rates_are_kept_and_repeat_for_the_same_seed() -> None:
    def fired(seed: int) -> list[Any]:
        book = FaultBook(seed=seed)
        book.add({"fault": "503", "rate": 0.3})
        return names(book, times=1000)

    assert fired(1) == fired(1)
    assert fired(1) != fired(2)
    assert 230 < fired(1).count("503") < 370


def test_a_model_s_name_asks_for_a_fault() -> None:
    book = FaultBook(seed=0)
    assert names(book, model="fault-hang-before") == ["hang-before"]
    assert names(book, model="fault-echo:latest") == ["echo"]
    assert names(book, model="fault-refuse") == [None]


def test_underscores_are_understood_and_measures_taken() -> None:
    rule = FaultBook(seed=0).add({"fault": "hang_after", "after_tokens": 9, "count": 1})
    assert (rule.fault.name, rule.fault.after_tokens) == ("hang-after", 9)
    assert rule.as_json()["fault"] == "hang-after"


def test_a_refusal_is_not_kept_as_a_rule() -> None:
    book = FaultBook(seed=0)
    assert book.add({"fault": "refuse", "seconds": 2}).fault.seconds == 2
    assert book.rules == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "must be a JSON object"),
        ({}, "unknown"),
        ({"fault": "rest"}, "did you mean 'reset'"),
        ({"fault": "echo", "rate": 2}, "rate: must be between 0 and 1"),
        ({"fault": "echo", "rate": "1"}, "rate: must be of type"),
        ({"fault": "echo", "cuont": 1}, "did you mean 'count'"),
        ({"fault": "drip", "seconds": -1}, "seconds: must be a number"),
        ({"fault": "echo", "match": 3}, "match: must be of type str"),
    ],
)
def test_a_wrong_rule_names_its_field(body: Any, message: str) -> None:
    with pytest.raises(FaultError, match=message):
        FaultBook(seed=0).add(body)


def test_one_rule_or_all_are_withdrawn() -> None:
    book = FaultBook(seed=0)
    first, _ = book.add({"fault": "echo"}), book.add({"fault": "blank"})
    assert book.remove(first.number)
    assert not book.remove(first.number)
    assert names(book) == ["blank"]
    book.clear()
    assert names(book) == [None]


def test_every_fault_is_described() -> None:
    assert all(text and name == name.lower() for name, text in FAULTS.items())
