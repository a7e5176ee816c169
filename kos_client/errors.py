"""What can go wrong, as one small tree.

KosError
├── Unreachable       no answer, or a service behind the dashboard is down
├── TimedOut          the timeout has passed; running tasks continue
├── NotAllowed        no token, a wrong one, or a dashboard that is read-only
├── NotFound          no such task, file or batch
├── BadInput          the API refuses the input and names the field
├── UnexpectedAnswer  the answer is not this API's, or it is broken
└── TaskFailed        the task of `Client.result` ended without an answer
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kos_client.values import Task


class KosError(Exception):
    """The base class; its text gives the problem and the remedy."""


class Unreachable(KosError):
    pass


class TimedOut(KosError):
    pass


class NotAllowed(KosError):
    pass


class NotFound(KosError):
    pass


class BadInput(KosError):
    """``param`` is the field that is refused, where the API names one."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class UnexpectedAnswer(KosError):
    pass


class TaskFailed(KosError):
    """``task`` holds the status and the last error."""

    def __init__(self, task: Task) -> None:
        reason = task.last_error or "nobody gave a reason"
        super().__init__(f"task {task.id} is {task.status}: {reason}; `client.retry` runs it again")
        self.task = task
