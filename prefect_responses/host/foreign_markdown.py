"""Markdown that others wrote, such as a model's answer, made harmless for whoever looks at it."""

from __future__ import annotations

import re

#: What begins HTML; any other `<` is only a sign, or a link such as `<https://example.com>`.
_HTML = re.compile(r"<(?=[A-Za-z/!?])(?!https?://[\w.~:/?#&%+,;@-]*>)", re.ASCII)


def defused(markdown: str) -> str:
    r"""Return *markdown* with its form, but HTML and images in it are shown as they are written.

    An image is fetched by the browser of whoever looks, from an address that the text chose: what
    a model was told could leave in it. In code, `<` and `![` are shown as `&lt;` and `!\[`.
    """
    # PostgreSQL, where Prefect may keep it, takes no NUL.
    without_html = _HTML.sub("&lt;", markdown.replace("\0", "\N{REPLACEMENT CHARACTER}"))
    return without_html.replace("![", "!\\[")
