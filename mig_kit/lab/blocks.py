"""What a view is made of: titles, paragraphs, tables, source text, folds; each is drawn as HTML, text and Markdown.

The values in it are plain text and may come from anybody (names of apps and tables, SQL, messages): whoever draws
them escapes them, so nothing here is ever markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Block",
    "Bullets",
    "Fold",
    "Group",
    "Paragraph",
    "Phrase",
    "Picture",
    "Source",
    "Table",
    "Title",
    "Tone",
    "View",
    "Word",
    "code",
    "facts",
    "limited",
    "quiet",
    "state",
    "strong",
    "visible",
    "words",
]

Tone = Literal["good", "warn", "bad", "open"]

# A state is said in words; its tone only adds a colour where a stylesheet is at work.
_TONES: dict[str, Tone] = {
    "ok": "good",
    "holds": "good",
    "yes": "good",
    "applied": "good",
    "answered": "good",
    "ticked": "good",
    "warning": "warn",
    "info": "open",
    "error": "bad",
    "failed": "bad",
    "does not hold": "bad",
}

# Control characters would move a terminal's cursor, and bidirectional overrides show a name as another one.
_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of a phrase that is more than plain text."""

    text: str
    kind: Literal["code", "strong", "quiet", "state"]
    tone: Tone = "open"


Phrase = str | Word | tuple[str | Word, ...]


@dataclass(frozen=True, slots=True)
class Title:
    """The first line of a view, or of a part of one."""

    text: Phrase
    tone: Tone | None = None


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph; with a tone it is a notice that stands out."""

    text: Phrase
    tone: Tone | None = None


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list."""

    items: tuple[Phrase, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A row of a table that heads those below it."""

    text: Phrase


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its first column heads the rows; ``numeric`` are the indices of the columns that hold numbers."""

    caption: Phrase
    columns: tuple[str, ...]
    rows: tuple[tuple[Phrase, ...] | Group, ...]
    numeric: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Source:
    """Text to be kept as it is: "sql", "python", "diff" or "text"."""

    text: str
    language: Literal["sql", "python", "diff", "text"] = "text"


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing of mig_kit's own making, as SVG, and the words that say what is to be seen in it."""

    svg: str
    words: str


@dataclass(frozen=True, slots=True)
class Fold:
    """Evidence behind a line that opens it."""

    summary: Phrase
    blocks: tuple[Block, ...]
    open: bool = False


Block = Title | Paragraph | Bullets | Table | Source | Picture | Fold


@dataclass(frozen=True, slots=True)
class View:
    """One result as people see it."""

    blocks: tuple[Block, ...]


def words(phrase: Phrase) -> tuple[str | Word, ...]:
    """Return a phrase piece by piece."""
    return phrase if isinstance(phrase, tuple) else (phrase,)


def code(text: object) -> Word:
    """Return what stands in a file or is typed: a name, a path, a call."""
    return Word(str(text), "code")


def strong(text: object) -> Word:
    """Return a word that matters."""
    return Word(str(text), "strong")


def quiet(text: object) -> Word:
    """Return an aside."""
    return Word(str(text), "quiet")


def state(text: str, tone: Tone | None = None) -> Word:
    """Return a state in words; without a tone the one that the word has."""
    return Word(text, "state", tone or _TONES.get(text, "open"))


def facts(caption: Phrase, pairs: Iterable[tuple[str, Phrase]]) -> Table:
    """Return a table of facts and their values, without those that have none."""
    rows = tuple((name, value) for name, value in pairs if value not in ("", ()))
    return Table(caption, ("fact", "value"), rows)


def limited(
    rows: Sequence[tuple[Phrase, ...] | Group], most: int, elsewhere: str
) -> tuple[tuple[Phrase, ...] | Group, ...]:
    """Return the first ``most`` rows, with a last one that says how many more there are and where."""
    if len(rows) <= most:
        return tuple(rows)
    return (*rows[:most], Group(f"… and {len(rows) - most:,} more: {elsewhere}"))


def visible(text: str) -> str:
    """Return text with its control characters and bidirectional marks spelled out."""
    return _HIDDEN.sub(lambda found: ascii(found[0])[1:-1], text.replace("\r\n", "\n"))
