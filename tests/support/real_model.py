"""The real small model, fetched once by its name into a cache outside the checkout."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import SkipTest

from llm.model_files.errors import ModelFileError
from llm.model_files.fetching import check_sum, fetch
from llm.model_files.folder import ModelsFolder
from llm.model_files.known import KNOWN

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "knowledge-os-jobs"
NAME = KNOWN["smollm2"].folder


def real_gguf() -> Path:
    """The GGUF file, checked; without network the test that asks is skipped by name."""
    known = KNOWN["smollm2"]
    file = CACHE / known.member
    try:
        if file.exists():
            check_sum(file, known.sha256)
            return file
        CACHE.mkdir(parents=True, exist_ok=True)
        return fetch(known, CACHE)
    except ModelFileError as error:
        raise SkipTest(f"the real model is not here: {error}") from error


def real_models() -> Path:
    """A models folder that holds the converted model."""
    folder = ModelsFolder(CACHE / "models")
    if not folder.has(NAME):
        folder.add_file(real_gguf(), name=NAME, sha256=None, on_progress=lambda share: None)
    return folder.path
