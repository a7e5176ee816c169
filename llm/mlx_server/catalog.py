"""The models in the models folder, and the names they answer to.

A model is a folder with ``config.json`` and ``model*.safetensors``, one or two levels deep
("Qwen3-4B" or "mlx-community/Qwen3-4B"). A small TOML file may add names::

    [aliases]
    "qwen3" = "mlx-community/Qwen3-4B"
    [categories]
    coding = "Qwen2.5-Coder-7B"

Nothing is ever downloaded: a name that is not here is unknown.
"""

from __future__ import annotations

import json
import logging
import math
import struct
import threading
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llm.mlx_server import memory, templates
from llm.mlx_server.errors import NoSuchModel
from llm.wire.values import ModelCard

logger = logging.getLogger(__name__)

ALIASES_FILE = "aliases.toml"
RESCAN_SECONDS = 2.0
DEFAULT_CONTEXT_TOKENS = 4096
COMPLETION = ("completion",)
RAW_ONLY = ("raw",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model on disk.

    ``size_bytes`` is the size of its weights in memory, ``file_bytes`` on disk; ``float32`` says
    that the weights are held in that type. ``vocabulary`` is the width of its logits, None where no
    config gives it. A model with ``chats`` False has no chat template and only continues raw text.
    """

    name: str
    folder: Path
    family: str
    size_bytes: int
    file_bytes: int
    parameters: int
    quantization: str
    context_tokens: int
    vocabulary: int | None
    kv_bytes_per_token: int
    modified_at: datetime
    chats: bool = True
    float32: bool = False

    def card(self, *, capabilities: tuple[str, ...] | None = None) -> ModelCard:
        """The model as the wire formats describe it. ``capabilities`` are complete once the
        tokenizer is loaded."""
        return ModelCard(
            name=self.name,
            size_bytes=self.file_bytes,
            parameters=self.parameters,
            quantization=self.quantization,
            context_tokens=self.context_tokens,
            capabilities=capabilities or (COMPLETION if self.chats else RAW_ONLY),
            family=self.family,
            format="safetensors",
            modified_at=self.modified_at,
        )


class LocalModels:
    """Finds models by name. Rescans the folder when the last scan is older than two seconds. With
    ``float32``, weights and caches are held in that type."""

    def __init__(
        self,
        folder: Path,
        *,
        aliases_file: Path | None = None,
        max_context_tokens: int,
        float32: bool = False,
    ) -> None:
        self._folder = folder
        self._aliases_file = aliases_file or folder / ALIASES_FILE
        self._max_context_tokens = max_context_tokens
        self._float32 = float32
        self._lock = threading.Lock()
        self._entries: dict[str, ModelEntry] = {}
        self._aliases: dict[str, str] = {}
        self._scanned_at = -math.inf

    def entries(self) -> tuple[ModelEntry, ...]:
        """All models, by name."""
        self._rescan_if_old()
        return tuple(self._entries[name] for name in sorted(self._entries))

    def find(self, name: str) -> ModelEntry:
        """The model with this folder, alias or category name. Raises NoSuchModel."""
        if (entry := self._known(name)) is not None:
            return entry
        self._rescan_if_old()
        if (entry := self._known(name)) is not None:
            return entry
        raise NoSuchModel(name)

    def _known(self, name: str) -> ModelEntry | None:
        plain = name.removesuffix(":latest")
        return self._entries.get(plain) or self._entries.get(self._aliases.get(plain, ""))

    def _rescan_if_old(self) -> None:
        with self._lock:
            if time.monotonic() - self._scanned_at < RESCAN_SECONDS:
                return
            found = _scan(self._folder, self._max_context_tokens, float32=self._float32)
            self._entries = {entry.name: entry for entry in found}
            self._aliases = _read_aliases(self._aliases_file)
            self._scanned_at = time.monotonic()


def _scan(root: Path, max_context_tokens: int, *, float32: bool) -> Iterator[ModelEntry]:
    for config_file in sorted((*root.glob("*/config.json"), *root.glob("*/*/config.json"))):
        folder = config_file.parent
        if folder.relative_to(root).parts[0].startswith("."):
            continue  # `kos models add` builds models there.
        try:
            if memory.weights_bytes(folder):
                config = json.loads(config_file.read_text())
                yield _entry(root, folder, config, max_context_tokens, float32=float32)
        except Exception as error:  # noqa: BLE001  whatever is in one folder, the others are served
            logger.warning("model_unreadable folder=%s error=%s", folder, error)


def _entry(
    root: Path,
    folder: Path,
    config: Mapping[str, Any],
    max_context_tokens: int,
    *,
    float32: bool,
) -> ModelEntry:
    text = config.get("text_config", config)
    file_bytes = memory.weights_bytes(folder)
    bits = (config.get("quantization") or {}).get("bits")
    context = text.get("max_position_embeddings") or DEFAULT_CONTEXT_TOKENS
    family = str(config.get("model_type", "unknown"))
    return ModelEntry(
        name=folder.relative_to(root).as_posix(),
        folder=folder,
        family=family,
        size_bytes=_loaded_bytes(folder, config, file_bytes) if float32 else file_bytes,
        file_bytes=file_bytes,
        parameters=file_bytes * 8 // (int(bits) if bits else 16),
        quantization=f"{bits}bit" if bits else "",
        context_tokens=min(int(context), max_context_tokens),
        vocabulary=_vocabulary(text, config),
        kv_bytes_per_token=memory.kv_bytes_per_token(config, float32=float32),
        modified_at=datetime.fromtimestamp(folder.stat().st_mtime, tz=UTC),
        chats=templates.may_chat(folder, model_type=family),
        float32=float32,
    )


def _loaded_bytes(folder: Path, config: Mapping[str, Any], file_bytes: int) -> int:
    """The size once all weights are float32. A model with unreadable weights is listed anyway: its
    load fails with the reason."""
    try:
        return memory.float32_bytes(folder, config)
    except (OSError, ValueError, struct.error) as error:
        logger.warning("weights_unreadable folder=%s error=%s", folder, error)
        return file_bytes


def _vocabulary(*configs: Mapping[str, Any]) -> int | None:
    """The first size that a config gives. None is safe: many architectures have a default of their
    own."""
    sizes = (config.get("vocab_size") for config in configs)
    return next((int(size) for size in sizes if size is not None), None)


def _read_aliases(file: Path) -> dict[str, str]:
    try:
        document = tomllib.loads(file.read_text())
        return {**_names(document, "aliases"), **_names(document, "categories")}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        logger.warning("aliases_unreadable file=%s error=%s", file, error)
        return {}


def _names(document: Mapping[str, Any], key: str) -> dict[str, str]:
    table = document.get(key, {})
    if not isinstance(table, dict):
        raise ValueError(f"[{key}] must be a table of names")  # noqa: TRY004  as for other bad TOML
    return {alias: str(name) for alias, name in table.items()}
