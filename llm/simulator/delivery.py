"""Sends a script to a client at the model's pace, with the requested fault."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from llm.simulator.activity import ActivityEntry
from llm.simulator.calls import CallError
from llm.simulator.faults import Fault
from llm.simulator.http_connection import JSON_TYPE, HttpExchange
from llm.simulator.pace import TokenPace
from llm.simulator.scripts import Script
from llm.simulator.speakers import Reason, Speaker
from llm.wire.values import GenerationUsage

_TOKENS_BETWEEN_YIELDS = 64
RUNNER_ERROR = "an error was encountered while running the model"
_FRAGMENT_BYTES = 3
_FOREVER_SECONDS = 365 * 86_400.0
_MID_STREAM = frozenset(
    "hang-after reset drop truncate half-line error-line invalid-utf8".split()  # noqa: SIM905
)
# Lines that are broken, or that report an error.
_LAST_WORDS = frozenset({"half-line", "error-line", "invalid-utf8"})
# These send nothing when they strike before the first token.
_BREAKS = frozenset({"reset", "drop", "hang-after"})


@dataclass(slots=True)
class Generated:
    """What has been generated so far."""

    thinking: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Thinking tokens count as well."""
        return len(self.thinking) + len(self.text)


class Delivery:
    """One answer being sent: call `send` with the script, then `finish`."""

    def __init__(
        self,
        exchange: HttpExchange,
        speaker: Speaker,
        *,
        streams: bool,
        entry: ActivityEntry,
        fault: Fault | None,
    ) -> None:
        self._exchange = exchange
        self._speaker = speaker
        self._streams = streams
        self._entry = entry
        self._fault = fault
        self._fault_name = fault.name if fault is not None else ""
        self.generated = Generated()

    @property
    def is_broken(self) -> bool:
        """True when a fault has ended the answer early."""
        return self._exchange.ended

    async def begin(self) -> None:
        """Before the first token: send the head of a stream, or hang if a fault requires it."""
        if self._fault is not None and not self._fault.after_tokens and await self._apply_fault():
            return
        if self._streams and (self._fault_name == "hang-before" or self._speaker.opening()):
            self._open()
            await self._flush()
        if self._fault_name == "hang-before":
            await asyncio.sleep(_FOREVER_SECONDS)

    async def send(self, script: Script, pace: TokenPace) -> Reason:
        """Send every token of the script; returns the finish reason."""
        if self._fault is not None and self._fault_name == "drip":
            drops_per_second = 1.0 / self._fault.seconds if self._fault.seconds else 0.0
            pace = TokenPace(lambda: drops_per_second)
        for pieces, is_thought in ((script.thoughts, True), (script.pieces, False)):
            for piece in pieces:
                if self.generated.tokens >= script.limit:
                    await self._apply_fault()  # If the answer was too short for it until now.
                    return "length"
                await self._keep_pace(pace)
                self._add(piece, is_thought=is_thought)
                if self._fault_is_due() and await self._apply_fault():
                    return "stop"
        await self._apply_fault()
        return "stop"

    async def finish(self, reason: Reason, usage: GenerationUsage) -> None:
        """Send the terminal marker of a stream, or the whole body."""
        if self._streams:
            await self._close_stream(self._speaker.closing(reason, usage))
        else:
            await self._send_whole(reason, usage)
        self._entry.status = 200
        self._mark_first_byte()

    async def _close_stream(self, closing: bytes) -> None:
        if not self._exchange.started:
            self._open()
        self._exchange.send(closing)
        if self._fault_name == "fragment":
            await self._flush()
        self._exchange.end()

    async def _send_whole(self, reason: Reason, usage: GenerationUsage) -> None:
        thinking, text = "".join(self.generated.thinking), "".join(self.generated.text)
        whole = self._speaker.whole(text, thinking=thinking, reason=reason, usage=usage)
        if self._fault_name == "invalid-utf8":
            whole = whole.replace(b"simulated", b"simulated \xff\xfe\xc3", 1)
        if self._fault_name == "fragment":
            self._exchange.start(JSON_TYPE)
            self._exchange.send(whole)
            await self._exchange.fragment(_FRAGMENT_BYTES)
            self._exchange.end()
        else:
            self._exchange.respond(200, whole)

    async def _keep_pace(self, pace: TokenPace) -> None:
        seconds = pace.wait_seconds(time.monotonic())
        if seconds:
            await self._flush()
            await asyncio.sleep(seconds)
        elif self.generated.tokens % _TOKENS_BETWEEN_YIELDS == _TOKENS_BETWEEN_YIELDS - 1:
            await self._flush()
            await asyncio.sleep(0)

    def _add(self, piece: str, *, is_thought: bool) -> None:
        (self.generated.thinking if is_thought else self.generated.text).append(piece)
        self._entry.completion_tokens += 1
        if self._streams:
            if not self._exchange.started:
                self._open()
            spoken = self._speaker.thought(piece) if is_thought else self._speaker.piece(piece)
            self._exchange.send(spoken)

    def _open(self) -> None:
        self._exchange.start(self._speaker.stream_type)
        self._entry.status = 200
        if opening := self._speaker.opening():
            self._exchange.send(opening)

    async def _flush(self) -> None:
        if not self._exchange.started:
            return
        if self.generated.tokens:
            self._mark_first_byte()
        if self._fault_name == "fragment":
            await self._exchange.fragment(_FRAGMENT_BYTES)
        else:
            await self._exchange.flush()

    def _mark_first_byte(self) -> None:
        if self._entry.first_byte_at is None:
            self._entry.first_byte_at = time.time()

    def _fault_is_due(self) -> bool:
        return self._fault is not None and self.generated.tokens >= self._fault.after_tokens

    async def _apply_fault(self) -> bool:
        """Apply a fault that strikes in the middle; True when it ends the answer."""
        fault_name = self._fault_name
        if fault_name not in _MID_STREAM or (fault_name == "invalid-utf8" and not self._streams):
            return False  # In an unstreamed body `finish` inserts the bad bytes.
        if fault_name == "error-line" and not self._streams:
            raise CallError(500, RUNNER_ERROR)
        self._fault_name = ""
        if not self._exchange.started and (self.generated.tokens or fault_name not in _BREAKS):
            self._start_partial_body()
        if self._streams and fault_name in _LAST_WORDS:
            self._exchange.send(self._last_words(fault_name))
        await self._flush()
        match fault_name:
            case "hang-after":
                await asyncio.sleep(_FOREVER_SECONDS)
            case "reset":
                self._exchange.reset()
            case "drop":
                self._exchange.drop()
            case "truncate" | "half-line" | "error-line":
                self._exchange.end()
        return self._exchange.ended

    def _start_partial_body(self) -> None:
        """Start a body that a fault will cut: an unstreamed answer breaks inside its JSON."""
        if self._streams:
            self._open()
            return
        self._exchange.start(JSON_TYPE)
        self._exchange.send(b'{"model":"' + self._entry.model.encode() + b'","created_at":"20')

    def _last_words(self, fault_name: str) -> bytes:
        valid = self._speaker.piece(" broken here")
        if fault_name == "half-line":
            return valid[: len(valid) // 2]
        if fault_name == "error-line":
            return self._speaker.error_line(RUNNER_ERROR)
        return valid.replace(b"broken", b"\xff\xfe\xc3")
