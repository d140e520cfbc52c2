"""The report's HTML: nbconvert's exporter with this package's template, and nothing in it that runs or loads.

nbconvert takes most of a second to import, so only ``write_report`` imports this module, when it is called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import unescape
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar

import nh3
from bs4 import BeautifulSoup, Tag
from jinja2 import Environment
from markupsafe import Markup
from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers.sql import PostgresLexer
from pygments.style import Style
from pygments.token import Comment, Error, Generic, Keyword, Name, Number, Operator, String, _TokenType
from traitlets.config import Config

from ._summary import Summary, plain_duration

__all__ = ["render"]

_TEMPLATES = Path(__file__).with_name("templates")
_WIDGET = "application/vnd.jupyter.widget-view+json"
# What shows in a file without a kernel, best first. A widget or a script shows nothing, so neither is here.
_SHOWN = (
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/latex",
    "text/plain",
)
_CONSTRUCTOR = re.compile(r"[A-Za-z_][\w.]*\(.*\)\s*", re.DOTALL)
_ASIDE = ("#", "import ", "from ", "%")
_NUMBER = re.compile(r"[-+−]?[\d,. ]*\d\s?(?:%|ms|s|[kMG]?B|bytes)?|NaN|<NA>|None")
_HEADING = re.compile(r'<h([12])[^>]* id="([^"]*)"[^>]*>(.*?)</h\1>', re.DOTALL)

_TAGS = nh3.ALLOWED_TAGS | {"input", "meter", "progress", "section", "tfoot"}
_DROPPED_WITH_CONTENT = {
    "script",
    "style",
    "title",
    "template",
    "iframe",
    "object",
    "noscript",
    "textarea",
    "svg",
    "math",
}
_ATTRIBUTES = {
    "*": {"class", "id", "title", "role", "aria-label", "aria-hidden", "aria-live", "style", "lang", "dir"},
    "a": {"href"},
    "col": {"span"},
    "colgroup": {"span"},
    "details": {"open"},
    "img": {"src", "alt", "width", "height"},
    "input": {"type", "checked", "disabled"},
    "meter": {"value", "min", "max", "low", "high", "optimum"},
    "ol": {"start"},
    "progress": {"value", "max"},
    "td": {"colspan", "rowspan", "headers"},
    "th": {"colspan", "rowspan", "headers", "scope"},
    "time": {"datetime"},
}
_STYLES = {
    "background-color",
    "color",
    "display",
    "font-family",
    "font-style",
    "font-weight",
    "padding-left",
    "text-align",
    "text-decoration",
    "vertical-align",
    "white-space",
    "width",
}


class _Light(Style):
    """Dark ink on white, each colour at least 4.5 : 1 against the block it stands on."""

    background_color = "#f6f7f9"
    styles: ClassVar[Mapping[_TokenType, str]] = {
        Comment: "italic #5d6673",
        Keyword: "bold #8b2c8f",
        Keyword.Type: "nobold #0b5f8a",
        Name.Builtin: "#0b5f8a",
        Name.Class: "bold #1d4f91",
        Name.Decorator: "#7a4a00",
        Name.Exception: "#a3261b",
        Name.Function: "#1d4f91",
        Number: "#8a3f00",
        Operator.Word: "bold #8b2c8f",
        String: "#20662f",
        Generic.Deleted: "#a3261b",
        Generic.Inserted: "#20662f",
        Generic.Heading: "bold",
        Error: "",
    }


class _Dark(Style):
    """The same roles on a dark ground."""

    background_color = "#1c2128"
    styles: ClassVar[Mapping[_TokenType, str]] = {
        Comment: "italic #98a2b0",
        Keyword: "bold #d9a0e6",
        Keyword.Type: "nobold #7cc4ee",
        Name.Builtin: "#7cc4ee",
        Name.Class: "bold #93b9f5",
        Name.Decorator: "#e2b973",
        Name.Exception: "#f29b92",
        Name.Function: "#93b9f5",
        Number: "#eaa877",
        Operator.Word: "bold #d9a0e6",
        String: "#8fd19e",
        Generic.Deleted: "#f29b92",
        Generic.Inserted: "#8fd19e",
        Generic.Heading: "bold",
        Error: "",
    }


class _ReportExporter(HTMLExporter):
    """Render a notebook with the ``mig_kit`` template; every value in it is escaped unless it is cleaned."""

    def __init__(self) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            config=Config({"NbConvertBase": {"display_data_priority": list(_SHOWN)}}),
            template_name="mig_kit",
            extra_template_basedirs=[str(_TEMPLATES)],
            embed_images=True,
            anchor_link_text="#",
        )

    def _create_environment(self) -> Environment:
        environment: Environment = super()._create_environment()  # type: ignore[no-untyped-call]
        environment.autoescape = True
        environment.filters.update(
            clean=_clean,
            compact_json=_compact_json,
            duration=plain_duration,
            first_code_line=_first_code_line,
            headings=_headings,
            highlight_sql=_highlight_sql,
            last_state=_last_state,
        )
        return environment


def render(notebook: NotebookNode, summary: Summary, *, folder: Path, css: str = "", notice: str = "") -> str:
    """Return the whole document.

    ``notebook`` must be redacted already; outputs that need a kernel are taken out of it here. ``folder``
    is where images that a markdown cell names are looked for. ``css`` is added after the template's own.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [shown for output in cell.outputs if (shown := _without_kernel(output)) is not None]
    resources = {
        "metadata": {"name": summary.title, "path": str(folder)},
        "summary": summary,
        "notice": notice,
        "pygments_css": Markup(_pygments_css()),  # made by pygments from the styles above
        "extra_css": Markup(re.sub(r"<|@import|url\(", "", css)),  # cannot leave its <style>, nor load
    }
    html, _ = _ReportExporter().from_notebook_node(notebook, resources)
    return str(html)


