"""Markdown of an answer: what people need gets through, nothing else."""

from __future__ import annotations

import re

import pytest

from console.web.markdown import MAX_CHARS, to_html

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](https://evil.example/pixel.png)",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    '<https://a.example/"onmouseover=alert(1)>',
    '[x](https://a.example "onclick=alert(1)")',
    "<iframe src='https://evil.example'></iframe>",
    "<style>body{background:url(https://evil.example)}</style>",
    "<form action=/logout method=post><button>x</button></form>",
    "```html\n<svg onload=alert(1)>\n```",
    "[x]: javascript:alert(1)\n[x]",
    "<a id=main href=/logout>x</a>",
    "[home](/logout)",
)


def html_of(text: str) -> str:
    html = to_html(text)
    assert html is not None
    return str(html)


def test_headings_lists_tables_and_code_are_rendered() -> None:
    html = html_of(
        "# Title\n\n- **one**\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\nx < 1\n```"
    )

    assert "<h3>Title</h3>" in html
    assert "<li><strong>one</strong></li>" in html
    assert "<th>a</th>" in html
    assert "<pre><code>x &lt; 1\n</code></pre>" in html


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_an_answer_can_act(text: str) -> None:
    html = html_of(f"before {text}\n\n{text}")

    tags = re.findall(r"<(/?[a-z0-9]+)([^>]*)>", html)
    assert {name.strip("/") for name, _ in tags} <= {"p", "a", "pre", "code"}
    for _, attributes in tags:
        rest = re.sub(
            r'\s(href="(https?:|mailto:)[^"]*"|rel="noopener noreferrer nofollow")', "", attributes
        )
        assert rest == ""


def test_a_link_tells_its_target_nothing_of_the_page() -> None:
    html = html_of("[docs](https://docs.example/a?b=c&d)")

    assert html == (
        '<p><a href="https://docs.example/a?b=c&amp;d" '
        'rel="noopener noreferrer nofollow">docs</a></p>\n'
    )


def test_a_very_long_answer_is_left_as_written() -> None:
    assert to_html("a" * (MAX_CHARS + 1)) is None
