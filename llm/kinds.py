"""What differs between the kinds of model server: one record for each kind.

Adapters are listed in `llm.backends.registry.ADAPTERS`, error signatures in `llm/signatures.toml`.
How to add a kind: docs/adding-a-backend.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llm.types import BackendKind


@dataclass(frozen=True, slots=True, kw_only=True)
class KindTraits:
    """The traits of one kind.

    ``start`` and ``fill`` tell an operator how to start such a server and how it gets a model.
    ``takes_num_ctx``: a call sets its context size, and another size reloads the model.
    ``loads_unseen``: a call may load its model, and the server does not report resident models.
    ``warm_load_seconds``: a reported load time up to this is that of a resident model.
    ``reports_load``: `/health` reports the number of running requests.
    ``speaks_ollama``: it serves Ollama's `/api` beside OpenAI's `/v1`. ``keeps_prompts_by_slot``:
    each slot keeps its last prompt; else one store serves all. ``embeds``: it serves
    embeddings. ``completes``: it serves `/v1/completions`.

    Priors of a model with B billions of parameters: it loads in ``load_seconds +
    load_seconds_per_billion * B`` and decodes ``min(rate_cap, rate_billions / B)`` tokens/s.
    """

    start: str
    fill: str
    takes_num_ctx: bool
    loads_unseen: bool
    reports_load: bool
    warm_load_seconds: float
    speaks_ollama: bool
    keeps_prompts_by_slot: bool
    embeds: bool
    completes: bool
    load_seconds: float
    load_seconds_per_billion: float
    rate_cap: float
    rate_billions: float


TRAITS: Mapping[BackendKind, KindTraits] = {
    BackendKind.OLLAMA: KindTraits(
        start="start it with `ollama serve`, or correct OLLAMA_API_URL",
        fill="ollama pull qwen2.5:7b",
        takes_num_ctx=True,
        loads_unseen=False,
        reports_load=False,
        warm_load_seconds=1.0,  # Measured: 0.03 to 0.35 s, once 0.83 s under load.
        speaks_ollama=True,
        keeps_prompts_by_slot=True,
        embeds=True,
        completes=True,
        load_seconds=1.0,
        load_seconds_per_billion=1.3,
        rate_cap=120.0,
        rate_billions=320.0,
    ),
    BackendKind.MLX: KindTraits(
        start="start it with scripts/start_mlx_api_server.sh, or set MLX_API_URL=disabled",
        fill="run `kos models add smollm2`, or put a model into MLX_MODELS_DIR",
        takes_num_ctx=False,
        loads_unseen=False,
        reports_load=True,
        warm_load_seconds=0.1,
        speaks_ollama=True,
        keeps_prompts_by_slot=False,
        embeds=False,
        completes=False,
        load_seconds=0.4,
        load_seconds_per_billion=0.27,
        rate_cap=150.0,
        rate_billions=420.0,
    ),
    BackendKind.OPENAI: KindTraits(
        start="start it, or correct its url in KOS_BACKENDS_FILE",
        fill="load a model there",
        takes_num_ctx=False,
        loads_unseen=True,
        reports_load=False,
        warm_load_seconds=0.1,
        speaks_ollama=False,
        keeps_prompts_by_slot=False,
        embeds=True,
        completes=True,
        load_seconds=0.0,
        load_seconds_per_billion=0.0,
        rate_cap=100.0,
        rate_billions=1200.0,
    ),
}
"""The priors are based on measurements: see `jobs.policy.priors`."""


def traits_of(kind: BackendKind) -> KindTraits:
    return TRAITS[kind]
