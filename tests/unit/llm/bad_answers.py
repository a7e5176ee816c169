"""Answers gone bad, by what they are."""

from __future__ import annotations

import random

from tests.unit.llm.good_answers import ENGLISH_PROSE, PYTHON_CODE, RUSSIAN_PROSE

SENTENCES = {
    "english": "I am sorry, but as a language model I cannot do that for you today. ",
    "russian": "К сожалению, я не могу выполнить эту задачу прямо сейчас, попробуйте позже. ",
    "chinese": "对不起，我现在不能完成这个任务，请稍后再试。",
    "question": "Would you like me to explain this step in more detail? ",
    "code": "    result = compute(result, next_value(result))\n",
    "bullet": "- Make sure that the service is running and reachable.\n",
    "table": "| the same cell text | again the same cell text | ok |\n",
    "json": '{"action": "search", "query": "lighthouse keeper"},\n',
    "thinking": "Wait, let me check that again from the beginning. ",
    "short": "the the ",
    "word": "и так далее, ",
    "laughter": "haha",
    "one letter": "a",
    "exclamation": "!",
    "zeros": "0, ",
    "brackets": "]}",
    "tag": "<br>",
    "token": "<|end|>",
    "url": "https://example.com/a/b/c ",
    "emoji": "🚀",
    "newlines between": "Done.\n\n",
    "import": "import os\nimport sys\n",
    "two sentences": "First we look at the log. Then, once more, we look at the log. ",
}
PREFIXES = {"after nothing": "", "after prose": ENGLISH_PROSE, "after russian": RUSSIAN_PROSE}

LOOPS: dict[str, str] = {
    f"{name} {where}": prefix + sentence * (6000 // len(sentence) + 1)
    for name, sentence in SENTENCES.items()
    for where, prefix in PREFIXES.items()
}
LOOPS["paragraph"] = (ENGLISH_PROSE + "\n\n") * 8
LOOPS["russian paragraph"] = (RUSSIAN_PROSE + "\n\n") * 8
LOOPS["code block"] = (PYTHON_CODE + "\n\n") * 12
LOOPS["numbered"] = "".join(
    f"{n}. Make sure that the service is running and reachable.\n" for n in range(1, 100)
)
LOOPS["numbered russian"] = "".join(
    f"{n}) Проверьте, что сервис запущен и доступен по сети.\n" for n in range(1, 100)
)

STUCK = {
    "english": (
        "The first step is to look at the log of the worker.",
        "After that, we should check whether the server is reachable.",
        "It is important to note that the model must be loaded first.",
    ),
    "russian": (
        "Сначала нужно посмотреть журнал воркера.",
        "После этого следует проверить, доступен ли сервер.",
        "Важно отметить, что модель должна быть загружена заранее.",
    ),
}
for _name, _sentences in STUCK.items():
    LOOPS[f"the same few sentences in any order, {_name}"] = " ".join(
        random.Random(5).choices(_sentences, k=400)
    )

SPACE_RUNS: dict[str, str] = {
    "newlines": "Result:" + "\n" * 1500,
    "spaces": '{"verdict": "ok",' + " " * 1500,
    "tabs": "a" + "\t" * 1500,
    "mixed": "a" + " \n" * 800,
    "windows": "a" + "\r\n" * 800,
    "no-break": "a" + "\u00a0" * 1500,
    "zero width": "a" + "\u200b" * 2500,
    "zero width and spaces": "a" + "\u200b " * 1200,
    "only": "\n" * 2000,
}

ECHOES: dict[str, tuple[str, str]] = {
    "equal": ("Explain how a lighthouse works.", "Explain how a lighthouse works."),
    "equal but for space": ("  Explain it. \n", "Explain it."),
    "russian": ("Объясни, как работает маяк.", "Объясни, как работает маяк."),
    "long": (ENGLISH_PROSE, ENGLISH_PROSE + "\n"),
    "cut": ("Explain how a lighthouse works.", "Explain how a lighthouse"),
    "cut russian": ("Объясни, как работает маяк.", "Объясни, как работает"),
    "with a full stop": ("Explain how a lighthouse works", "Explain how a lighthouse works."),
    "with an end token": ("Explain how it works", "Explain how it works <|end|>"),
    "question goes on": ("What is a lens?", "What is a lens? What is a lens?"),
}

BLANKS = ("", " ", "\n\n\n", "\t \r\n", "\u00a0\u00a0", "\u200b", " \ufeff \u200d\n")
THOUGHTS_ONLY = (
    "<think>hm</think>",
    "<think>hm",
    " <thinking>\nhm\n</thinking>\n \n",
    "hm\n</think>\n",
)
