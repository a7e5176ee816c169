"""Names in Redis that several processes use."""

from __future__ import annotations

NAMESPACE = "kos"

CONTROL_QUEUE = "control"
MAINTENANCE_QUEUE = "maintenance"
LLM_QUEUE_PREFIX = "llm-"

DEPLOYMENT = "kos:deployment"
"""The id by which the database knows this Redis (:mod:`jobs.upkeep.deployment`)."""
DEPLOYMENT_HOME = "kos:deployment:home"
"""The home that first used this Redis: its id, a line feed, and its path for display."""
LIMITS = "kos:limits"
"""Hash: backend -> JSON of :class:`jobs.admission.limits.Limit`."""
BREAKERS = "kos:breaker"
"""Hash: ``backend`` or ``backend|model`` -> JSON of :class:`llm.breaker.BreakerState`."""
PAUSED = "kos:paused"
"""Set of paused backends."""
SCAN = "kos:scan"
WORKERS = "kos:workers"
"""Hash: owner -> JSON ``{"program", "queues", "backend", "started_at", "beat_at", "running"}``."""
UNCONSUMED = "kos:unconsumed"
"""Hash: backend whose queue has no worker -> since when, in seconds since the epoch."""
PLANNER = "kos:planner"
"""Hash: number of ``plans`` and their total ``seconds``."""
PLANNER_CYCLE = "kos:planner:cycle"
"""When a planning cycle last ended, in seconds since 1970."""
ACTOR_ERRORS = "kos:actors:errors"
"""Hash: actor -> number of its exceptions."""
ACTOR_LAST_ERRORS = "kos:actors:last"
"""Hash: actor -> JSON ``{"error", "at"}`` of its last exception."""
PLAN_DEDUP_KEY = "kos:plan:wanted"
PLAN_PENDING_REASON = "kos:plan:news"
"""The reason of a request that came while a weaker one waited in the queue."""
RECOVERY_DEDUP_KEY = "kos:recovery:wanted"
DELIVERY_DEDUP_KEY = "kos:deliver:wanted"
SCHEDULER_TICK = "kos:scheduler:tick"
LISTENER_HEARTBEAT = "kos:listener:beat"
HEALTH = "kos:health"
"""JSON ``{"at", "checks"}`` of the last round of the health checker, with a time to live."""


def llm_queue(backend: str) -> str:
    return f"{LLM_QUEUE_PREFIX}{backend}"


def wake_list(queue: str) -> str:
    return f"{NAMESPACE}:wake:{queue}"


def live_key(task_id: str) -> str:
    """The text streamed so far of a running task, kept for a few seconds."""
    return f"{NAMESPACE}:live:{task_id}"


def watch_key(task_id: str) -> str:
    """Exists while somebody watches the task. Its text is published only then."""
    return f"{NAMESPACE}:live:watch:{task_id}"


INTERACTIVE_DEMAND = "kos:interactive"
"""Hash: backend -> JSON of :class:`jobs.policy.interactive.Demand`."""


def preempt_key(backend: str) -> str:
    """Set of models whose running tasks are interrupted at ``backend``, for a few seconds."""
    return f"{NAMESPACE}:preempt:{backend}"
