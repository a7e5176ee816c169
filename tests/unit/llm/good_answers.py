"""Answers a person would be glad of: English, Russian, code, tables, lists, data. None may be
taken for an echo, a loop or a runaway."""

from __future__ import annotations

import json

ENGLISH_PROSE = """A lighthouse is a tower with a strong lamp on top. Its keeper lights the lamp at
dusk. The lens around it gathers the light into a beam, and the turning of the lens makes the beam
sweep over the sea, so that a sailor sees a flash. Each lighthouse flashes in a rhythm of its own:
a sailor counts the seconds, looks the rhythm up, and knows which lighthouse it is.

If the request failed with an error, the retry policy decides whether it is sent again. An error
such as "connection refused" is transient; an error such as "model not found" is not. A task that
failed three times is set aside, and the operator is told: failed tasks are not lost."""

RUSSIAN_PROSE = """Маяк — это башня с яркой лампой наверху. Смотритель зажигает её в сумерках. Линза
собирает свет в луч, и вращение линзы заставляет луч обходить море по кругу, поэтому моряк видит
вспышку. У каждого маяка свой ритм: моряк считает секунды, находит ритм в книге и понимает, какой
это маяк. Ошибка подключения не означает, что задача потеряна: она вернётся в очередь и будет
выполнена позже. Если модель не загрузилась, задача ждёт; если модель не найдена, задача
отклоняется с понятной причиной."""

PYTHON_CODE = '''def merge(left: list[int], right: list[int]) -> list[int]:
    """Merge two sorted lists."""
    merged: list[int] = []
    i = j = 0
    while i < len(left) and j < len(right):
        if left[i] <= right[j]:
            merged.append(left[i])
            i += 1
        else:
            merged.append(right[j])
            j += 1
    merged.extend(left[i:])
    merged.extend(right[j:])
    return merged
'''

SWITCH_CODE = "switch (code) {\n" + "".join(
    f"    case {n}:\n        return handlers[{n}](request);\n        break;\n" for n in range(60)
)

GETTERS_CODE = "".join(
    f"    public String getField{n}() {{\n        return this.field{n};\n    }}\n\n"
    for n in range(40)
)

SQL_INSERTS = "".join(
    f"INSERT INTO users (id, name, email) VALUES ({n}, 'user{n}', 'user{n}@example.com');\n"
    for n in range(1, 101)
)

MARKDOWN_TABLE = "| Name | Department | Status |\n|------|------------|--------|\n" + "".join(
    f"| Expert {n} | {'ML' if n % 3 else 'Backend'} | active |\n" for n in range(60)
)

RULED_TABLE = "+" + "-" * 30 + "+" + "-" * 30 + "+\n"
BOXES = "".join(f"{RULED_TABLE}| row {n:<24} | {n * n:<28} |\n" for n in range(40))

RULER = "=" * 120 + "\nReport\n" + "=" * 120 + "\n" + "-" * 300 + "\nall well\n" + "*" * 500

ZERO_MATRIX = "[\n" + ("  [" + ", ".join(["0"] * 12) + "],\n") * 12 + "]"
IDENTITY_MATRIX = "\n".join(
    " ".join("1" if column == row else "0" for column in range(24)) for row in range(24)
)
MULTIPLICATION = "\n".join(" ".join(f"{a * b:4d}" for b in range(1, 13)) for a in range(1, 13))

JSON_ROWS = json.dumps(
    [{"id": n, "title": f"Task {n}", "status": "pending", "tags": []} for n in range(80)], indent=2
)
JSON_NULLS = json.dumps({f"field_{n}": None for n in range(120)}, indent=4)
CSV = "date,open,high,low,close,volume\n" + "".join(
    f"2026-01-{n % 28 + 1:02d},10{n % 7},11{n % 5},9{n % 3},10{n % 9},{n * 1000}\n"
    for n in range(120)
)
YAML = "".join(
    f"  - name: service-{n}\n    image: app:latest\n    restart: always\n    ports:\n"
    f'      - "{8000 + n}:80"\n'
    for n in range(40)
)

NUMBERED_LIST = "\n".join(
    f"{n}. Check that step {n} of the plan has a test and an owner." for n in range(1, 61)
)
CHECKLIST = "\n".join(f"- [ ] {word}" for word in ENGLISH_PROSE.split())
RUSSIAN_LIST = "\n".join(
    f"{n}) {line.strip()}" for n, line in enumerate(RUSSIAN_PROSE.split("."), 1)
)
NUMBERS = ", ".join(str(n) for n in range(1, 1001))
SAME_NUMBERS = ", ".join(["0.0"] * 256)
HEX_DUMP = "\n".join(f"{n * 16:08x}  " + " ".join(["00"] * 16) for n in range(60))
SONG = (
    "We all sail out at dawn, we all sail out,\nthe lamp is lit, the sea is loud,\n"
    "hey ho, hey ho, hey ho, hey ho,\nand home we come, a happy crowd.\n\n"
) * 4
LAUGHTER = "ха" * 60 + " " + "ha" * 80 + "!" * 50
ASCII_ART = "\n".join(" " * (40 - n) + "*" * (2 * n + 1) for n in range(40))
INDENTED = "\n".join(" " * (4 * depth) + f"if level_{depth}:" for depth in range(40))
DIFF = "".join(f"-    timeout = {n}\n+    timeout_seconds = {n}\n" for n in range(80))
LOG_LINES = "".join(
    f"2026-03-04 10:{n // 60:02d}:{n % 60:02d} INFO worker heartbeat ok\n" for n in range(120)
)
TREE = "".join(f"├── module_{n}\n│   ├── __init__.py\n│   └── core.py\n" for n in range(60))
CHINESE = (
    "灯塔是一座顶部装有强光灯的高塔。看守人在黄昏点亮它。透镜把光聚成一束，水手看到闪光就知道位置。"
    * 2
)
EMOJI = "✅ done\n❌ open\n" * 30 + "👩‍🚀🚀 " * 40
FORMULA = " + ".join(f"x_{{{n}}}^2" for n in range(100))
GENERATED_ASSERTS = "".join(f"    assert add({n}, {n}) == {2 * n}\n" for n in range(100))
HTML_ROWS = "".join(f"<tr><td>{n}</td><td></td><td></td><td></td></tr>\n" for n in range(80))
BASE64 = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0NTY3ODk=" * 2

GOOD_ANSWERS: dict[str, str] = {
    name.lower(): text
    for name, text in list(globals().items())
    if name.isupper() and isinstance(text, str) and name != "RULED_TABLE"
}

SHORT_ANSWERS = (
    "Yes",
    "No.",
    "Done",
    "Done!",
    "Да",
    "Нет",
    "Готово",
    "Готово.",
    "42",
    "OK",
    "Paris",
)
