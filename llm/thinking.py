"""Separates thinking that a server left inside the answer, by the marks its model was trained
on."""

from __future__ import annotations

import re

# (opening, closing) of a span of thinking. Sources: the models' chat templates.
_SPANS = (
    ("<think>", "</think>"),  # DeepSeek-R1, Qwen3
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
    ("[THINK]", "[/THINK]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # OpenThinker
)
_OPEN = re.compile(
    r"\A\s*(" + "|".join(re.escape(opening) for opening, _ in _SPANS) + ")", re.IGNORECASE
)
_CLOSING = {opening.lower(): closing for opening, closing in _SPANS}
_ORPHAN_END = re.compile(
    r"\A(.*?)(?:^|\n|(?<=[.!?…]))[ \t]{0,20}(?:"
    + "|".join(re.escape(end) for _, end in _SPANS)
    + r")[ \t]*(?:\n|\Z)",
    re.DOTALL,
)

# OpenAI's harmony format: <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>...
_HARMONY = re.compile(r"\A\s*(?:<\|start\|>assistant)?<\|channel\|>")
_CHANNEL = re.compile(r"(?:<\|start\|>assistant)?<\|channel\|>([a-z]+)[^<]*<\|message\|>")
_HARMONY_END = re.compile(r"<\|(?:end|return|call)\|>|<\|start\|>assistant\Z")
_FINAL = "final"


def split_thinking(text: str) -> tuple[str, str]:
    """(thinking, answer). Only marks at the very start count; an unclosed span is all thinking.

    A template may open the span inside the prompt: the text then has no opening mark, and an end
    mark on a line of its own or after the last sentence of the thinking.
    """
    if _HARMONY.match(text):
        return _split_channels(text)
    opened = _OPEN.match(text)
    if opened:
        closing = re.escape(_CLOSING[opened.group(1).lower()])
        end = re.compile(closing, re.IGNORECASE).search(text, opened.end())
        if end is None:
            return text[opened.end() :].strip(), ""
        return text[opened.end() : end.start()].strip(), text[end.end() :].lstrip()
    orphan = _ORPHAN_END.match(text)
    if orphan and not any(opening in text for opening, _ in _SPANS):
        return orphan.group(1).strip(), text[orphan.end() :].lstrip()
    return "", text


def _split_channels(text: str) -> tuple[str, str]:
    """The channel "final" is the answer, every other one is thinking."""
    thinking: list[str] = []
    answer: list[str] = []
    _, *parts = _CHANNEL.split(text)
    for name, content in zip(parts[::2], parts[1::2], strict=True):
        words = _HARMONY_END.sub("", content).strip()
        (answer if name == _FINAL else thinking).append(words)
    return "\n".join(thinking), "\n".join(answer)
