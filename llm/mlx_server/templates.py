"""Whether a model has a chat template, told by its files: no tokenizer is loaded for a list."""

from __future__ import annotations

from pathlib import Path

# Where transformers and mlx-lm look for one, and what comes with a renderer of its own.
_TEMPLATE_FILES = ("chat_template*", "additional_chat_templates/*.jinja", "tekken.json")
_SETTINGS_FILE = "tokenizer_config.json"
_SETTINGS = '"chat_template'  # also chat_template_type
_RENDERED_BY_MLX_LM = frozenset({"muse_spark"})


def may_chat(folder: Path, *, model_type: str) -> bool:
    """False only where nothing in ``folder`` could be a template. Raises OSError, ValueError."""
    if model_type in _RENDERED_BY_MLX_LM:
        return True
    if any(next(folder.glob(pattern), None) for pattern in _TEMPLATE_FILES):
        return True
    settings = folder / _SETTINGS_FILE
    return settings.exists() and _SETTINGS in settings.read_text()
