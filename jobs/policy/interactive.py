"""Requests of people beside the backlog: which server serves one, what gives way, for how long.

A person waits, a task does not. So a request takes the next free slot of its server, its model
may push a block's model out of memory, and calls that hold up the load are interrupted once the
person's patience is over. Afterwards the model stays as long as its caller usually pauses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

FEWEST_PAUSES = 3
USUAL_LOAD_SECONDS = 10.0
"""What a load is taken to last before one was seen."""
PERSON_WEIGHT = 3.0
"""A second that a person waits counts as much as this many of a server's."""
PAUSE_MARGIN = 1.2


@dataclass(frozen=True, slots=True)
class InteractiveOption:
    """A model at a server where a request may run, as things stand now.

    ``blocked`` says why nothing may be sent there, or is None. ``running`` calls hold ``slots``;
    ``waiting`` requests of people stand before this one. ``busy_models`` is how many other models
    have calls in flight there, ``max_resident`` how many models the server holds. ``contested``:
    people use or wait for another model there, and the server does not hold both.
    """

    backend: str
    model: str
    blocked: str | None = None
    resident: bool = False
    slots: int = 1
    running: int = 0
    waiting: int = 0
    busy_models: int = 0
    max_resident: int = 1
    load_seconds: float = 0.0
    contested: bool = False

    @property
    def must_drain(self) -> bool:
        """Whether running calls of other models must end before this model can be loaded."""
        busy = self.running > 0 and self.busy_models >= self.max_resident
        return busy and not self.resident

    @property
    def is_free(self) -> bool:
        """Whether a request could run there at once."""
        usable = self.resident and self.blocked is None and not self.contested
        return usable and self.waiting == 0 and self.running < self.slots


@dataclass(frozen=True, slots=True)
class Demand:
    """What people want of one server. ``waiting_since`` is None while nobody waits for the model.

    ``until`` is when the demand ends if nobody renews it.
    """

    model: str
    num_ctx: int
    until: datetime
    waiting_since: datetime | None = None


def by_preference(
    options: Sequence[InteractiveOption], *, patience: timedelta
) -> list[InteractiveOption]:
    """Best first: wanted by nobody for another model, in memory, else loaded soonest; a slot free,
    the fewest in line.

    Running calls of other models hold a load up for ``patience`` at most. Less than a second
    decides nothing.
    A server that is blocked comes last, so that a caller hears of it only where nothing else is.
    """

    def cost(option: InteractiveOption) -> tuple[bool, bool, bool, int, bool, float]:
        drain_seconds = patience.total_seconds() if option.must_drain else 0.0
        crowd = (option.running + option.waiting) / max(1, option.slots)
        full = option.running + option.waiting >= option.slots
        return (
            option.blocked is not None,
            option.contested,
            not option.resident,
            0 if option.resident else round(option.load_seconds + drain_seconds),
            full,
            crowd,
        )

    return sorted(options, key=cost)


def keep_seconds(
    pauses_seconds: Sequence[float], *, load_seconds: float | None, most_seconds: float
) -> float:
    """How long to keep a model after its last request, at most ``most_seconds``.

    Keeping it costs the backlog the time of the pause; giving it up costs two loads, and the person
    waits for one of them. Of the pauses seen so far the bound is chosen that would have cost least.
    Before there are enough, the model is kept for as long as giving it up costs, which is never
    worse than twice the best choice (the ski-rental bound: Karlin et al., 1988).
    """
    load = USUAL_LOAD_SECONDS if load_seconds is None else load_seconds
    miss = load * (2 + PERSON_WEIGHT)
    if len(pauses_seconds) < FEWEST_PAUSES:
        return min(miss, most_seconds)

    def cost(bound: float) -> float:
        return sum(pause if pause <= bound else bound + miss for pause in pauses_seconds)

    bounds = {0.0, *(min(pause * PAUSE_MARGIN, most_seconds) for pause in pauses_seconds)}
    return min(bounds, key=lambda bound: (cost(bound), bound))


def preempted_models(
    demand: Demand,
    running: Mapping[str, int],
    *,
    max_resident: int,
    resident: bool,
    patience: timedelta,
    now: datetime,
) -> tuple[str, ...]:
    """The models whose running calls are interrupted now, so that the wanted one can be loaded.

    ``running`` counts the background calls of each model at the server. Nothing is interrupted
    before the patience is over, and no more than makes room: the models with the fewest calls.
    """
    if demand.waiting_since is None or resident or now < demand.waiting_since + patience:
        return ()
    return models_in_the_way(demand, running, max_resident=max_resident)


def models_in_the_way(
    demand: Demand, running: Mapping[str, int], *, max_resident: int
) -> tuple[str, ...]:
    """The running models that the server does not hold beside the wanted one: those with the fewest
    calls leave."""
    others = sorted((count, model) for model, count in running.items() if model != demand.model)
    excess = len(others) - max(0, max_resident - 1)
    return tuple(model for _, model in others[: max(0, excess)])


def admitted_models(
    demand: Demand, running: Mapping[str, int], *, max_resident: int, resident: bool
) -> frozenset[str] | None:
    """The models whose tasks may still start at the server, or None where any may.

    Without this bound, tasks sent earlier would start while the wanted model is loaded, and bring
    theirs back: the server would load the two in turn.
    """
    if max_resident > 1 and (resident or demand.waiting_since is None):
        return None
    leaving = models_in_the_way(demand, running, max_resident=max_resident)
    return frozenset(running) - frozenset(leaving) | {demand.model}
