"""Answers as HTML: a model's words are foreign, so only an allow-list of elements gets through.

The parser passes no raw HTML on and makes no images, which would ask other hosts; the sanitiser
checks its output once more.
"""

from __future__ import annotations

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

MAX_CHARS = 100_000
"""Longer answers are shown as written: parsing takes about a second for a million characters."""
_PARSER = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
_TAGS = frozenset(
    ("a", "blockquote", "br", "code", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre",
     "strong", "table", "tbody", "td", "th", "thead", "tr", "ul")
)  # fmt: skip
_LOWER = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6", "h6": "h6"}
"""An answer stands below the headings of its page."""


def to_html(text: str) -> Markup | None:
    """``text`` as safe HTML; None where it is too long to be parsed while a page waits."""
    if len(text) > MAX_CHARS:
        return None
    tokens = _PARSER.parse(text)
    for token in tokens:
        token.tag = _LOWER.get(token.tag, token.tag)
    html = _PARSER.renderer.render(tokens, _PARSER.options, {})
    clean = nh3.clean(
        html,
        tags=set(_TAGS),
        attributes={"*": set(), "a": {"href"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
    )
    return Markup(clean)
