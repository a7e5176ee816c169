"""Turns a checked request into a job: resolves names, tokenizes text, applies limits."""

from __future__ import annotations

from llm.mlx_server.catalog import ModelEntry
from llm.mlx_server.errors import InvalidRequest
from llm.mlx_server.job import Channel, EngineJob, PromptTokens
from llm.mlx_server.requests import TextRequest
from llm.mlx_server.settings import ServerSettings
from llm.mlx_server.structured import GrammarProcessor, compile_schema
from llm.mlx_server.text import AnswerText
from llm.mlx_server.tokenizers import ModelTokenizer


def load_job(request: TextRequest, entry: ModelEntry, settings: ServerSettings) -> EngineJob:
    """A job that only loads the model."""
    return EngineJob(
        model=entry, channel=Channel(), keep_alive_seconds=_keep_alive_seconds(request, settings)
    )


def text_job(
    request: TextRequest, entry: ModelEntry, tokenizer: ModelTokenizer, settings: ServerSettings
) -> EngineJob:
    """A job that generates. Raises InvalidRequest naming a field that cannot be honoured."""
    if request.think and tokenizer.markers is None:
        raise InvalidRequest(f"model {entry.name!r} does not support thinking", field="think")
    _check_biases(request, entry.vocabulary or tokenizer.size)
    room = _Room(request, entry)
    room.check(tokenizer.fewest_tokens(_text_bytes(request)))
    think = _thinking(request, tokenizer)
    tokens = _tokens(request, tokenizer, think=think)
    left = room.check(len(tokens))
    starts_thinking = tokenizer.starts_thinking(tokens)
    return EngineJob(
        model=entry,
        channel=Channel(),
        prompt=_prompt(request, tokenizer, settings, tokens=tokens, think=think),
        max_tokens=min(request.max_tokens or settings.default_max_tokens, left),
        sampling=request.sampling,
        eos_token_ids=tokenizer.eos_token_ids,
        text=AnswerText(
            tokenizer.detokenizer(),
            stop=request.stop,
            markers=tokenizer.markers,
            starts_thinking=starts_thinking,
        ),
        eager=request.stream or bool(request.stop),
        grammar=_grammar(request, tokenizer, thinks=starts_thinking),
        keep_alive_seconds=_keep_alive_seconds(request, settings),
    )


def _check_biases(request: TextRequest, vocabulary: int) -> None:
    for token, _ in request.sampling.logit_bias:
        if token >= vocabulary:
            raise InvalidRequest(
                f"token {token} is outside the vocabulary of {vocabulary}",
                field="logit_bias",
            )


def _thinking(request: TextRequest, tokenizer: ModelTokenizer) -> bool | None:
    """None leaves the choice to the template; structured output thinks only on request."""
    if tokenizer.markers is None:
        return None
    return False if request.think is None and request.schema is not None else request.think


def _tokens(request: TextRequest, tokenizer: ModelTokenizer, *, think: bool | None) -> list[int]:
    if request.messages:
        tokens = tokenizer.render(request.messages, think=think)
    else:
        tokens = tokenizer.encode(request.prompt or "")
    if not tokens:
        raise InvalidRequest("holds no tokens", field="prompt")
    return tokens


class _Room:
    """The context of one request: the answer gets what the prompt leaves free."""

    def __init__(self, request: TextRequest, entry: ModelEntry) -> None:
        self._context = min(entry.context_tokens, request.context_tokens or entry.context_tokens)
        self._field = "messages" if request.messages else "prompt"

    def check(self, prompt_tokens: int) -> int:
        """The tokens left for the answer. A prompt that fills the context is refused, never cut."""
        if prompt_tokens >= self._context:
            raise InvalidRequest(
                f"{prompt_tokens} tokens or more, and the context holds {self._context} "
                "with the answer",
                field=self._field,
            )
        return self._context - prompt_tokens


def _text_bytes(request: TextRequest) -> int:
    texts = [request.prompt or "", *(message.content for message in request.messages)]
    return sum(len(text.encode()) for text in texts)


def _prompt(
    request: TextRequest,
    tokenizer: ModelTokenizer,
    settings: ServerSettings,
    *,
    tokens: list[int],
    think: bool | None,
) -> PromptTokens:
    shared = 0
    if settings.prefix_cache_bytes and request.messages:
        shared = tokenizer.shared_prefix(request.messages, tokens, think=think)
    worth_keeping = shared >= settings.prefix_min_tokens
    return PromptTokens(tokens=tuple(tokens), shared_tokens=shared if worth_keeping else 0)


def _grammar(
    request: TextRequest, tokenizer: ModelTokenizer, *, thinks: bool
) -> GrammarProcessor | None:
    if request.schema is None:
        return None
    grammar = compile_schema(request.schema, field=request.schema_field)
    return GrammarProcessor(
        tokenizer.vocabulary, grammar, after_token=tokenizer.think_end_token if thinks else None
    )


def _keep_alive_seconds(request: TextRequest, settings: ServerSettings) -> float | None:
    if request.keep_alive is None:
        return settings.keep_alive_seconds
    return request.keep_alive.seconds
