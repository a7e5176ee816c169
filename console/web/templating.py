"""Templates: everything that goes into a page is escaped, and every sentence is translated."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.filesize import decimal

from console.operations.times import about, ago
from console.operations.verdict import cause_line, verdict_line
from console.words import COUNTED, Words, in_words, spoken_span
from jobs.process.clock import utc_now

HERE = Path(__file__).parent


def environment() -> Environment:
    """The one template environment of the process."""
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "percent": lambda share: f"{share * 100:.0f}%",
        "thousands": lambda number: f"{number:,}".replace(",", "\u202f"),
    }
    templates.globals["counted"] = COUNTED
    return templates


def render(templates: Environment, template: str, words: Words, **values: Any) -> str:
    """``template`` in the language of ``words``."""
    now = utc_now()
    spoken = {
        "t": words,
        "lang": words.language,
        "now": now,
        "span": lambda seconds: spoken_span(seconds, words),
        "size": lambda count: "" if count is None else in_words(decimal(round(count)), words),
        "about": lambda low, high: in_words(about(low, high), words),
        "verdict": lambda found: verdict_line(found, now, words),
        "cause": lambda found: cause_line(found, words),
        "ago": lambda moment: in_words(ago(_moment(moment), now=now), words),
    }
    return templates.get_template(template).render(**spoken, **values)


def _moment(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None
