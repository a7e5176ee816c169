"""What a server holds now, what it will hold, and how much it takes at once."""

from __future__ import annotations

from jobs.policy.types import BackendView, BlockKey


def is_warm(view: BackendView, key: BlockKey) -> bool:
    """Whether the key's model is, or is about to be, in memory with these options."""
    if key.model not in models_in_memory(view):
        return False
    current = view.current
    return current is None or current.model != key.model or current == key


def models_in_memory(view: BackendView) -> tuple[str, ...]:
    """What will be resident when all that was sent has begun; the least recent go first.

    A server that is seen to hold more models than configured can hold that many.
    """
    coming = [*view.loading]
    if view.current is not None and view.in_flight > 0:
        coming.append(view.current.model)
    if view.interactive is not None:
        coming.append(view.interactive.model)
    held = [model for model in view.resident if model not in coming]
    return tuple([*held, *dict.fromkeys(coming)][-capacity(view) :])


def capacity(view: BackendView) -> int:
    """How many models the server holds at once."""
    return max(1, view.max_resident, len(view.resident))


def effective_slots(view: BackendView, *, heavy: bool) -> int:
    return max(1, min(view.slots, view.heavy_limit) if heavy else view.slots)
