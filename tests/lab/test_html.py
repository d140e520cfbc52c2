"""Views as HTML and Markdown: hostile text stays text, and it reads well with no stylesheet."""

from __future__ import annotations

import pytest
from bs4 import BeautifulSoup
from nbconvert.filters.markdown_mistune import markdown2html_mistune

from mig_kit.lab.blocks import (
    Bullets,
    Fold,
    Group,
    Paragraph,
    Source,
    Table,
    Title,
    View,
    code,
    facts,
    state,
    strong,
)
from mig_kit.lab.html import to_html, to_markdown

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</pre></details><h1>big</h1>",
    "[click](javascript:alert(1))",
    "`code` *bold* | pipe",
)


def everywhere(text: str) -> View:
    """Return a view that has a text in every place that takes one."""
    table = Table(
        text, (text, "n"), (Group(text), (text, text), (code(text), (state(text), strong(text)))), frozenset({1})
    )
    return View(
        (
            Title(text),
            Paragraph(text, "warn"),
            Bullets((text, (code(text), text))),
            table,
            facts(text, [("a fact", text)]),
            Fold(text, (Source(text + "\n```\n" + text, "sql"), Source(text, "text"), table), open=True),
        )
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_in_html(text: str) -> None:
    soup = BeautifulSoup(to_html(everywhere(text)), "html.parser")
    assert not soup.find_all(["script", "img", "h1", "a", "style"])
    assert {name for each in soup.find_all(True) for name in each.attrs} <= {
        "class",
        "scope",
        "colspan",
        "open",
        "align",
    }
    assert soup.caption is not None
    assert soup.caption.get_text() == text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_in_markdown(text: str) -> None:
    soup = BeautifulSoup(markdown2html_mistune(to_markdown(everywhere(text))), "html.parser")
    assert not soup.find_all(["script", "img", "h1", "a", "em"])
    assert soup.caption is not None
    assert soup.caption.get_text() == text


def test_a_fence_is_longer_than_any_in_the_text() -> None:
    drawn = to_markdown(View((Source("SELECT 1; -- ````\n", "sql"),)))
    assert drawn == "`````sql\nSELECT 1; -- ````\n`````\n"


def test_two_dollars_are_no_mathematics() -> None:
    html = to_html(View((Paragraph("costs $5 or $6"),)))
    assert "$" not in html
    assert BeautifulSoup(html, "html.parser").get_text() == "costs $5 or $6"


def test_control_characters_are_spelled_out() -> None:
    assert "\\x1b[31m" in to_html(View((Paragraph("\x1b[31mred"),)))
    assert "\\u202e" in to_html(View((Title("abc\u202edef"),)))


def test_a_table_says_what_it_is_without_a_stylesheet() -> None:
    view = View((Table("Checks", ("check", "state"), (Group("group"), ("disk", state("failed")))),))
    soup = BeautifulSoup(to_html(view), "html.parser")
    assert [each["scope"] for each in soup.find_all("th")] == ["col", "col", "rowgroup", "row"]
    assert [each.get_text() for each in soup.find_all("strong")] == ["failed"]  # bold on its own


def test_source_text_is_coloured_by_class_only() -> None:
    html = to_html(View((Source("SELECT 1;\n", "sql"),)))
    assert html.startswith('<div class="mk"><div class="highlight"><pre>')
    assert '<span class="k">SELECT</span>' in html
    assert "style=" not in html
