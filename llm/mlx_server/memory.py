"""How much memory the models may use, and how much a model needs."""

from __future__ import annotations

import ctypes
import functools
import gc
import json
import math
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx
import psutil

from llm.cgroups import group_limits

WARNING_SHARE = 0.85
CRITICAL_SHARE = 0.95
HOST_SHARE = 0.75
BUFFER_CACHE_SHARE = 0.1
CPU_STEP_TOKENS = 128
KV_BYTES_PER_NUMBER = 2
FLOAT32_BYTES = 4
LARGEST_HEADER_BYTES = 100 * 2**20
MALLOPT_MMAP_THRESHOLD = -3  # From malloc.h
LARGE_BUFFER_BYTES = 4 * 2**20

Pressure = Literal["ok", "warning", "critical"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryUse:
    """Bytes as MLX counts them. ``reserved_bytes`` is reserved for models and requests."""

    active_bytes: int
    cached_bytes: int
    peak_bytes: int
    reserved_bytes: int
    limit_bytes: int

    @property
    def share(self) -> float:
        return max(self.active_bytes, self.reserved_bytes) / self.limit_bytes

    @property
    def pressure(self) -> Pressure:
        if self.share >= CRITICAL_SHARE:
            return "critical"
        return "warning" if self.share >= WARNING_SHARE else "ok"


def measure(*, reserved_bytes: int, limit_bytes: int) -> MemoryUse:
    return MemoryUse(
        active_bytes=mx.get_active_memory(),
        cached_bytes=mx.get_cache_memory(),
        peak_bytes=mx.get_peak_memory(),
        reserved_bytes=reserved_bytes,
        limit_bytes=limit_bytes,
    )


def choose_limit(configured_bytes: int | None) -> int:
    """The limit in bytes: the configured one, else a safe share of the memory of this host or
    container."""
    if configured_bytes is not None:
        return configured_bytes
    total = min(psutil.virtual_memory().total, group_limits().memory_limit_bytes or sys.maxsize)
    share = int(total * HOST_SHARE)
    metal = mx.device_info().get("max_recommended_working_set_size")
    return min(share, int(metal)) if metal else share


def bound_buffer_cache(limit_bytes: int) -> None:
    """Limit the freed buffers that MLX keeps."""
    mx.set_cache_limit(int(limit_bytes * BUFFER_CACHE_SHARE))


def return_large_buffers() -> None:
    """Make glibc return large request bodies to the system when they are freed.

    By default glibc raises its threshold with every large freed block, until bodies of megabytes
    stay on the heap. A threshold as low as the buffers of a decoding step would cost a tenth of the
    speed where MLX computes on the CPU.
    """
    _glibc("mallopt", MALLOPT_MMAP_THRESHOLD, LARGE_BUFFER_BYTES)


def give_back() -> None:
    """Return the memory of dropped models and requests to the system."""
    gc.collect()
    mx.clear_cache()
    _glibc("malloc_trim", 0)


def holds_float32(*, wanted: bool) -> bool:
    """Whether weights are held in float32: yes where MLX computes on the CPU. Only float32 uses
    BLAS there; float16 and quantised weights are multiplied one number at a time."""
    return wanted and _on_cpu()


def prefill_step(tokens: int) -> int:
    """How many tokens of each prompt are computed in one step: at most ``tokens``, and so few on
    the CPU that a step of several prompts ends long before the watchdog takes it for a hang."""
    return min(tokens, CPU_STEP_TOKENS) if _on_cpu() else tokens


def _on_cpu() -> bool:
    return bool(mx.default_device() == mx.Device(mx.cpu))


def weights_bytes(folder: Path) -> int:
    """The size of a model's weights on disk."""
    return sum(file.stat().st_size for file in folder.glob("model*.safetensors"))


def float32_bytes(folder: Path, config: Mapping[str, Any]) -> int:
    """The size of a model's weights once all are float32. Raises OSError or ValueError for
    unreadable files."""
    tensors: dict[str, tuple[str, int]] = {}
    for file in folder.glob("model*.safetensors"):
        tensors.update(_header(file, file.stat().st_mtime_ns))
    quantization = config.get("quantization") or {}
    numbers = 0
    for name, (dtype, count) in tensors.items():
        module, _, part = name.rpartition(".")
        packed = f"{module}.scales" in tensors
        if packed and part == "weight" and dtype == "U32":
            bits = (quantization.get(module) or quantization).get("bits", 4)
            numbers += count * 32 // int(bits)
        elif not (packed and part in ("scales", "biases")):
            numbers += count
    return numbers * FLOAT32_BYTES


@functools.lru_cache(maxsize=256)
def _header(file: Path, changed_at: int) -> dict[str, tuple[str, int]]:
    """The type and element count of every tensor in a safetensors file."""
    with file.open("rb") as source:
        (size,) = struct.unpack("<Q", source.read(8))
        if size > LARGEST_HEADER_BYTES:
            raise ValueError(f"{file} is no safetensors file")
        header = json.loads(source.read(size))
    header.pop("__metadata__", None)
    return {name: (entry["dtype"], math.prod(entry["shape"])) for name, entry in header.items()}


def kv_bytes_per_token(config: Mapping[str, Any], *, float32: bool = False) -> int:
    """An upper estimate of the key-value cache per token, from a model's ``config.json``."""
    text = config.get("text_config", config)
    layers = _number(text, "num_hidden_layers", "n_layer", "n_layers", default=32)
    heads = _number(text, "num_attention_heads", "n_head", default=32)
    kv_heads = _number(text, "num_key_value_heads", default=heads)
    hidden = _number(text, "hidden_size", "n_embd", default=4096)
    head_size = _number(text, "head_dim", default=max(1, hidden // max(1, heads)))
    number_bytes = FLOAT32_BYTES if float32 else KV_BYTES_PER_NUMBER
    return 2 * layers * kv_heads * head_size * number_bytes


def _glibc(name: str, *arguments: int) -> None:
    """Call a function of glibc; does nothing where it does not exist."""
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)


def _number(config: Mapping[str, Any], *names: str, default: int) -> int:
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and value > 0:
            return value
    return default
