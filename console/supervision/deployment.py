"""``kos up`` joins the deployment of its database, or says why it may not."""

from __future__ import annotations

from contextlib import closing

import redis

from console.services.errors import ServiceError
from jobs.policy.deployment import REMEDY, Standing
from jobs.queues.clients import client_for
from jobs.settings.load import Settings
from jobs.upkeep.deployment import place, settle


def join(settings: Settings, *, replace_redis: bool) -> tuple[str, ...]:
    """Record this home's Redis, or find the recorded one; lines for the person. In a session.

    Raises:
        ServiceError: another home works this database with another Redis, or Redis does not answer.
    """
    replacing = {Standing.MOVED} | ({Standing.FOREIGN} if replace_redis else set())
    here = place(settings.redis_url or "", settings.home)
    try:
        with closing(client_for(settings.redis_url or "")) as client:
            stands, before = settle(client, here, replacing=replacing)
    except redis.RedisError as error:
        raise ServiceError(f"Redis does not answer: {error}") from error
    if before is None or stands in (Standing.NEW, Standing.SAME):
        return ()
    if stands not in replacing | {Standing.EMPTIED}:
        raise ServiceError(
            f"another home works this database: {before.home}, with the Redis at "
            f"{before.redis_at}; two would both grant the whole limit; {REMEDY}"
        )
    if stands is Standing.EMPTIED:
        return (f"the Redis at {before.redis_at} was empty; its tasks lie in Postgres",)
    return (f"the Redis of this deployment is now {here.redis_at}, no longer {before.redis_at}",)
