"""The error tree of a call to a model server.

::

    LLMError
    ├── TransientError            the same call may succeed later or at another backend
    │   ├── BackendUnreachable    refused, unknown host, reset before an answer
    │   ├── Overloaded            429 or 503; honours ``retry_after_seconds``
    │   ├── ConnectTimeout / LoadTimeout / FirstTokenTimeout / StallTimeout / TotalTimeout
    │   ├── StreamBroken          the connection or the framing broke in the middle
    │   ├── TruncatedStream       the stream ended without its terminal marker
    │   ├── LoadFailed            the server could not load the model
    │   └── ServerFailed          5xx, or an error line in the stream
    ├── PermanentError            the same call will fail again on this backend
    │   ├── BadRequest            400
    │   │   └── FieldRefused      it rejects an optional field, named in ``field``
    │   ├── PromptTooLong         the prompt does not fit into the model's context here
    │   ├── NotAuthorized         401, 403; 402 and an exhausted quota
    │   ├── ModelNotFound         404; contradicts the scan
    │   │   └── ModelUnsuitable   the model exists and cannot chat
    │   └── SchemaUnsupported     no structured output here
    ├── BadAnswer                 the stream is complete, the text is bad
    │   ├── EchoAnswer / BlankAnswer / ThinkingOnly / RepetitionAnswer / RunawayAnswer
    │   ├── RefusedAnswer         `refusal` in place of an answer
    │   └── UnwantedToolCall      a tool call in place of an answer; no request offers tools
    ├── CallCancelled             we stopped it: cancel, lost lease, drain
    └── PoisonedCall              our own bug: an unmapped exception
"""

from __future__ import annotations

from typing import Literal

BODY_EXCERPT_CHARS = 300

Concern = Literal["request", "model", "server"]
"""What is at fault. Only errors with "server" open the server's breaker."""


class LLMError(Exception):
    """Root. Carries the facts that a retry decision needs.

    ``status`` is the HTTP status, if any; ``body_excerpt`` at most 300 characters; ``concerns``
    what is at fault; ``field`` the optional field that the server rejects.
    """

    code = "llm_error"
    concerns: Concern = "request"

    def __init__(
        self,
        message: str,
        *,
        backend: str | None = None,
        model: str | None = None,
        status: int | None = None,
        retry_after_seconds: float | None = None,
        body_excerpt: str | None = None,
        partial_text: str = "",
        concerns: Concern | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.backend = backend
        self.model = model
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        self.body_excerpt = body_excerpt[:BODY_EXCERPT_CHARS] if body_excerpt else None
        self.partial_text = partial_text
        self.concerns = concerns or self.concerns
        self.field = field

    @property
    def transient(self) -> bool:
        return isinstance(self, TransientError)


class TransientError(LLMError):
    code = "transient"
    concerns: Concern = "server"


class BackendUnreachable(TransientError):
    code = "unreachable"


class Overloaded(TransientError):
    code = "overloaded"


class CallTimeout(TransientError):
    code = "timeout"


class ConnectTimeout(CallTimeout):
    code = "connect_timeout"


class LoadTimeout(CallTimeout):
    code = "load_timeout"
    concerns: Concern = "model"


class FirstTokenTimeout(CallTimeout):
    code = "first_token_timeout"


class QueueTimeout(FirstTokenTimeout):
    """The first token did not come in time, but the requests ahead explain it. The server is
    healthy; it received more requests than it processes at once."""

    code = "queue_timeout"


class StallTimeout(CallTimeout):
    code = "stall_timeout"


class TotalTimeout(CallTimeout):
    code = "total_timeout"
    concerns: Concern = "request"


class StreamBroken(TransientError):
    code = "stream_broken"


class TruncatedStream(TransientError):
    code = "truncated_stream"


class LoadFailed(TransientError):
    code = "load_failed"
    concerns: Concern = "model"


class ServerFailed(TransientError):
    code = "server_failed"


class PermanentError(LLMError):
    code = "permanent"


class BadRequest(PermanentError):
    code = "bad_request"


class FieldRefused(BadRequest):
    code = "field_refused"


class PromptTooLong(PermanentError):
    code = "prompt_too_long"


class NotAuthorized(PermanentError):
    code = "not_authorized"
    concerns: Concern = "server"


class ModelNotFound(PermanentError):
    code = "model_not_found"
    concerns: Concern = "model"


class ModelUnsuitable(ModelNotFound):
    code = "model_unsuitable"


class SchemaUnsupported(PermanentError):
    code = "schema_unsupported"
    concerns: Concern = "server"


class BadAnswer(LLMError):
    code = "bad_answer"


class EchoAnswer(BadAnswer):
    code = "echo"


class BlankAnswer(BadAnswer):
    code = "blank"


class ThinkingOnly(BadAnswer):
    code = "thinking_only"


class RefusedAnswer(BadAnswer):
    code = "refusal"


class UnwantedToolCall(BadAnswer):
    code = "tool_call"


class RepetitionAnswer(BadAnswer):
    code = "repetition"


class RunawayAnswer(BadAnswer):
    code = "runaway"


class CallCancelled(LLMError):
    code = "cancelled"


class PoisonedCall(LLMError):
    code = "poisoned"
