"""Turns open blocks into queued rows and messages, as many as there are free slots."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

from jobs.admission.residency import Residency
from jobs.planning.current_state import CurrentState
from jobs.planning.snapshots import planning_config
from jobs.policy.dispatch import dispatch
from jobs.policy.types import DispatchOrder, PreloadOrder
from jobs.process.tracing import span
from jobs.queues.broker import WakingBroker
from jobs.queues.task_message import TaskMessage, llm_message
from jobs.settings.load import Settings
from models.task import Task


class Dispatcher:
    """Dispatches tasks. It remembers when it last sent to each backend, and serves them in turn."""

    def __init__(self, settings: Settings, *, broker: WakingBroker, residency: Residency) -> None:
        self._settings = settings
        self._broker = broker
        self._residency = residency
        self._sent_at: dict[str, float] = {}

    def dispatch(self, state: CurrentState) -> tuple[int, int]:
        """(tasks that the free slots want, tasks sent). Needs a session."""
        decided = dispatch(
            # Where the total limit is scarce, the first in this list would take every slot.
            sorted(state.backends, key=lambda view: self._sent_at.get(view.name, 0.0)),
            state.blocks,
            dispatch_ahead=self._settings.dispatch_ahead,
            config=planning_config(self._settings, state.scan),
            total=state.total,
        )
        heavy = {block.block_id: block.heavy for block in state.blocks}
        messages: list[TaskMessage] = []
        for order in decided.orders:
            self._sent_at[order.key.backend] = time.monotonic()
            messages += self._queue(order, heavy=heavy[order.block_id])
        # After the commit: a message must never be ahead of its row.
        self._send(messages, decided.preloads)
        return sum(order.count for order in decided.orders), len(messages)

    def _queue(self, order: DispatchOrder, *, heavy: bool) -> list[TaskMessage]:
        """Rows and reasons in one statement. After a crash, recovery finds rows unsent."""
        key = order.key
        return [
            TaskMessage(task_id, epoch, key.backend, key.model, key.num_ctx, heavy)
            for task_id, epoch in Task.queue(
                order.block_id, order.count, reason=order.reason, chosen=order.chosen
            )
        ]

    def _send(self, messages: Sequence[TaskMessage], preloads: Sequence[PreloadOrder]) -> None:
        for order in preloads:
            self._residency.announce(order.backend, order.model)
            self._broker.enqueue(
                llm_message("preload", order.backend, model=order.model, num_ctx=order.num_ctx)
            )
        with ExitStack() as spans:
            for task in messages:
                about = {"backend": task.backend, "model": task.model}
                spans.enter_context(span("dispatch", task.task_id, **about))
            self._broker.enqueue_all([task.to_dramatiq() for task in messages])
