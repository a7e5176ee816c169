"""RequestLimit, the waiting line, the catalog of models, and memory figures."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from llm.mlx_server.catalog import LocalModels, ModelEntry
from llm.mlx_server.errors import NoSuchModel, Unavailable
from llm.mlx_server.job import Channel, EngineJob, PromptTokens
from llm.mlx_server.memory import MemoryUse, kv_bytes_per_token
from llm.mlx_server.request_limit import RequestLimit
from llm.mlx_server.residents import Residents, RunningModel
from llm.mlx_server.waiting_line import WaitingLine


class TestAdmission:
    def _door(self, *, per_model: int = 9) -> RequestLimit:
        return RequestLimit(
            max_active=1, max_queue=2, max_queue_per_model=per_model, retry_after_seconds=7
        )

    def test_beyond_the_bound_it_refuses_with_a_time_to_come_back(self) -> None:
        door = self._door()
        with ExitStack() as inside:
            for _ in range(3):
                inside.enter_context(door.enter("a"))
            with pytest.raises(Unavailable) as refusal, door.enter("b"):
                pass
        assert refusal.value.retry_after_seconds == 7
        assert (door.inside, door.refused) == (0, 1)

    def test_one_model_cannot_take_every_place(self) -> None:
        door = self._door(per_model=1)
        with door.enter("a"), door.enter("a"):
            with pytest.raises(Unavailable, match="'a' busy"), door.enter("a"):
                pass
            with door.enter("b"):
                assert door.inside == 3

    def test_a_draining_server_takes_nothing_new(self) -> None:
        door = self._door()
        door.draining = True
        with pytest.raises(Unavailable, match="draining"), door.enter("a"):
            pass


class TestWaitingLine:
    def _job(self, model: str, arrived_at: float, *, load: bool = False) -> EngineJob:
        entry = ModelEntry(
            name=model,
            folder=Path("/nowhere"),
            family="x",
            size_bytes=10,
            file_bytes=10,
            parameters=5,
            quantization="",
            context_tokens=64,
            vocabulary=8,
            kv_bytes_per_token=1,
            modified_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        prompt = None if load else PromptTokens(tokens=(1, 2))
        return EngineJob(model=entry, channel=Channel(), prompt=prompt, arrived_at=arrived_at)

    def test_the_longest_waiting_request_of_the_open_models_is_the_head(self) -> None:
        line = WaitingLine()
        early, late, other = self._job("a", 1.0), self._job("b", 2.0), self._job("c", 0.0)
        for job in (late, early, other):
            line.add(job)
        assert line.head({"a", "b"}) is early
        line.discard(early)
        assert line.head({"a", "b"}) is late
        assert line.head(set()) is None

    def test_the_claim_of_an_evicted_model_starts_anew(self) -> None:
        line = WaitingLine()
        line.add(self._job("a", 1.0))
        line.evicted("a", now=50.0)
        (claim,) = line.needed_models(set(), need_bytes=lambda job: job.model.size_bytes)
        assert (claim.name, claim.since, claim.size_bytes) == ("a", 50.0, 10)
        assert list(line.needed_models({"a"}, need_bytes=lambda job: 0)) == []

    def test_requests_that_only_load_are_taken_out_of_the_line(self) -> None:
        line = WaitingLine()
        load, text = self._job("a", 1.0, load=True), self._job("a", 2.0)
        line.add(load)
        line.add(text)
        assert line.take_loads("a") == [load]
        assert line.take_all() == [text]
        assert len(line) == 0


class TestCatalog:
    def _model(self, folder: Path, **config: object) -> None:
        folder.mkdir(parents=True)
        settings = {"model_type": "llama", "vocab_size": 9, "max_position_embeddings": 64}
        (folder / "config.json").write_text(json.dumps({**settings, **config}))
        (folder / "model.safetensors").write_bytes(b"x" * 1000)

    def test_folders_one_and_two_levels_deep_are_models(self, tmp_path: Path) -> None:
        self._model(tmp_path / "one")
        self._model(tmp_path / "org" / "two", quantization={"bits": 4, "group_size": 64})
        (tmp_path / "empty").mkdir()
        one, two = LocalModels(tmp_path, max_context_tokens=32).entries()
        assert (one.name, two.name) == ("one", "org/two")
        assert (one.context_tokens, one.parameters) == (32, 500)
        assert (two.quantization, two.parameters) == ("4bit", 2000)

    def test_aliases_categories_and_the_latest_tag_lead_to_models(self, tmp_path: Path) -> None:
        self._model(tmp_path / "org" / "two")
        names = '[aliases]\nnick = "org/two"\n[categories]\ncoding = "org/two"\n'
        (tmp_path / "aliases.toml").write_text(names)
        catalog = LocalModels(tmp_path, max_context_tokens=32)
        for name in ("org/two", "nick", "coding", "nick:latest"):
            assert catalog.find(name).name == "org/two"

    @pytest.mark.parametrize("name", ["", "..", "/etc", "org", "unknown"])
    def test_any_other_name_is_unknown(self, tmp_path: Path, name: str) -> None:
        self._model(tmp_path / "org" / "two")
        with pytest.raises(NoSuchModel):
            LocalModels(tmp_path, max_context_tokens=32).find(name)

    def test_unreadable_models_and_aliases_are_left_out(self, tmp_path: Path) -> None:
        self._model(tmp_path / "good")
        self._model(tmp_path / "bad", vocab_size="many")
        (tmp_path / "aliases.toml").write_text("not toml [")
        entries = LocalModels(tmp_path, max_context_tokens=32).entries()
        assert [entry.name for entry in entries] == ["good"]

    @pytest.mark.parametrize(
        "config",
        [
            {"text_config": None},
            {"text_config": 3},
            {"max_position_embeddings": float("inf")},
            {"quantization": {"bits": 0.5}},
        ],
    )
    def test_a_folder_with_an_odd_config_is_skipped_with_a_warning(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, config: dict[str, object]
    ) -> None:
        self._model(tmp_path / "good")
        self._model(tmp_path / "odd", **config)
        catalog = LocalModels(tmp_path, max_context_tokens=32)
        assert [entry.name for entry in catalog.entries()] == ["good"]
        assert catalog.find("good").vocabulary == 9
        assert "odd" in caplog.text

    @pytest.mark.parametrize(
        ("config", "vocabulary"),
        [
            ({"vocab_size": None}, None),
            ({"vocab_size": 9, "text_config": {}}, 9),
            ({"vocab_size": None, "text_config": {"vocab_size": 7}}, 7),
        ],
    )
    def test_the_vocabulary_stands_in_either_config_or_in_none(
        self, tmp_path: Path, config: dict[str, object], vocabulary: int | None
    ) -> None:
        self._model(tmp_path / "one", **config)
        assert LocalModels(tmp_path, max_context_tokens=32).find("one").vocabulary == vocabulary

    @pytest.mark.parametrize(
        ("file", "text", "chats"),
        [
            ("tokenizer_config.json", "{}", False),
            ("tokenizer_config.json", '{"chat_template": "{{ messages }}"}', True),
            ("tokenizer_config.json", '{"chat_template_type": "x"}', True),
            ("chat_template.jinja", "{{ messages }}", True),
            ("additional_chat_templates/tool.jinja", "{{ messages }}", True),
            ("tekken.json", "{}", True),
        ],
    )
    def test_a_model_chats_where_its_folder_has_a_template(
        self, tmp_path: Path, file: str, text: str, chats: bool
    ) -> None:
        self._model(tmp_path / "one")
        (tmp_path / "one" / file).parent.mkdir(exist_ok=True)
        (tmp_path / "one" / file).write_text(text)
        entry = LocalModels(tmp_path, max_context_tokens=32).find("one")
        assert entry.card().capabilities == (("completion",) if chats else ("raw",))

    @pytest.mark.parametrize("key", ["aliases", "categories"])
    def test_aliases_that_are_no_table_are_left_out_with_a_clear_warning(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str
    ) -> None:
        self._model(tmp_path / "one")
        (tmp_path / "aliases.toml").write_text(f'{key} = "x"')
        assert LocalModels(tmp_path, max_context_tokens=32).find("one").name == "one"
        assert f"[{key}] must be a table" in caplog.text


class TestMemory:
    @pytest.mark.parametrize(
        ("active", "reserved", "pressure"),
        [(10, 84, "ok"), (85, 0, "warning"), (10, 94, "warning"), (95, 10, "critical")],
    )
    def test_pressure_follows_the_larger_of_used_and_promised(
        self, active: int, reserved: int, pressure: str
    ) -> None:
        use = MemoryUse(
            active_bytes=active,
            cached_bytes=0,
            peak_bytes=active,
            reserved_bytes=reserved,
            limit_bytes=100,
        )
        assert use.pressure == pressure

    def test_the_cache_of_a_token_is_estimated_from_the_config(self) -> None:
        config = {
            "num_hidden_layers": 2,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "hidden_size": 128,
        }
        assert kv_bytes_per_token(config) == 2 * 2 * 4 * 16 * 2
        assert kv_bytes_per_token({"text_config": config}) == kv_bytes_per_token(config)


@pytest.mark.parametrize(
    ("keep_alive_seconds", "active", "leaves"),
    [(10.0, False, True), (10.0, True, False), (30.0, False, False), (None, False, False)],
)
def test_a_model_leaves_after_its_keep_alive_unless_it_answers(
    keep_alive_seconds: float | None, active: bool, leaves: bool
) -> None:
    residents = Residents()
    residents._models["m"] = RunningModel(
        name="m",
        model=None,
        decoder=cast(Any, None),
        options=cast(Any, None),
        size_bytes=1,
        reserved_bytes=1,
        last_used_at=100.0,
        keep_alive_seconds=keep_alive_seconds,
        active={cast(Any, "a request")} if active else set(),
    )

    assert residents.expired(now=115.0) == (["m"] if leaves else [])
