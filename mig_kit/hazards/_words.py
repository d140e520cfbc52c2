"""An SQL text as words, by sqlparse's lexer: enough to recognise a statement's form, without a grammar.

What the lexer cannot be trusted with (a backslash before a quote, MySQL's ``#`` comments, a very long text) is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

__all__ = ["NotRead", "Reader", "Word", "read_statements", "split_at_commas"]

# The lexer takes about a second for 300 kB, and what is that long is data.
_LONGEST = 100_000


class NotRead(Exception):
    """The text was not read; the argument says why."""


class Word(NamedTuple):
    """One word: as written, and what it is (``word``, ``quoted`` identifier, ``string``, ``number``, ``sign``)."""

    text: str
    kind: str

    @property
    def key(self) -> str:
        """A bare word in capitals, anything else as written."""
        return self.text.upper() if self.kind == "word" else self.text

    @property
    def name(self) -> str | None:
        """What it names as an identifier: folded to lower case unless quoted; None when it is none."""
        if self.kind == "quoted":
            return self.text[1:-1].replace('""', '"')
        return self.text.lower() if self.kind == "word" else None


@lru_cache(maxsize=2048)
def read_statements(sql: str) -> tuple[tuple[str, tuple[Word, ...]], ...]:
    """Split a text into statements, each as written and as words, comments left out; raises NotRead.

    Kept: one statement is read for what it locks, and again for what it leaves behind.
    """
    from sqlparse import lexer

    if len(sql) > _LONGEST:
        raise NotRead(f"it is longer than {_LONGEST // 1000} kB")
    if "\\'" in sql or '\\"' in sql:
        raise NotRead("a backslash stands before a quote, which can be read in two ways")
    found: list[tuple[str, list[Word]]] = []
    text: list[str] = []
    words: list[Word] = []
    for kind, value in lexer.tokenize(sql):  # type: ignore[no-untyped-call]
        if value == ";":
            found.append(("".join(text).strip(), words))
            text, words = [], []
            continue
        text.append(value)
        if value.startswith("#"):
            raise NotRead("it holds a '#', which can be read in two ways")
        if value.isspace() or "Comment" in str(kind):
            continue
        words += _words(value, str(kind))
    found.append(("".join(text).strip(), words))
    return tuple((statement, tuple(words)) for statement, words in found if words)


def _words(value: str, kind: str) -> list[Word]:
    if value[0] == '"':
        return [Word(value, "quoted")]
    if value[0] in "'$" or "Literal.String" in kind:
        return [Word(value, "string")]
    if "Number" in kind:
        return [Word(value, "number")]
    if value[0].isalpha() or value[0] == "_":
        return [Word(each, "word") for each in value.split()]  # the lexer keeps NOT NULL and the like together
    return [Word(value, "sign")]


class Reader:
    """Walk through words; every method that finds nothing leaves the place as it is."""

    def __init__(self, words: Sequence[Word]) -> None:
        self.words = list(words)
        self.at = 0

    def __bool__(self) -> bool:
        return self.at < len(self.words)

    @property
    def rest(self) -> list[Word]:
        """The words not yet read."""
        return self.words[self.at :]

    def peek(self, ahead: int = 0) -> str:
        """Return a coming word's key, '' at the end."""
        place = self.at + ahead
        return self.words[place].key if place < len(self.words) else ""

    def take(self, *keys: str) -> bool:
        """Step over these words if they come next."""
        if all(self.peek(n) == key for n, key in enumerate(keys)):
            self.at += len(keys)
            return True
        return False

    def take_any(self, *phrases: str) -> str:
        """Step over the first of these phrases that comes next and return it, else ''."""
        return next((phrase for phrase in phrases if self.take(*phrase.split())), "")

    def identifier(self) -> str | None:
        """Read one identifier."""
        name = self.words[self.at].name if self else None
        if name is not None:
            self.at += 1
        return name

    def relation(self) -> str | None:
        """Read ``name`` or ``schema.name``, unquoted; None for anything else."""
        name = self.identifier()
        if name is None:
            return None
        if self.take("."):
            second = self.identifier()
            if second is None or self.peek() == ".":
                return None
            return f"{name}.{second}"
        return name

    def relations(self) -> list[str] | None:
        """Read relations with commas between."""
        found = []
        while True:
            name = self.relation()
            if name is None:
                return None
            found.append(name)
            if not self.take(","):
                return found

    def parentheses(self) -> list[Word] | None:
        """Read ``( … )`` and return the words inside."""
        if self.peek() != "(":
            return None
        depth = 0
        for place in range(self.at, len(self.words)):
            depth += {"(": 1, ")": -1}.get(self.words[place].text, 0)
            if depth == 0:
                inside = self.words[self.at + 1 : place]
                self.at = place + 1
                return inside
        return None

    def names_in_parentheses(self) -> list[str] | None:
        """Read ``(a, b)`` and return the identifiers, None when something else is inside."""
        inside = self.parentheses()
        if inside is None:
            return None
        names = [part[0].name if len(part) == 1 else None for part in split_at_commas(inside)]
        return [name for name in names if name is not None] if None not in names else None

    def until(self, *keys: str) -> list[Word]:
        """Read up to one of these words outside of parentheses, or to the end."""
        start = self.at
        while self and self.peek() not in keys:
            if self.parentheses() is None:
                self.at += 1
        return self.words[start : self.at]


def split_at_commas(words: Sequence[Word]) -> list[list[Word]]:
    """Split at the commas outside of parentheses and brackets."""
    parts: list[list[Word]] = [[]]
    depth = 0
    for word in words:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(word.text, 0)
        if word.text == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts
