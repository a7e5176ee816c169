"""The official `ollama` and `openai` packages drive the simulator as they drive a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
import ollama
import openai
import pytest
from jsonschema import validate

from tests.support.simulators import Kind, RunningSimulator, simulator

PROMPT = "Explain how database indexes speed up queries"
SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 3},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
        "severity": {"enum": ["low", "high"]},
    },
    "required": ["title", "score", "tags", "severity"],
    "additionalProperties": False,
}
MODELS: dict[Kind, str] = {
    "ollama": "phi3.5:3.8b",
    "mlx": "phi3.5:3.8b",
    "openai": "llama-3.1-8b-instruct",
}


@pytest.fixture(scope="module", params=["ollama", "mlx"])
def native(request: pytest.FixtureRequest) -> Iterator[RunningSimulator]:
    with simulator(request.param) as running:
        yield running


@pytest.fixture(scope="module", params=["ollama", "mlx", "openai"])
def compatible(request: pytest.FixtureRequest) -> Iterator[RunningSimulator]:
    with simulator(request.param) as running:
        yield running


@pytest.fixture
def ollama_client(native: RunningSimulator) -> Iterator[ollama.Client]:
    native.reset()
    with ollama.Client(host=native.url, timeout=20) as client:
        yield client


@pytest.fixture
def openai_client(compatible: RunningSimulator) -> Iterator[openai.OpenAI]:
    compatible.reset()
    url = f"{compatible.url}/v1"
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=20) as client:
        yield client


class TestOllamaClient:
    def test_it_lists_and_shows_models(self, ollama_client: ollama.Client) -> None:
        listed = ollama_client.list().models
        names = [model.model for model in listed]
        assert "phi3.5:3.8b" in names
        assert all(model.size and model.digest and model.modified_at for model in listed)

        shown = ollama_client.show("phi3.5:3.8b")
        assert shown.capabilities is not None
        assert "completion" in shown.capabilities
        assert shown.modelinfo is not None
        assert shown.modelinfo["phi3.context_length"] == 131072

    def test_it_generates_with_figures_that_add_up(self, ollama_client: ollama.Client) -> None:
        said = ollama_client.generate("phi3.5:3.8b", PROMPT)

        assert (said.response or "").startswith("[simulated phi3.5:3.8b] ")
        assert said.done
        assert said.done_reason == "stop"
        assert said.eval_count is not None
        assert 20 < said.eval_count <= 200
        spans = (said.load_duration, said.prompt_eval_duration, said.eval_duration)
        assert said.total_duration is not None
        assert sum(span or 0 for span in spans) <= said.total_duration

    def test_a_stream_says_what_the_whole_answer_says(self, ollama_client: ollama.Client) -> None:
        messages = [{"role": "user", "content": PROMPT}]
        chunks = list(ollama_client.chat("phi3.5:3.8b", messages, stream=True))
        whole = ollama_client.chat("phi3.5:3.8b", messages)

        text = "".join(chunk.message.content or "" for chunk in chunks)
        assert text == whole.message.content
        assert [chunk.done for chunk in chunks[:-1]] == [False] * (len(chunks) - 1)
        assert chunks[-1].done_reason == "stop"
        assert chunks[-1].eval_count == len(chunks) - 1

    def test_a_token_limit_ends_in_length(self, ollama_client: ollama.Client) -> None:
        said = ollama_client.generate("phi3.5:3.8b", PROMPT, options={"num_predict": 7})
        assert said.done_reason == "length"
        assert said.eval_count == 7

    def test_a_schema_is_kept(self, ollama_client: ollama.Client) -> None:
        messages = [{"role": "user", "content": PROMPT}]
        said = ollama_client.chat("phi3.5:3.8b", messages, format=SCHEMA)
        validate(json.loads(said.message.content or ""), SCHEMA)

        plain = ollama_client.generate("phi3.5:3.8b", PROMPT, format="json")
        assert isinstance(json.loads(plain.response or ""), dict)

    def test_it_preloads_and_unloads(
        self, ollama_client: ollama.Client, native: RunningSimulator
    ) -> None:
        assert ollama_client.ps().models == []

        assert ollama_client.generate("phi3.5:3.8b").done_reason == "load"
        resident = ollama_client.ps().models
        assert [model.model for model in resident] == ["phi3.5:3.8b"]
        assert resident[0].expires_at is not None

        assert ollama_client.generate("phi3.5:3.8b", keep_alive=0).done_reason == "unload"
        assert ollama_client.ps().models == []
        stats = native.stats()
        assert (stats["loads"], stats["unloads"], stats["evictions"]) == (1, 1, 0)

    def test_an_unknown_model_is_404(self, ollama_client: ollama.Client) -> None:
        with pytest.raises(ollama.ResponseError) as failure:
            ollama_client.generate("no-such-model", PROMPT)
        assert failure.value.status_code == 404

    def test_thinking_comes_apart_from_the_answer(
        self, ollama_client: ollama.Client, native: RunningSimulator
    ) -> None:
        model = {"ollama": "qwq:32b", "mlx": "deepseek-r1-distill-llama:70b"}[native.kind]
        messages = [{"role": "user", "content": PROMPT}]
        said = ollama_client.chat(model, messages)
        assert said.message.thinking
        assert said.message.content is not None
        assert said.message.content.startswith("[simulated ")

        assert not ollama_client.chat(model, messages, think=False).message.thinking
        with pytest.raises(ollama.ResponseError, match="does not support thinking"):
            ollama_client.chat("phi3.5:3.8b", messages, think=True)

    def test_an_error_in_the_middle_of_a_stream_is_raised(
        self, ollama_client: ollama.Client, native: RunningSimulator
    ) -> None:
        native.fault("error-line", count=1)
        stream = ollama_client.generate("phi3.5:3.8b", PROMPT, stream=True)
        with pytest.raises(ollama.ResponseError, match="running the model"):
            list(stream)

    def test_a_reset_in_the_middle_of_a_stream_is_an_error(
        self, ollama_client: ollama.Client, native: RunningSimulator
    ) -> None:
        native.fault("reset", count=1)
        stream = ollama_client.generate("phi3.5:3.8b", PROMPT, stream=True)
        with pytest.raises(httpx.ReadError):
            list(stream)
        assert native.stats()["journal"][-1]["fault"] == "reset"


class TestOpenAIClient:
    def test_it_lists_models(
        self, openai_client: openai.OpenAI, compatible: RunningSimulator
    ) -> None:
        names = [model.id for model in openai_client.models.list()]
        assert MODELS[compatible.kind] in names
        one = openai_client.models.retrieve(MODELS[compatible.kind])
        assert one.id == MODELS[compatible.kind]

    def test_it_answers_whole_and_streamed_alike(
        self, openai_client: openai.OpenAI, compatible: RunningSimulator
    ) -> None:
        model = MODELS[compatible.kind]
        whole = openai_client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": PROMPT}]
        )
        chunks = list(
            openai_client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": PROMPT}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )

        pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(pieces) == whole.choices[0].message.content
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].choices == []
        assert chunks[-1].usage == whole.usage
        assert whole.usage is not None
        assert whole.usage.completion_tokens > 20

    def test_without_asking_a_stream_has_no_usage(
        self, openai_client: openai.OpenAI, compatible: RunningSimulator
    ) -> None:
        stream = openai_client.chat.completions.create(
            model=MODELS[compatible.kind],
            messages=[{"role": "user", "content": PROMPT}],
            stream=True,
            max_tokens=4,
        )
        chunks = list(stream)
        assert all(chunk.usage is None and chunk.choices for chunk in chunks)
        assert chunks[-1].choices[0].finish_reason == "length"

    def test_a_schema_is_kept(
        self, openai_client: openai.OpenAI, compatible: RunningSimulator
    ) -> None:
        said = openai_client.chat.completions.create(
            model=MODELS[compatible.kind],
            messages=[{"role": "user", "content": PROMPT}],
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "report", "schema": SCHEMA, "strict": True},
            },
        )
        validate(json.loads(said.choices[0].message.content or ""), SCHEMA)

    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            ("401", openai.AuthenticationError),
            ("404", openai.NotFoundError),
            ("429", openai.RateLimitError),
            ("500", openai.InternalServerError),
            ("503", openai.InternalServerError),
        ],
    )
    def test_a_status_is_the_client_s_own_error(
        self,
        openai_client: openai.OpenAI,
        compatible: RunningSimulator,
        fault: str,
        error: type[openai.APIStatusError],
    ) -> None:
        compatible.fault(fault, count=1, retry_after_seconds=3)
        with pytest.raises(error) as failure:
            openai_client.chat.completions.create(
                model=MODELS[compatible.kind], messages=[{"role": "user", "content": PROMPT}]
            )
        asked_to_wait = failure.value.response.headers.get("retry-after")
        assert asked_to_wait == ("3" if fault in ("429", "503") else None)

    def test_leaving_a_stream_frees_its_slot(
        self, openai_client: openai.OpenAI, compatible: RunningSimulator
    ) -> None:
        compatible.fault("hang-after", count=1)
        stream = openai_client.chat.completions.create(
            model=MODELS[compatible.kind],
            messages=[{"role": "user", "content": PROMPT}],
            stream=True,
        )
        next(iter(stream))
        compatible.wait_until(lambda stats: stats["streams"]["now"] == 1)

        stream.close()

        started = time.monotonic()
        stats = compatible.wait_until(lambda stats: stats["streams"]["now"] == 0)
        assert time.monotonic() - started < 5.0
        assert stats["aborted"] == 1
        assert stats["journal"][-1]["outcome"] == "aborted"
