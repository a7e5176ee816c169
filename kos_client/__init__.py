"""The Python client of a running Knowledge OS Jobs.

from kos_client import Client

with Client() as client:
    print(client.result(client.submit("Summarise RFC 9110 in five lines")))
"""

from kos_client.batches import line as batch_line
from kos_client.client import Client
from kos_client.errors import (
    BadInput,
    KosError,
    NotAllowed,
    NotFound,
    TaskFailed,
    TimedOut,
    UnexpectedAnswer,
    Unreachable,
)
from kos_client.values import (
    Attempt,
    Backend,
    Batch,
    BatchResult,
    Expert,
    Status,
    Submitted,
    Task,
    TaskPage,
)

__all__ = [
    "Attempt",
    "Backend",
    "BadInput",
    "Batch",
    "BatchResult",
    "Client",
    "Expert",
    "KosError",
    "NotAllowed",
    "NotFound",
    "Status",
    "Submitted",
    "Task",
    "TaskFailed",
    "TaskPage",
    "TimedOut",
    "UnexpectedAnswer",
    "Unreachable",
    "batch_line",
]
