"""The server's load reports: `/health` of the MLX kind, `/metrics` of vLLM."""

from __future__ import annotations

from llm.simulator.activity import Activity
from llm.simulator.engine import SimulatedEngine
from llm.simulator.profiles import ServerProfile
from llm.wire.values import JsonObject

_ASSUMED_KV_SLOTS = 16


def health(engine: SimulatedEngine, profile: ServerProfile) -> JsonObject:
    """Load figures in the format of our MLX API server."""
    residents = engine.residents
    return {
        "status": "healthy",
        "active_requests": engine.active,
        "max_concurrent": profile.server_slots or profile.slots,
        "queue_size": engine.waiting,
        "loading_models": [one.model.name for one in residents if one.is_loading],
        "models": {
            one.model.name: {"active_requests": one.active, "size_bytes": one.model.size_bytes}
            for one in residents
            if not one.is_loading
        },
    }


def llama_server_models(engine: SimulatedEngine, profile: ServerProfile) -> JsonObject:
    """`/v1/models` of llama-server as a router: all models, and the slot context of loaded ones."""
    loaded = {one.model.runner for one in engine.residents if not one.is_loading}
    data: list[JsonObject] = []
    for model in profile.models:
        is_loaded = model.runner in loaded
        entry: JsonObject = {"id": model.name, "object": "model", "owned_by": "llamacpp"}
        entry["status"] = {"value": "loaded" if is_loaded else "unloaded"}
        if is_loaded:
            context = model.slot_context_tokens or model.context_tokens
            entry["meta"] = {"n_ctx_train": model.context_tokens, "n_ctx": context}
        data.append(entry)
    return {"object": "list", "data": data}


def vllm_metrics(engine: SimulatedEngine, profile: ServerProfile, activity: Activity) -> str:
    """Prometheus text with vLLM's names."""
    gauges = {"vllm:num_requests_running": {}, "vllm:num_requests_waiting": {}}  # type: dict[str, dict[str, float]]
    usage: dict[str, float] = {}
    for one in engine.residents:
        gauges["vllm:num_requests_running"][one.model.name] = one.active
        gauges["vllm:num_requests_waiting"][one.model.name] = len(one.queue) + len(one.arrivals)
        limit = one.model.slots or profile.slots or _ASSUMED_KV_SLOTS
        usage[one.model.name] = min(1.0, one.active / limit)
    gauges["vllm:kv_cache_usage_perc"] = usage
    lines = []
    for name, values in gauges.items():
        lines.append(f"# TYPE {name} gauge")
        lines += [
            f'{name}{{model_name="{model}"}} {float(value)}' for model, value in values.items()
        ]
    lines.append("# TYPE vllm:request_success counter")
    lines += [
        f'vllm:request_success_total{{model_name="{model}"}} {float(figures.completed)}'
        for model, figures in sorted(activity.models.items())
    ]
    return "\n".join(lines) + "\n"
