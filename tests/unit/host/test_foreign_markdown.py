"""What a model wrote keeps its form and loads nothing; checked with a Markdown parser."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from prefect_responses.host.foreign_markdown import defused

PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")
ACTIVE = {"image", "html_block", "html_inline"}

ATTACKS = [
    "![x](https://example.com/?q=secret)",
    "![x][ref]\n\n[ref]: https://example.com/x.png",
    "![ref]\n\n[ref]: https://example.com/x.png",
    "[![x](https://example.com/x.png)](https://example.com)",
    "![![x](https://example.com/a.png)](https://example.com/b.png)",
    r"\\![x](https://example.com/x.png)",
    "| a |\n| --- |\n| ![x](https://example.com/x.png) |",
    "<img src=https://example.com/x.png>",
    "text <IMG\nsrc='https://example.com/x.png'> text",
    "<!-- comment --><style>@import 'https://example.com'</style>",
    "</div><script>alert(1)</script>",
    "<?php ?> <![CDATA[x]]>",
    "    code\n\n<iframe src=https://example.com></iframe>",
    "```\nfence\n```\n<video src=https://example.com/x.mp4>",
    "<https onload=alert(1)>",
]
#: What would be one if the text were changed on its way.
NEARLY = [
    r"\![x](https://example.com/x.png)",
    "!\0[x](https://example.com/x.png)",
    "<\0img src=https://example.com/x.png>",
    "&lt;img src=https://example.com/x.png&gt;",
    "<https:/onload=alert(1)>",
    "<https://onload=alert(1)>",
]


def kinds(markdown: str) -> set[str]:
    blocks = PARSER.parse(markdown)
    return {token.type for block in blocks for token in (block, *(block.children or ()))}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_attacks_would_work(attack):
    assert kinds(attack) & ACTIVE


@pytest.mark.parametrize("attack", [*ATTACKS, *NEARLY])
def test_nothing_is_fetched_or_run(attack):
    assert not kinds(defused(attack)) & ACTIVE


@pytest.mark.parametrize(
    "harmless",
    [
        "# Title\n\nSome *text* with a [link](https://example.com) and 3 < 4 > 2.",
        "| a | b |\n| - | - |\n| 1 | 2 |",
        "```python\nif a < b and not [1][0]:\n    print('!')\n```",
        "Well! [1]",
        "See <https://example.com/a?b#c>.",
        "",
    ],
)
def test_the_form_stays(harmless):
    assert defused(harmless) == harmless


def test_what_is_defused_is_still_read_as_it_was_written():
    shown = PARSER.render(defused("![alt](https://example.com/x.png) <b>bold</b>"))

    assert "![alt](https://example.com/x.png)" in shown
    assert "&lt;b&gt;bold&lt;/b&gt;" in shown


def test_no_database_chokes_on_it():
    assert "\0" not in defused("a\0b")
