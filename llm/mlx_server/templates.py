"""Whether a model has a chat template, read from its files, so that a list needs no tokenizer."""

from __future__ import annotations

from pathlib import Path

# Where transformers and mlx-lm look for a template, and model types with a renderer of their own.
_TEMPLATE_FILES = ("chat_template*", "additional_chat_templates/*.jinja", "tekken.json")
_SETTINGS_FILE = "tokenizer_config.json"
_SETTINGS = '"chat_template'  # also chat_template_type
_RENDERED_BY_MLX_LM = frozenset({"muse_spark"})


def may_chat(folder: Path, *, model_type: str) -> bool:
    """False only if nothing in ``folder`` can be a template. Raises OSError or ValueError for
    unreadable files."""
    if model_type in _RENDERED_BY_MLX_LM:
        return True
    if any(next(folder.glob(pattern), None) for pattern in _TEMPLATE_FILES):
        return True
    settings = folder / _SETTINGS_FILE
    return settings.exists() and _SETTINGS in settings.read_text()
