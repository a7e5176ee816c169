"""Which reports tell of one load of a model: calls that waited for it together each report it, in
this process and in others. Shared through Redis."""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import astuple, dataclass

import redis

from jobs.process.clock import epoch_seconds

logger = logging.getLogger(__name__)

SAME_LOAD_SECONDS = 0.5
SAME_LOAD_SHARE = 0.5
"""Two loads of one model end at least one load apart, because it has to leave and come again. So
reported ends that differ by less than this share of the shortest known load are one end. On a busy
machine a request is sent up to seconds after its clock was read."""
REPORTS_KEPT = 16
KEPT_SECONDS = 3600
INSIDE = "inside a call"


@dataclass(frozen=True, slots=True)
class _Report:
    """``ended_at`` is Unix time; ``asker`` the process that asked for the load, or `INSIDE`."""

    ended_at: float
    seconds: float
    asker: str

    def may_be_of_the_same_load(self, earlier: _Report) -> bool:
        """What one process asks for in turn are loads of their own."""
        return self.asker == INSIDE or self.asker != earlier.asker


class LoadReports:
    """Counts each load once, whoever reports it first."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._process = uuid.uuid4().hex

    def is_first(
        self,
        backend: str,
        model: str,
        num_ctx: int,
        *,
        seconds: float,
        ended_seconds_ago: float,
        inside: bool,
    ) -> bool:
        """Whether nobody has reported this load; from now on it is. ``inside``: an answer told of
        it; otherwise this process asked for it. While Redis is away every report is a first one."""
        asker = INSIDE if inside else self._process
        report = _Report(epoch_seconds() - ended_seconds_ago, seconds, asker)
        try:
            earlier = self._add(f"kos:load_reports:{backend}:{model}:{num_ctx}", report)
        except redis.RedisError as error:
            logger.warning("load_report_not_shared model=%s error=%s", model, error)
            return True
        shortest = min([seconds, *(each.seconds for each in earlier)])
        apart = max(SAME_LOAD_SECONDS, SAME_LOAD_SHARE * shortest)
        return all(
            abs(report.ended_at - each.ended_at) > apart
            for each in earlier
            if report.may_be_of_the_same_load(each)
        )

    def _add(self, name: str, report: _Report) -> list[_Report]:
        """The reports before this one. Redis puts them in an order, so one of a load is first."""
        with self._client.pipeline() as pipeline:
            pipeline.lrange(name, 0, -1)
            pipeline.rpush(name, json.dumps(astuple(report)))
            pipeline.ltrim(name, -REPORTS_KEPT, -1)
            pipeline.expire(name, KEPT_SECONDS)
            return [_Report(*json.loads(line)) for line in pipeline.execute()[0]]
