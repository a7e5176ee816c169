"""The official `ollama` and `openai` packages, and plain HTTP, against the MLX API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import ollama
import openai
import pytest
from jsonschema import validate

from tests.support.mlx_servers import RunningMLXServer, build_models, mlx_server

PROMPT = "Explain how database indexes speed up queries"
SCHEMA = {
    "type": "object",
    "properties": {
        "severity": {"enum": ["low", "high"]},
        "urgent": {"type": "boolean"},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 3},
    },
    "required": ["severity", "urgent", "tags"],
    "additionalProperties": False,
}
GREEDY = {"temperature": 0, "num_predict": 24}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMLXServer]:
    with mlx_server(build_models(tmp_path_factory.mktemp("models"))) as running:
        yield running


@pytest.fixture
def client(server: RunningMLXServer) -> Iterator[ollama.Client]:
    with ollama.Client(host=server.url, timeout=30) as made:
        yield made


@pytest.fixture
def openai_client(server: RunningMLXServer) -> Iterator[openai.OpenAI]:
    url = f"{server.url}/v1"
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=30) as made:
        yield made


class TestOllamaClient:
    def test_it_lists_and_shows_models(self, client: ollama.Client) -> None:
        listed = client.list().models
        assert {model.model for model in listed} == {"base", "llama", "qwen", "solo", "thinker"}
        assert all(model.size and model.digest and model.modified_at for model in listed)

        shown = client.show("thinker")
        assert shown.capabilities == ["completion", "thinking"]
        assert shown.modelinfo is not None
        assert shown.modelinfo["llama.context_length"] == 2048

    @pytest.mark.parametrize("model", ["llama", "qwen", "solo", "nick", "fast", "llama:latest"])
    def test_it_generates_with_figures_that_add_up(self, client: ollama.Client, model: str) -> None:
        said = client.generate(model, PROMPT, options=GREEDY)

        assert said.model == model
        assert said.response
        assert said.done_reason in ("stop", "length")
        assert said.eval_count is not None
        assert 0 < said.eval_count <= 24
        assert said.prompt_eval_count is not None
        assert said.total_duration is not None
        spans = (said.load_duration, said.prompt_eval_duration, said.eval_duration)
        assert sum(span or 0 for span in spans) <= said.total_duration

    @pytest.mark.parametrize("model", ["llama", "solo"])
    def test_a_stream_says_what_the_whole_answer_says(
        self, client: ollama.Client, model: str
    ) -> None:
        messages = [{"role": "user", "content": PROMPT}]
        chunks = list(client.chat(model, messages, stream=True, options=GREEDY))
        whole = client.chat(model, messages, options=GREEDY)

        assert "".join(chunk.message.content or "" for chunk in chunks) == whole.message.content
        assert [chunk.done for chunk in chunks[:-1]] == [False] * (len(chunks) - 1)
        assert chunks[-1].done_reason == whole.done_reason
        assert chunks[-1].eval_count == whole.eval_count

    def test_a_token_limit_ends_in_length(self, client: ollama.Client) -> None:
        said = client.generate("llama", PROMPT, options={"num_predict": 7, "temperature": 0})
        assert said.done_reason == "length"
        assert said.eval_count == 7

    def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(
        self, client: ollama.Client
    ) -> None:
        whole = client.generate("qwen", PROMPT, options=GREEDY).response or ""
        stop = whole[6:8]

        said = client.generate("qwen", PROMPT, options={**GREEDY, "stop": [stop]})

        assert said.done_reason == "stop"
        assert said.response == whole[: whole.index(stop)]

    def test_the_same_seed_gives_the_same_answer(self, client: ollama.Client) -> None:
        options = {"temperature": 1.0, "seed": 7, "num_predict": 16}
        first = client.generate("llama", PROMPT, options=options).response
        again = client.generate("llama", PROMPT, options=options).response
        other = client.generate("llama", PROMPT, options={**options, "seed": 8}).response
        assert first == again != other

    @pytest.mark.parametrize("model", ["llama", "solo"])
    def test_a_schema_is_kept(self, client: ollama.Client, model: str) -> None:
        messages = [{"role": "user", "content": PROMPT}]
        said = client.chat(model, messages, format=SCHEMA, options={"num_predict": 200})
        assert said.done_reason == "stop"
        validate(json.loads(said.message.content or ""), SCHEMA)

    def test_it_preloads_and_unloads(self, client: ollama.Client, server: RunningMLXServer) -> None:
        assert client.generate("llama").done_reason == "load"
        resident = {model.model: model for model in client.ps().models}
        assert resident["llama"].expires_at is not None

        assert client.generate("llama", keep_alive=0).done_reason == "unload"
        server.wait_until(lambda health: "llama" not in _resident(health))

    def test_keep_alive_ends_a_residency(
        self, client: ollama.Client, server: RunningMLXServer
    ) -> None:
        client.chat("qwen", [{"role": "user", "content": "x"}], keep_alive="50ms", options=GREEDY)
        server.wait_until(lambda health: "qwen" not in _resident(health))

    def test_an_unknown_model_is_404(self, client: ollama.Client) -> None:
        with pytest.raises(ollama.ResponseError) as failure:
            client.generate("no-such-model", PROMPT)
        assert failure.value.status_code == 404

    def test_a_model_without_a_template_chats_not_but_continues_raw_text(
        self, client: ollama.Client
    ) -> None:
        with pytest.raises(
            ollama.ResponseError, match="does not support chat: no chat template"
        ) as failure:
            client.chat("base", [{"role": "user", "content": PROMPT}])
        assert failure.value.status_code == 400

        assert client.generate("base", PROMPT, raw=True, options=GREEDY).response
        assert client.show("base").capabilities == ["raw"]

    def test_the_list_tells_which_models_chat(self, server: RunningMLXServer) -> None:
        listed = server.get("/api/tags").json()["models"]
        capabilities = {model["name"]: model["capabilities"] for model in listed}
        assert capabilities.pop("base") == ["raw"]
        assert set(map(tuple, capabilities.values())) == {("completion",)}

    def test_thinking_needs_a_model_that_thinks(self, client: ollama.Client) -> None:
        messages = [{"role": "user", "content": PROMPT}]
        with pytest.raises(ollama.ResponseError, match="does not support thinking"):
            client.chat("llama", messages, think=True)
        assert client.chat("thinker", messages, think=True, options=GREEDY).done


class TestOpenAIClient:
    def test_it_lists_models(self, openai_client: openai.OpenAI) -> None:
        assert "llama" in [model.id for model in openai_client.models.list()]
        assert openai_client.models.retrieve("llama").id == "llama"

    def test_it_answers_whole_and_streamed_alike(self, openai_client: openai.OpenAI) -> None:
        request: dict[str, Any] = {
            "model": "llama",
            "messages": [{"role": "user", "content": PROMPT}],
            "max_tokens": 24,
            "temperature": 0,
        }
        whole = openai_client.chat.completions.create(**request)
        chunks = list(
            openai_client.chat.completions.create(
                **request, stream=True, stream_options={"include_usage": True}
            )
        )

        pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(pieces) == whole.choices[0].message.content
        assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
        assert chunks[-1].choices == []
        assert chunks[-1].usage == whole.usage

    def test_without_asking_a_stream_has_no_usage(self, openai_client: openai.OpenAI) -> None:
        stream = openai_client.chat.completions.create(
            model="llama",
            messages=[{"role": "user", "content": PROMPT}],
            stream=True,
            max_tokens=4,
            temperature=0,
        )
        chunks = list(stream)
        assert all(chunk.usage is None and chunk.choices for chunk in chunks)
        assert chunks[-1].choices[0].finish_reason == "length"

    def test_a_schema_is_kept(self, openai_client: openai.OpenAI) -> None:
        said = openai_client.chat.completions.create(
            model="llama",
            messages=[{"role": "user", "content": PROMPT}],
            max_tokens=200,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "report", "schema": SCHEMA, "strict": True},
            },
        )
        validate(json.loads(said.choices[0].message.content or ""), SCHEMA)

    def test_errors_are_the_client_s_own(self, openai_client: openai.OpenAI) -> None:
        messages: Any = [{"role": "user", "content": PROMPT}]
        with pytest.raises(openai.NotFoundError):
            openai_client.chat.completions.create(model="nope", messages=messages)
        with pytest.raises(openai.BadRequestError, match="temperature"):
            openai_client.chat.completions.create(model="llama", messages=messages, temperature=-1)


class TestSharedPrefixes:
    def test_the_second_request_of_an_expert_skips_its_system_prompt(
        self, server: RunningMLXServer
    ) -> None:
        expert = "You are a careful expert. " * 20
        before = server.health()["totals"]["prefilled_tokens"]

        answers = [_ask(server, expert, f"question {n}") for n in range(3)]

        prefilled = server.health()["totals"]["prefilled_tokens"] - before
        prompt_tokens = [answer["prompt_eval_count"] for answer in answers]
        assert prefilled < sum(prompt_tokens) - 2 * 0.8 * min(prompt_tokens)

    def test_a_shared_prefix_does_not_change_the_answer(self, server: RunningMLXServer) -> None:
        expert = "You know everything about harbours. " * 10
        cold = _ask(server, expert, "What is a pier?")
        warm = _ask(server, expert, "What is a pier?")
        assert warm["message"]["content"] == cold["message"]["content"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("path", "body", "named"),
        [
            ("/api/chat", {"messages": []}, "model"),
            ("/api/chat", {"model": 3}, "model"),
            ("/api/chat", {"model": "llama", "messages": "x"}, "messages"),
            ("/api/chat", {"model": "llama", "messages": [{"role": "x"}]}, "messages[0].role"),
            ("/api/chat", {"model": "llama", "options": []}, "options"),
            ("/api/chat", {"model": "llama", "options": {"top_p": 2}}, "options.top_p"),
            ("/api/chat", {"model": "llama", "keep_alive": "-1"}, "keep_alive"),
            ("/api/generate", {"model": "llama", "prompt": ["x"]}, "prompt"),
            ("/api/generate", {"model": "llama", "prompt": "\ud800"}, "prompt"),
            ("/api/generate", {"model": "llama", "images": ["x"]}, "images"),
            ("/api/generate", {"model": "llama", "prompt": "x", "logprobs": True}, "logprobs"),
            ("/api/chat", {"model": "llama", "logprobs": True}, "logprobs"),
            ("/api/chat", {"model": "llama", "top_logprobs": 3}, "top_logprobs"),
            ("/api/generate", {"model": "llama", "options": {"stop": [1]}}, "options.stop"),
            ("/api/generate", {"model": "llama", "prompt": "x", "format": "xml"}, "format"),
            ("/v1/chat/completions", {"model": "llama", "messages": []}, "messages"),
            (
                "/v1/chat/completions",
                {"model": "llama", "messages": [{"role": "user", "content": [{}]}]},
                "messages[0].content[0]",
            ),
            (
                "/v1/chat/completions",
                {
                    "model": "llama",
                    "messages": [{"role": "user", "content": "x"}],
                    "logit_bias": {"99999999": 1},
                },
                "logit_bias",
            ),
        ],
    )
    def test_a_wrong_field_is_named(
        self, server: RunningMLXServer, path: str, body: dict[str, object], named: str
    ) -> None:
        answer = server.post(path, body)
        assert answer.status_code == 400
        error = answer.json()["error"]
        message = error["message"] if isinstance(error, dict) else error
        assert message.startswith(f"{named}: ")

    def test_a_prompt_longer_than_the_context_is_refused_and_not_cut(
        self, server: RunningMLXServer
    ) -> None:
        body = {"model": "llama", "prompt": "word " * 3000, "stream": False}
        answer = server.post("/api/generate", body)
        assert answer.status_code == 400
        assert "the context holds 2048" in answer.json()["error"]

        short = {"model": "llama", "prompt": PROMPT, "options": {"num_ctx": 5}}
        assert "the context holds 5" in server.post("/api/generate", short).json()["error"]

    def test_an_unsupported_schema_is_refused_with_its_reason(
        self, server: RunningMLXServer
    ) -> None:
        body = {"model": "llama", "prompt": "x", "format": {"type": "no-such-type"}}
        answer = server.post("/api/generate", body)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("format: ")

    def test_a_giant_body_is_413_and_unknown_paths_are_404(self, server: RunningMLXServer) -> None:
        body = {"model": "llama", "prompt": "x" * (9 * 2**20)}
        assert server.post("/api/generate", body).status_code == 413
        assert server.get("/v1/nothing").status_code == 404
        assert server.get("/api/chat").status_code == 405


class TestOtherSites:
    @pytest.mark.parametrize(
        "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}]
    )
    @pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
    def test_a_web_page_is_refused(
        self, server: RunningMLXServer, path: str, headers: dict[str, str]
    ) -> None:
        body = {"model": "llama", "messages": [{"role": "user", "content": "hi"}]}
        answer = server.post(path, body, headers=headers)
        assert answer.status_code == 403
        assert "evil.example" in answer.text
        assert "for this machine only" in answer.text


class TestStatus:
    def test_health_ready_and_metrics_tell_the_state(self, server: RunningMLXServer) -> None:
        _ask(server, "", "hello")
        health = server.health()
        assert health["status"] == "ok"
        assert health["max_concurrent"] == 5
        assert health["totals"]["generated_tokens"] > 0
        assert health["memory"]["pressure"] == "ok"
        assert server.get("/ready").status_code == 200
        metrics = server.get("/metrics").text
        assert 'mlx_requests_total{model="llama"' in metrics
        assert "mlx_generated_tokens_total" in metrics


def _ask(server: RunningMLXServer, system: str, question: str) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": question})
    body = {"model": "llama", "messages": messages, "stream": False, "options": GREEDY}
    answer: dict[str, Any] = server.post("/api/chat", body).json()
    return answer


def _resident(health: dict[str, object]) -> list[str]:
    models = health["models"]
    assert isinstance(models, list)
    return [model["name"] for model in models]
