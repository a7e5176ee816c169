"""Changing queues in Redis: re-drive, delete, purge. Postgres stays the truth.

A message that is deleted here costs at most a delay: recovery sends the row's message again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal
from uuid import uuid4

import redis

from jobs.queues.names import NAMESPACE, wake_list

Part = Literal["ready", "dead", "all"]
BATCH = 500
WAKES_KEPT = 64
SPENT_OPTIONS = ("retries", "traceback", "requeue_timestamp", "eta")

_DELETE = """
if redis.call('lrem', KEYS[1], 1, ARGV[1]) > 0 then
  return redis.call('hdel', KEYS[1] .. '.msgs', ARGV[1])
end
if redis.call('zrem', KEYS[1] .. '.XQ', ARGV[1]) > 0 then
  return redis.call('hdel', KEYS[1] .. '.XQ.msgs', ARGV[1])
end
return 0
"""
_REQUEUE = """
if redis.call('zrem', KEYS[1] .. '.XQ', ARGV[1]) == 0 then return 0 end
redis.call('hdel', KEYS[1] .. '.XQ.msgs', ARGV[1])
redis.call('hset', KEYS[1] .. '.msgs', ARGV[2], ARGV[3])
redis.call('rpush', KEYS[1], ARGV[2])
redis.call('rpush', KEYS[2], 1)
redis.call('ltrim', KEYS[2], -tonumber(ARGV[4]), -1)
return 1
"""
_PURGE_READY = """
local ids = redis.call('lrange', KEYS[1], 0, tonumber(ARGV[1]) - 1)
if #ids == 0 then return 0 end
redis.call('ltrim', KEYS[1], #ids, -1)
redis.call('hdel', KEYS[1] .. '.msgs', unpack(ids))
return #ids
"""


def requeue(client: redis.Redis, queue: str, ids: Sequence[str] | None = None) -> int:
    """Send dead letters again as new messages, all of them by default; how many went."""
    wanted = list(_dead_ids(client, queue)) if ids is None else list(ids)
    script = client.register_script(_REQUEUE)
    moved = 0
    for message_id in wanted:
        text: Any = client.hget(f"{_key(queue)}.XQ.msgs", message_id)
        if text is None:
            continue
        fresh_id, fresh = _as_new(text)
        keys = [_key(queue), wake_list(queue)]
        moved += int(script(keys=keys, args=[message_id, fresh_id, fresh, WAKES_KEPT]))
    return moved


def delete(client: redis.Redis, queue: str, ids: Iterable[str]) -> int:
    """Delete ready or dead messages by id; how many were there. In flight is not touched."""
    script = client.register_script(_DELETE)
    return sum(int(script(keys=[_key(queue)], args=[message_id])) for message_id in ids)


def purge(client: redis.Redis, queue: str, *, part: Part) -> int:
    """Delete all ready messages, all dead letters, or both; how many. Runs in short steps."""
    removed = 0
    if part in {"ready", "all"}:
        script = client.register_script(_PURGE_READY)
        while gone := int(script(keys=[_key(queue)], args=[BATCH])):
            removed += gone
    if part in {"dead", "all"}:
        removed += delete(client, queue, list(_dead_ids(client, queue)))
    return removed


def _dead_ids(client: redis.Redis, queue: str) -> list[str]:
    ids: Any = client.zrange(f"{_key(queue)}.XQ", 0, -1)
    return list(ids)


def _as_new(text: str) -> tuple[str, str]:
    message = json.loads(text)
    fresh_id = str(uuid4())
    options = {k: v for k, v in message["options"].items() if k not in SPENT_OPTIONS}
    message["options"] = options | {"redis_message_id": fresh_id}
    return fresh_id, json.dumps(message, separators=(",", ":"))


def _key(queue: str) -> str:
    return f"{NAMESPACE}:{queue}"
