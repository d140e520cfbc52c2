"""Draw a view as plain text, for a diff, a terminal, a mail."""

from __future__ import annotations

import io
import textwrap

from mig_kit.lab.blocks import Block, Bullets, Fold, Phrase, Picture, Source, Table, Title, View, Word, visible, words

__all__ = ["to_text"]

_WIDTH = 118


def to_text(view: View) -> str:
    """Return the view as plain text; what HTML folds away is there in full, below its summary."""
    return "\n\n".join(_block(each) for each in view.blocks)


def _phrase(phrase: Phrase) -> str:
    return visible("".join(each.text if isinstance(each, Word) else each for each in words(phrase)))


def _block(block: Block) -> str:
    if isinstance(block, Title):
        title = _phrase(block.text)
        return f"{title}\n{'-' * min(_WIDTH, max(map(len, title.splitlines()), default=0))}"
    if isinstance(block, Source):
        return "\n".join(f"    {line}".rstrip() for line in visible(block.text).rstrip().splitlines())
    if isinstance(block, Fold):
        inner = "\n\n".join(map(_block, block.blocks))
        return f"{_phrase(block.summary)}\n\n{textwrap.indent(inner, '  ')}"
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Picture):
        return _filled(visible(block.words))
    if isinstance(block, Bullets):
        return "\n".join(f"- {_filled(_phrase(each), '  ')}" for each in block.items)
    return _filled(_phrase(block.text))


def _filled(text: str, indent: str = "") -> str:
    lines = [
        textwrap.fill(
            line, _WIDTH, initial_indent="", subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
        for line in text.splitlines()
    ]
    return f"\n{indent}".join(lines)


def _table(table: Table) -> str:
    """Draw a table; the rows below a group stand below its line, as a table of their own."""
    parts = [_phrase(table.caption)]
    section: list[tuple[Phrase, ...]] = []
    for row in (*table.rows, None):
        if isinstance(row, tuple):
            section.append(row)
            continue
        if section:
            parts.append(_grid(table, section))
            section = []
        if row is not None:
            parts.append(_phrase(row.text))
    return "\n".join(parts) if table.rows else f"{parts[0]}\n(none)"


def _grid(table: Table, rows: list[tuple[Phrase, ...]]) -> str:
    """Draw rows with rich, which wraps and aligns by the width that letters have on the screen."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    plain = table.columns == ("fact", "value")
    grid = Grid(box=None if plain else SIMPLE_HEAD, show_header=not plain, pad_edge=False)
    for index, name in enumerate(table.columns):
        numeric = index in table.numeric
        grid.add_column(Text(name), justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for row in rows:
        grid.add_row(*(Text(_phrase(cell)) for cell in row))  # Text: a name in brackets is no markup of rich's
    # Nothing of the terminal or the notebook that this runs in may change what is written.
    written = io.StringIO()
    console = Console(file=written, width=_WIDTH, color_system=None, force_terminal=False, force_jupyter=False)
    console.print(grid)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()).strip("\n")
