"""docs/first-five-minutes.md, typed along: each box is run, and shows what the next one says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.settings.load import PROJECT
from tests.acceptance.house import House, house, running_in
from tests.acceptance.typing_along import newcomers, type_box

DOCUMENT = PROJECT / "docs" / "first-five-minutes.md"
BOX = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Box:
    """What is typed, and the lines that are shown then: others may stand between them."""

    typed: str
    shown: tuple[str, ...]


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[House]:
    with house(KOS_SIMULATOR_SPEED="30") as made:
        yield newcomers(made, tmp_path)


def test_the_first_five_minutes_go_as_they_are_written(newcomer: House, tmp_path: Path) -> None:
    boxes = boxes_of(DOCUMENT.read_text(encoding="utf-8"))

    for box in boxes:
        shows(type_box(box.typed, newcomer, tmp_path), box)

    assert len(boxes) >= 10
    assert running_in(newcomer.home) == []


def boxes_of(text: str) -> list[Box]:
    """Every box of commands with the box of output that must follow it."""
    found = BOX.findall(text)
    kinds = [kind for kind, _ in found]
    assert kinds == ["sh", "text"] * (len(kinds) // 2)
    return [
        Box(typed, tuple(shown.splitlines()))
        for (_, typed), (_, shown) in zip(found[::2], found[1::2], strict=True)
    ]


def shows(output: str, box: Box) -> None:
    """Every line of the box stands in the output, in this order."""
    lines = (_squeezed(line) for line in output.splitlines())
    for wanted in box.shown:
        pattern = re.compile(_as_pattern(wanted))
        assert any(pattern.fullmatch(line) for line in lines), (
            f"{wanted!r} is not shown by:\n{box.typed}\nbut:\n{output}"
        )


def _squeezed(line: str) -> str:
    return " ".join(line.split())


def _as_pattern(line: str) -> str:
    """``...`` stands for anything, also for nothing."""
    return ".*".join(map(re.escape, re.split(r" ?\.\.\. ?", _squeezed(line))))
