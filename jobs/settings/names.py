"""Finds mistyped names: variables with our prefixes that are not settings."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

OUR_PREFIXES = ("KOS_", "SMART_WORKER_", "ADAPTIVE_", "MLX_")

OLD_NAMES = {
    "KOS_HAND": "KOS_DISPATCH_AHEAD",
    "SMART_WORKER_MAX_ATTEMPTS": "KOS_MAX_ATTEMPTS",
    "OLLAMA_URL": "OLLAMA_BASE_URL",
}
"""Names of former releases and systems, each with its present name. They stay valid."""

UNUSED_NAMES = {
    "SMART_WORKER_BATCH_GROUP_LLM": "tasks of one expert and file are grouped anyway",
    "SMART_WORKER_BATCH_GROUP_MAX": "KOS_POLICY and KOS_FAIRNESS_SECONDS bound a block",
    "MLX_SCAN_TIMEOUT": "a scan has a deadline; KOS_SCAN_CACHE_SECONDS says how long it holds",
}
"""Names of the replaced system that have no effect, each with the replacement."""

OTHER_PROGRAMS_NAMES = frozenset(
    {
        "DATABASE_URL",
        "REDIS_URL",
        "OLLAMA_API_URL",
        "OLLAMA_BASE_URL",
        "MLX_API_URL",
        "MLX_MEMORY_LIMIT_BYTES",
        "KOS_HOME",
        "KOS_DOTENV",
        "KOS_PYTHON",
        "KOS_PROJECT",
        "KOS_EMBEDDED_DATABASE_URL",
        "KOS_EMBEDDED_REDIS_URL",
        "KOS_OWN_DATABASE_URL",
        "KOS_OWN_REDIS_URL",
        "KOS_OWN_DATABASE_DIRECT_URL",
        "KOS_SIMULATED_OLLAMA_URL",
        "KOS_SIMULATED_MLX_URL",
        "KOS_OWN_MLX_URL",
        "KOS_HOME_GLOB",
        "KOS_LANG",
        "KOS_AUTOSTART",
        "KOS_STOP_WAIT_SECONDS",
        "KOS_POSTGRES_PORT",
        "KOS_REDIS_PORT",
        "KOS_COMPOSE_FILE",
        "KOS_SECOND_COMPOSE_FILE",
        "KOS_DOCKER_NETWORK",
        "KOS_RECOVERY_DOCKER",
        "KOS_RECOVERY_NETWORK_URL",
        "KOS_RECOVERY_QUERY_SECONDS",
        "KOS_RECOVERY_WIFI",
        "KOS_SETUP_PYTHON",
        "KOS_VERONICA_COMMAND",
        "KOS_VICTORIA_COMMAND",
    }
)
FOREIGN_PREFIXES = ("MLX_METAL_", "MLX_MAX_OPS", "MLX_MAX_MB", "MLX_CUDA_", "KOS_TEST_")


def with_current_names(variables: Mapping[str, str]) -> dict[str, str]:
    """``variables`` with old names replaced by present ones; a present name wins over its old
    one."""
    named = {name: text for name, text in variables.items() if name not in OLD_NAMES}
    for old, current in OLD_NAMES.items():
        if old in variables and not named.get(current, "").strip():
            named[current] = variables[old]
    return named


def name_in_message(name: str) -> str:
    """``name`` with its old names, since the user may have written one of those."""
    old = [former for former, current in OLD_NAMES.items() if current == name]
    return f"{name} (or {', '.join(old)})" if old else name


def unknown_names(environ: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """One warning for each unknown name with our prefixes, with the nearest known name."""
    ours = OTHER_PROGRAMS_NAMES | set(known) | set(OLD_NAMES)
    return tuple(
        _warning(name, ours)
        for name in sorted(environ)
        if name.startswith(OUR_PREFIXES)
        and not name.startswith(FOREIGN_PREFIXES)
        and name not in ours
    )


def _warning(name: str, ours: Iterable[str]) -> str:
    if name in UNUSED_NAMES:
        return f"{name} is not used: {UNUSED_NAMES[name]}"
    near = difflib.get_close_matches(name, sorted(ours), n=1, cutoff=0.75)
    hint = f"did you mean {near[0]}?" if near else "nothing reads it"
    return f"{name} is not a setting: {hint}"
