"""Draw a view as HTML that reads well with no stylesheet, and as Markdown whose source text is fenced."""

from __future__ import annotations

import base64
import re
from html import escape
from itertools import chain

from mig_kit.lab.blocks import (
    Block,
    Bullets,
    Fold,
    Group,
    Paragraph,
    Phrase,
    Picture,
    Source,
    Table,
    Title,
    Tone,
    View,
    Word,
    visible,
    words,
)

__all__ = ["escaped", "to_html", "to_markdown"]

_ELEMENTS = {"code": "code", "strong": "strong", "quiet": "small"}


def to_html(view: View) -> str:
    """Return the view as one element of class ``mk``; every value in it is escaped."""
    return f'<div class="mk">{"".join(map(_block, view.blocks))}</div>'


def to_markdown(view: View) -> str:
    """Return the view as Markdown: source text in fences, which every reader of notebooks highlights by itself.

    The rest is HTML on lines of its own, which Markdown passes through, so that one escaping serves both.
    """
    return "\n\n".join(chain.from_iterable(map(_markdown, view.blocks))) + "\n"


def escaped(text: str) -> str:
    """Return text as HTML that shows just that text."""
    # Notebooks typeset what stands between two dollars as mathematics; one in an element of its own they leave.
    return escape(visible(text)).replace("$", "<span>&#36;</span>").replace("\n", "<br>")


def _phrase(phrase: Phrase) -> str:
    return "".join(_word(each) for each in words(phrase))


def _word(word: str | Word) -> str:
    if isinstance(word, str):
        return escaped(word)
    if word.kind == "state":
        # What did not go well is bold without a stylesheet, too.
        element = "strong" if word.tone in ("bad", "warn") else "span"
        return f'<{element} class="mk-state mk-{word.tone}">{escaped(word.text)}</{element}>'
    element = _ELEMENTS[word.kind]
    return f"<{element}>{escaped(word.text)}</{element}>"


def _tone(name: str, tone: Tone | None) -> str:
    return f'class="{name} mk-{tone}"' if tone else f'class="{name}"'


def _block(block: Block) -> str:
    if isinstance(block, Source):
        return _source(block)
    if isinstance(block, Fold):
        opened = " open" if block.open else ""
        inner = "".join(map(_block, block.blocks))
        return f"<details{opened}><summary>{_phrase(block.summary)}</summary>{inner}</details>"
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Picture):
        return _picture(block)
    return _line(block)


def _line(block: Title | Paragraph | Bullets) -> str:
    if isinstance(block, Title):
        # No heading: those of the outputs would crowd the notebook's table of contents.
        return f"<p {_tone('mk-title', block.tone)}><strong>{_phrase(block.text)}</strong></p>"
    if isinstance(block, Bullets):
        return "<ul>" + "".join(f"<li>{_phrase(each)}</li>" for each in block.items) + "</ul>"
    return (
        f"<p {_tone('mk-note', block.tone)}>{_phrase(block.text)}</p>"
        if block.tone
        else f"<p>{_phrase(block.text)}</p>"
    )


def _table(table: Table) -> str:
    head = "".join(
        _cell("th", "col", escaped(name), index in table.numeric) for index, name in enumerate(table.columns)
    )
    rows = []
    for row in table.rows:
        if isinstance(row, Group):
            drawn = f'<div align="left">{_phrase(row.text)}</div>'
            rows.append(f'<tr class="mk-group"><th scope="rowgroup" colspan="{len(table.columns)}">{drawn}</th></tr>')
            continue
        cells = [
            _cell("td" if index else "th", "" if index else "row", _phrase(cell), index in table.numeric)
            for index, cell in enumerate(row)
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    kind = "mk-facts" if table.columns == ("fact", "value") else "mk-table"
    return (
        f'<div class="mk-scroll"><table class="{kind}"><caption>{_phrase(table.caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(element: str, scope: str, content: str, numeric: bool) -> str:
    scoped = f' scope="{scope}"' if scope else ""
    if numeric:
        return f'<{element}{scoped} class="mk-number">{content}</{element}>'
    # JupyterLab flushes every cell of an HTML table right, and takes our stylesheet out of a notebook that it does not
    # trust; the old attribute, which only an element of its own can carry against that rule, it lets stand.
    return (
        f'<{element}{scoped}><div align="left">{content}</div></{element}>'
        if content
        else f"<{element}{scoped}></{element}>"
    )


def _picture(picture: Picture) -> str:
    # As an image: an inline drawing is taken out of a notebook that is not trusted.
    data = base64.b64encode(picture.svg.encode()).decode()
    return (
        f'<p class="mk-picture"><img src="data:image/svg+xml;base64,{data}" alt="{escape(visible(picture.words))}"></p>'
    )


def _source(source: Source) -> str:
    text = visible(source.text)
    if source.language == "text":
        return f"<pre>{escape(text)}</pre>"
    # pygments' own classes: JupyterLab, nbconvert's pages and our report have colours for them in their stylesheets.
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    name = "postgres" if source.language == "sql" else source.language
    drawn: str = highlight(text, get_lexer_by_name(name, stripnl=False), HtmlFormatter(cssclass="highlight"))
    return drawn.strip()


def _markdown(block: Block) -> list[str]:
    if isinstance(block, Source):
        longest = max(map(len, re.findall(r"`+", block.text)), default=0)
        fence = "`" * max(3, longest + 1)
        return [f"{fence}{block.language}\n{visible(block.text).rstrip()}\n{fence}"]
    if isinstance(block, Fold):
        opened = " open" if block.open else ""
        inner = chain.from_iterable(map(_markdown, block.blocks))
        return [f"<details{opened}><summary>{_phrase(block.summary)}</summary>", *inner, "</details>"]
    drawn = _block(block)
    # A blank line would end the HTML; none is left, as every line break in it became an element.
    return [drawn if isinstance(block, Table) else f"<div>{drawn}</div>"]
