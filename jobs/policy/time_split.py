"""Where the time of an attempt went: one definition for all pages and commands.

``queue here`` is before the worker began, so it is no part of the attempt. The other parts add up
to its wall clock: ``load`` of the model, ``prefill`` of the prompt, ``decode`` of the answer, and
``queue there``, which is all the rest: the server's own queue, the network, the worker's own work.
Servers that report prefill and decode are believed as far as the wall clock allows; for the others
prefill is inferred from the first token, and the split says so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """Seconds of one attempt. ``inferred``: the server did not report prefill and decode."""

    queue_here: float = 0.0
    queue_there: float = 0.0
    load: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0
    inferred: bool = False

    @property
    def attempt(self) -> float:
        """The wall clock of the attempt."""
        return self.queue_there + self.load + self.prefill + self.decode

    def tokens_per_second(self, completion_tokens: int | None) -> float | None:
        """Tokens of the answer over the time of decoding alone; None where too little is known."""
        tokens = completion_tokens or 0
        return tokens / self.decode if self.decode > 0 and tokens > 1 else None


def time_split(
    *,
    duration_seconds: float | None,
    wait_seconds: float | None = None,
    load_seconds: float | None = None,
    first_token_seconds: float | None = None,
    prefill_seconds: float | None = None,
    decode_seconds: float | None = None,
) -> TimeSplit:
    """Of the measures that the ledger keeps; None where one was not taken.

    ``first_token_seconds`` counts from the request, after a load that we ordered ourselves.
    ``prefill_seconds`` and ``decode_seconds`` are what the server reported.
    """
    whole = max(0.0, duration_seconds or 0.0)
    load = min(max(0.0, load_seconds or 0.0), whole)
    rest = whole - load
    inferred = prefill_seconds is None or decode_seconds is None
    if inferred:
        # Without a first token nothing was decoded: the server read, or let us wait.
        first = rest if first_token_seconds is None else max(0.0, first_token_seconds)
        prefill = min(first, rest)
        decode = rest - prefill
    else:
        prefill = min(max(0.0, prefill_seconds or 0.0), rest)
        decode = min(max(0.0, decode_seconds or 0.0), rest - prefill)
    return TimeSplit(
        queue_here=max(0.0, wait_seconds or 0.0),
        queue_there=max(0.0, rest - prefill - decode),
        load=load,
        prefill=prefill,
        decode=decode,
        inferred=inferred,
    )
