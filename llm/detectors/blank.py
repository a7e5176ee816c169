"""Is there anything to read in it?"""

from __future__ import annotations

from llm.detectors.repetition import INVISIBLE


def is_blank(text: str) -> bool:
    """Nothing but white space and invisible characters."""
    return not text.strip() or not text.strip(INVISIBLE + " \t\r\n\u00a0").strip()