def _without_kernel(output: NotebookNode) -> NotebookNode | None:
    """Return the output with only what a file can show; None when that is nothing."""
    if output.output_type not in ("display_data", "execute_result"):
        return output
    data: Mapping[str, Any] = output.data
    shown = {mime: data[mime] for mime in _SHOWN if mime in data}
    if _WIDGET in data and _CONSTRUCTOR.fullmatch(shown.get("text/plain", "")):
        del shown["text/plain"]  # a widget's repr, `VBox(children=(…))`: words for its author
    if not shown:
        return None
    output.data = NotebookNode(shown)  # type: ignore[no-untyped-call]
    return output


def _clean(html: str) -> Markup:
    """Keep the elements that text, tables and folds need; drop what runs, loads or leaves its place."""
    cleaned = nh3.clean(
        str(html),
        tags=_TAGS,
        clean_content_tags=_DROPPED_WITH_CONTENT,
        attributes=_ATTRIBUTES,
        attribute_filter=_filter_attribute,
        filter_style_properties=_STYLES,
        url_schemes={"http", "https", "mailto", "data"},
        generic_attribute_prefixes=None,
    )
    soup = BeautifulSoup(cleaned, "html.parser")
    for image in soup.select("img:not([src])"):
        image.replace_with(str(image.get("alt") or ""))  # it was somewhere else: its description stays
    for table in soup.select("table"):
        _align_numbers(table)
        # A wide table scrolls by itself, so that the page does not.
        table.wrap(soup.new_tag("div", attrs={"class": "scroll", "tabindex": "0"}))
    return Markup(str(soup))


def _align_numbers(table: Tag) -> None:
    """Mark the columns that hold only numbers, so that they can stand flush right as numbers should."""
    rows = [row.find_all(["td", "th"], recursive=False) for row in table.select("tr")]
    if any(cell.has_attr("colspan") or cell.has_attr("rowspan") for row in rows for cell in row):
        return
    for column in zip_longest(*rows):
        texts = [cell.get_text(strip=True) for cell in column if cell is not None and cell.name == "td"]
        if any(map(_NUMBER.fullmatch, texts)) and all(not t or _NUMBER.fullmatch(t) for t in texts):
            for cell in column:
                if cell is not None:
                    cell["class"] = f"{cell.get('class', '') or ''} number".strip()


def _filter_attribute(tag: str, name: str, value: str) -> str | None:
    if name == "src" and not value.startswith("data:image/"):
        return None
    if name == "href" and value.startswith("data:"):
        return None
    if tag == "input" and name == "type" and value != "checkbox":
        return None
    if name == "style" and "url" in value.lower():
        return None
    return value


def _headings(html: str) -> list[tuple[int, str, Markup]]:
    """Return (level, id, text) of the first two levels of headings."""
    found = []
    for level, anchor, inner in _HEADING.findall(str(html)):
        text = nh3.clean(re.sub(r'<a class="anchor-link".*?</a>', "", inner), tags=set()).strip()
        found.append((int(level), unescape(anchor), Markup(text)))  # text only: every tag was taken out
    return found


def _highlight_sql(sql: str) -> Markup:
    return Markup(highlight(sql, PostgresLexer(), HtmlFormatter(cssclass="highlight")))


def _compact_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _first_code_line(lines: Sequence[str]) -> str:
    """Return the first line that is no comment and no import: it says best what a folded cell does."""
    return next((line for line in lines if line.strip() and not line.lstrip().startswith(_ASIDE)), lines[0])


def _last_state(text: str) -> str:
    r"""Return what a terminal shows in the end: of a line rewritten with ``\r`` only its last state."""
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))


def _pygments_css() -> str:
    light = HtmlFormatter(style=_Light).get_style_defs(".highlight")  # type: ignore[no-untyped-call]
    dark = HtmlFormatter(style=_Dark).get_style_defs(".highlight")  # type: ignore[no-untyped-call]
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}"
