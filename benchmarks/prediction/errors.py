"""How far predicted ends are from real ones, over simulated runs of a backlog."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from benchmarks.prediction.houses import FAILING_AGAIN, FAILING_SHARE, House
from jobs.policy.forecast import Ahead, Forecast, Retries, forecast
from jobs.policy.outcome import RetryConfig
from jobs.policy.types import PlanningConfig
from jobs.simulation.board import Board
from jobs.simulation.engine import run

MOMENTS = (0.1, 0.5, 0.9)
"""Parts of the run at which the end is predicted."""
DISPATCH_AHEAD = 2


@dataclass(frozen=True, slots=True)
class Prediction:
    """Seconds from the moment: ``low`` to ``high`` is the range that people see."""

    low: float
    middle: float
    high: float
    real: float

    @property
    def error(self) -> float:
        """Of the middle, as a part of the time that was really left."""
        return abs(self.middle - self.real) / self.real

    @property
    def inside(self) -> bool:
        return self.low <= self.real <= self.high


@dataclass(slots=True)
class Found:
    """Predictions of one run: of the end by moment, and of single tasks that waited."""

    house: str
    ends: dict[float, Prediction] = field(default_factory=dict)
    tasks: list[Prediction] = field(default_factory=list)


def predict(house: House, seed: int) -> Found:
    """Two runs of the same backlog: one to know its end, one that is looked at."""
    config = PlanningConfig()
    real = run(house.workload, config, dispatch_ahead=DISPATCH_AHEAD)
    finished = {entry.task: entry.finish_seconds for entry in real.schedule}
    end = max(finished.values())
    found = Found(house.name)
    moments = {part * end: part for part in MOMENTS}

    def look(now: float, ahead: Ahead, board: Board) -> None:
        guess = forecast(_with_retries(ahead), draw=random.Random(seed).random)
        part = min(moments, key=lambda moment: abs(moment - now))
        whole = guess.end()
        assert whole is not None
        found.ends[moments[part]] = Prediction(whole.low, whole.middle, whole.high, end - now)
        found.tasks += _single(guess, board, finished, now)

    run(house.workload, config, dispatch_ahead=DISPATCH_AHEAD, looks=tuple(moments), look=look)
    return found


def _with_retries(ahead: Ahead) -> Ahead:
    """As learned from the attempts of an hour before."""
    config = RetryConfig()
    failing = FAILING_SHARE * (1.0 + FAILING_AGAIN)
    usual_seconds = config.base_seconds * (1.0 + config.spread / 2.0)
    return replace(ahead, retries=Retries(failing / (1.0 + failing), usual_seconds, config.factor))


def _single(
    guess: Forecast, board: Board, finished: dict[str, float], now: float
) -> Sequence[Prediction]:
    """Of every task that a block holds and that ends at its first attempt from here."""
    found = []
    for lane in board.lanes.values():
        for block in lane:
            for position, task_id in enumerate(block.tasks):
                expected = guess.finish_of([(block.block_id, position)])
                if expected is not None:
                    found.append(
                        Prediction(
                            expected.low, expected.middle, expected.high, finished[task_id] - now
                        )
                    )
    return found
