"""One answer of the server: read to its end or closed before it, its place is free afterwards."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from llm.mlx_server.errors import GenerationFailed, ServerError
from llm.mlx_server.job import Channel, Event, Finished
from llm.mlx_server.service import AnswerStream
from llm.mlx_server.text import Piece

END = Finished(
    reason="stop",
    prompt_tokens=1,
    cached_tokens=0,
    completion_tokens=2,
    queue_seconds=0.0,
    load_seconds=0.0,
    prompt_seconds=0.0,
    completion_seconds=0.0,
    total_seconds=0.0,
)
WORDS = Piece("Hello", "")
LAST = Piece("", "")


@dataclass
class Told:
    """What the engine and the metrics are told of one answer."""

    lines: list[str] = field(default_factory=list)

    def cancel(self, job: Any) -> None:
        self.lines.append("stop")

    def cancelled(self, model: str) -> None:
        self.lines.append("cancelled")

    def finished(self, model: str, end: Finished) -> None:
        self.lines.append("finished")

    def failed(self, model: str, error: ServerError) -> None:
        self.lines.append("failed")


@pytest.mark.parametrize(
    ("events", "read", "told"),
    [
        ((WORDS, END), 2, ["finished"]),
        ((WORDS, END), 1, ["stop", "cancelled"]),
        ((WORDS, END), 0, ["stop", "cancelled"]),
        ((WORDS, GenerationFailed("broke")), 2, ["failed"]),
    ],
    ids=["whole", "left in the middle", "left before the first word", "failed"],
)
def test_only_an_answer_that_has_not_ended_is_cancelled(
    events: tuple[Event, ...], read: int, told: list[str]
) -> None:
    said, place = Told(), ExitStack()
    place.callback(said.lines.append, "place is free")

    async def answer() -> None:
        channel = Channel()
        job = SimpleNamespace(
            channel=channel,
            model=SimpleNamespace(name="m"),
            text=SimpleNamespace(finish=lambda: LAST, stopped=False),
        )
        parts: Any = {"engine": said, "metrics": said}
        stream = AnswerStream(cast(Any, job), place=place, **parts)
        try:
            for event in events[:read]:
                channel.put(event)
                await stream.next()
        except ServerError:
            pass
        finally:
            stream.close()
            stream.close()

    asyncio.run(answer())

    assert said.lines == [*told, "place is free"]
