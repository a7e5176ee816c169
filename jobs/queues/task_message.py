"""The message that makes a worker run one task: written by the dispatcher, read by admission."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import dramatiq
from dramatiq import MessageProxy

from jobs.queues.names import llm_queue

RUN_TASK = "run_task"
"""The actor that receives it."""


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """One dispatch of one task. ``num_ctx`` 0 leaves the context window to the server."""

    task_id: str
    epoch: int
    backend: str
    model: str
    num_ctx: int
    heavy: bool

    @property
    def holder(self) -> str:
        """The name under which this dispatch holds a slot."""
        return f"{self.task_id}:{self.epoch}"

    @classmethod
    def read(cls, message: MessageProxy) -> TaskMessage:
        """Raises KeyError, TypeError or ValueError where the message is not one of ours."""
        kwargs = message.kwargs
        return cls(
            task_id=str(kwargs["task_id"]),
            epoch=int(kwargs["epoch"]),
            backend=str(kwargs["backend"]),
            model=str(kwargs["model"]),
            num_ctx=int(kwargs.get("num_ctx") or 0),
            heavy=bool(kwargs["heavy"]),
        )

    def to_dramatiq(self) -> dramatiq.Message[None]:
        return llm_message(RUN_TASK, **asdict(self))


def llm_message(actor: str, backend: str, **kwargs: object) -> dramatiq.Message[None]:
    """A message for ``actor`` on the queue of ``backend``."""
    return dramatiq.Message(
        queue_name=llm_queue(backend),
        actor_name=actor,
        args=(),
        kwargs={"backend": backend, **kwargs},
        options={},
    )
