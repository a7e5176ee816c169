"""Is the form of the work filled? Headings, announcements, skeletons and placeholders are not."""

from __future__ import annotations

import re

from jobs.policy.validation.phrases import (
    ANNOUNCES,
    ASKS_DATA,
    ASKS_TEMPLATE,
    ASKS_TITLE,
    CLAIMS_A_FILE,
    ELIDES,
    SAYS_CHANGED,
    SAYS_DONE,
)
from jobs.policy.validation.text import items, prose
from jobs.policy.validation.types import Answer, Finding, Request
from llm.detectors.echo import requests_own_text

_REPORT_CHARS = 900
_TITLE = re.compile(r"^\s*(?:#{1,6}\s.*|\*\*[^*\n]+\*\*:?)\s*$")
_UNWRITTEN = re.compile(
    r"\b(?:todo|fixme)\b[^\n]{0,40}(?:implement|logic|add|fill|write|добав|реализ|допис)"
    r"|\byour (?:\w+ )?(?:code|logic|implementation) (?:goes )?here"
    r"|\brest of the (?:file|function|code|class|script|method)|\.{3} ?(?:rest|remaining|"
    r"existing)\b"
    r"|(?:остальн\w+|оставш\w+) (?:код|част|функци|файл)|здесь (?:ваш|будет) код|"
    r"здесь (?:реализ|напиш|добав|должн)\w+",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"\[(?![\d,;. -]+\])[^\]\[\n]{2,60}\](?!\()|<(?![a-zA-Z]+[\s>/=])[^<>\n=/]{2,40}>|"
    r"\{\{[^{}\n]{2,40}\}\}"
)
_MIN_PLACEHOLDERS = 4
_PLACEHOLDER_SHARE = 0.1
_ELISION_CHARS = 120
_BLOCK = re.compile(r"^[ \t]*```[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_NO_WORK = re.compile(
    r"\"\"\".*?(?:\"\"\"|\Z)|'{3}.*?(?:'{3}|\Z)|/\*.*?(?:\*/|\Z)|<!--.*?-->"
    r"|^[ \t]*(?:#|//|--|;|%|REM\b)[^\n]*$"
    r"|^[ \t]*(?:pass|\.\.\.|return(?: None| null)?;?|raise NotImplementedError[^\n]*)[ \t]*$"
    r"|^[ \t]*if __name__[^\n]*$|^[ \t]*(?:main|run)\(\);?[ \t]*$"
    r"|^[ \t]*[{}()\[\];,]+[ \t]*$"
    r"|^[ \t]*(?:async |export |public |private |static )*"
    r"(?:def|class|function|func|fn|interface)\b[^\n]*$"
    r"|^[ \t]*(?:import|from|using|package|use|#include)\b[^\n]*$",
    re.DOTALL | re.MULTILINE,
)
"""What code holds besides work: docstrings, comments, headers, imports, closing brackets."""
_DATA = re.compile(
    r"```|^[ \t]{0,9}\||^[^,;\t\n]{1,200}[,;\t][^\n]{1,2000}\n[^,;\t\n]{1,200}[,;\t]", re.MULTILINE
)


def filled(answer: Answer, request: Request) -> Finding:
    text = answer.text.strip()
    return _stands_alone(text, request) or _left_open(text, request) or Finding(1.0)


def _stands_alone(text: str, request: Request) -> Finding | None:
    """A heading, an announcement or a report, and not the work that it speaks of."""
    if ANNOUNCES.search(text) and not items(text) and "\n" not in text:
        return Finding(0.3, "thin", "the answer announces what does not come")
    lines = [line for line in text.splitlines() if line.strip()]
    if all(map(_TITLE.match, lines)) and not ASKS_TITLE.search(request.instruction):
        return Finding(0.3, "thin", "there is a heading and nothing below it")
    reports = SAYS_DONE.search(text) or (
        SAYS_CHANGED.match(text) and requests_own_text(request.instruction)
    )
    if reports and len(text) <= _REPORT_CHARS and not items(text):
        return Finding(0.3, "thin", "the answer speaks of work that is not there")
    claims_a_file = CLAIMS_A_FILE.search(text) and ASKS_DATA.search(request.instruction)
    if claims_a_file and not _DATA.search(text):
        return Finding(0.3, "thin", "the answer says that a file was written, and holds none of it")
    return None


def _left_open(text: str, request: Request) -> Finding | None:
    """Gaps that somebody else is to fill."""
    if ELIDES.search(text[-_ELISION_CHARS:]):
        return Finding(0.4, "missing_parts", "the answer leaves the rest to the reader")
    if ASKS_TEMPLATE.search(request.instruction) or _PLACEHOLDER.search(request.prompt):
        return None
    blocks = _BLOCK.findall(text)
    if blocks and not any(_NO_WORK.sub("", block).strip() for block in blocks):
        return Finding(0.3, "thin", "the code holds comments alone")
    if any(map(_UNWRITTEN.search, blocks)) and not _UNWRITTEN.search(request.prompt):
        return Finding(0.4, "thin", "the code leaves a part to be written")
    found = set(_PLACEHOLDER.findall(prose(text)))
    if len(found) >= _MIN_PLACEHOLDERS and len(found) > _PLACEHOLDER_SHARE * len(text.split()):
        return Finding(0.4, "thin", f"{len(found)} placeholders were left: {min(found)}")
    return None
