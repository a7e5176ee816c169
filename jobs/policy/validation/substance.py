"""Does the answer do the work, or only promise it?"""

from __future__ import annotations

import re

from jobs.policy.validation.phrases import (
    ASKS_CODE,
    ASKS_DIALOGUE,
    ASKS_MUCH,
    INTENDS,
    LISTS,
    PRODUCES,
    PROMISE,
    SPEAKS_FOR_OTHERS,
    STARTS_WORK,
    WORK_ON_TEXT,
    WORK_VERBS,
)
from jobs.policy.validation.text import items, sentences, without_role
from jobs.policy.validation.types import Answer, Finding, Request

_PROMISE_CHARS = 250
_THIN_CHARS = 60
_DOUBT = 0.6
_CODE = re.compile(
    r"```|~~~"
    r"|^[ \t]*(?:def|class|import|from|function|const|let|var|#include|SELECT|INSERT|UPDATE|WITH)\s"
    r"|=>|[{};][ \t]*$|\b\w{1,80}\([^)\n]{0,200}\)|`[^`\n]{1,200}`|\{[^{}\n]{1,200}\}|\$\w"
    r"|[\\^$\[\]]{2}",
    re.MULTILINE | re.IGNORECASE,
)
_TEMPLATE_MARK = re.compile(
    r"<\|(?:im_start|im_end|assistant|user|system|end\w*|eot_id)\|>|\[/?INST\]|"
    r"^\#{2,3} (?:instruction|response):?$",
    re.IGNORECASE | re.MULTILINE,
)
_NOTHING = frozenset({"none", "null", "nil", "nan", "undefined", "n/a", "н/д"})
_DELIVERS = re.compile(r"\n\n|=|:\s*\S|`")
_SPEAKER = re.compile(
    r"^[*_#>\[ \t]{0,9}(?:user|human|пользователь|assistant|ассистент)[\]*_ ]{0,4}:",
    re.IGNORECASE | re.MULTILINE,
)
_MIN_TURNS = 3
_TOOL_CALL = re.compile(
    r"\A<(?:tool_call|function_call|tool)>|\A\{\s*\"name\"\s*:.{0,80}\"arguments\""
)
_INTENT_CHARS = 900
_OPEN_THOUGHT = re.compile(r"^<think(?:ing)?>", re.IGNORECASE)


def substantial(answer: Answer, request: Request) -> Finding:
    text = answer.text.strip()
    if _OPEN_THOUGHT.match(text):
        return Finding(0.1, "thinking_only", "the answer never leaves its thinking")
    if text.casefold() in _NOTHING and PRODUCES.search(without_role(request.instruction)):
        # "None" is a valid list, but no prose.
        score = 0.6 if LISTS.search(request.instruction) else 0.1
        return Finding(score, "blank", f'the answer is "{text}"')
    if _promises(text):
        expected = SPEAKS_FOR_OTHERS.search(request.instruction) and not (
            STARTS_WORK.search(text) and _intends(text)
        )
        reason = f'the answer promises the work instead: "{text[:60]}"'
        return Finding(0.7 if expected else 0.3, "thin", reason)
    mark = _TEMPLATE_MARK.search(text)
    if mark is not None and "<|" not in request.prompt and "INST]" not in request.prompt:
        return _template(text, mark)
    if len(_SPEAKER.findall(text)) >= _MIN_TURNS and not ASKS_DIALOGUE.search(request.instruction):
        return Finding(0.3, "template", "the answer goes on with both sides of a conversation")
    if _TOOL_CALL.search(text) and "arguments" not in request.prompt:
        return Finding(0.2, "template", "the answer is the call of a tool that nobody offered")
    return _against_demand(text, request)


def _promises(text: str) -> bool:
    """Nothing but the promise of some work stands there."""
    if _intends(text):
        return True
    if len(text) > _PROMISE_CHARS or _DELIVERS.search(text):
        return False
    opening = PROMISE.match(text)
    return opening is not None and bool(WORK_VERBS.search(text, max(0, opening.start())))


def _intends(text: str) -> bool:
    """Do most sentences say what the author is going to do? A list or a block is work."""
    if len(text) > _INTENT_CHARS or len(items(text)) > 1 or "```" in text:
        return False
    said = sentences(text)
    intents = sum(bool(INTENDS.search(part) and WORK_ON_TEXT.search(part)) for part in said)
    return intents >= 2 and 2 * intents >= len(said)


def _against_demand(text: str, request: Request) -> Finding:
    """What the wording of a task lets expect. Read off single words, so a doubt and no more:
    it takes a second doubt to reject."""
    if ASKS_CODE.search(request.instruction) and not _CODE.search(text):
        return Finding(_DOUBT, "missing_parts", "code was asked for and there is none")
    if len(text) < _THIN_CHARS and ASKS_MUCH.search(request.instruction):
        return Finding(_DOUBT, "thin", f"much was asked for, {len(text)} characters came")
    return Finding(1.0)


def _template(text: str, mark: re.Match[str]) -> Finding:
    """Marks of a chat template: harmless at the end, a conversation with itself before it."""
    rest = _TEMPLATE_MARK.sub("", text[mark.end() :]).strip()
    if not rest:
        return Finding(0.9, "template", "the answer ends in a mark of the chat template")
    return Finding(0.4, "template", f"the answer runs through a chat template at {mark.group(0)}")
