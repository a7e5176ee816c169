"""``kos up`` joins the deployment of its database, or says why it may not."""

from __future__ import annotations

from contextlib import closing

import redis

from console.services.errors import ServiceError
from jobs.policy.deployment import RedisStanding, conflict
from jobs.queues.clients import client_for
from jobs.settings.load import Settings
from jobs.upkeep.deployment import location_of, settle


def join(settings: Settings, *, replace_redis: bool) -> tuple[str, ...]:
    """Record this home's Redis, or find the recorded one; lines for the person. In a session.

    Raises:
        ServiceError: another home works this database with another Redis, or another database
            with this Redis; or Redis does not answer.
    """
    replacing = {RedisStanding.MOVED}
    if replace_redis:
        replacing |= {RedisStanding.FOREIGN, RedisStanding.TAKEN}
    here = location_of(settings.redis_url or "", settings.home)
    try:
        with closing(client_for(settings.redis_url or "")) as client:
            stands, before = settle(client, here, replacing=replacing)
    except redis.RedisError as error:
        raise ServiceError(f"Redis does not answer: {error}") from error
    if before is None or stands in (RedisStanding.NEW, RedisStanding.SAME):
        return ()
    if stands not in replacing | {RedisStanding.EMPTIED}:
        raise ServiceError("; ".join(conflict(stands, home=before.home, redis_at=before.redis_at)))
    if stands is RedisStanding.EMPTIED:
        return (f"the Redis at {before.redis_at} was empty; its tasks lie in Postgres",)
    if stands is RedisStanding.TAKEN:
        return (
            f"the Redis at {here.redis_at} is now this home's, no longer that of {before.home}",
        )
    return (f"the Redis of this deployment is now {here.redis_at}, no longer {before.redis_at}",)
