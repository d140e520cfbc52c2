"""Definitions as PostgreSQL writes them, compared by their words: what a rename alone changes is no difference."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["same_text", "same_view", "unhashed", "without_cast"]

_WORD = re.compile(
    r"""'(?:[^']|'')*'::regclass|'(?:[^']|'')*'|"(?:[^"]|"")*"|[^\W\d][\w$]*|[\d.]+|\s+|.""", re.VERBOSE | re.DOTALL
)
_CAST = re.compile(r"::[a-z_\"][\w \".]*(?:\(\d+(?:,\d+)?\))?(?:\[\])?$")
# What Django's names_digest puts into the names of indexes and constraints: eight hexadecimal digits.
_HASH = re.compile(r"_[0-9a-f]{8}(?=_|$)")

_REGCLASS = "'::regclass"


def same_text(before: str | None, after: str | None, renamed: Mapping[str, str]) -> bool:
    """Tell whether two definitions say the same, when each name in the first may have become that of now."""
    if before == after:
        return True
    return before is not None and after is not None and bool(renamed) and _same(_words(before), _words(after), renamed)


def same_view(before: str | None, after: str | None, renamed: Mapping[str, str], *, qualified: bool) -> bool:
    """Tell the same of the queries of two views.

    A column that is renamed below a view stands there as ``new AS old``. Without ``qualified``, names count without
    what stands before their dot: up to PostgreSQL 15 a view's only table stands before each column, and later not.
    """
    if before == after:
        return True
    if before is None or after is None:
        return False
    old, new = _words(before), _words(after)
    if not qualified:
        old, new = _unqualified(old), _unqualified(new)
    return _same(_without_own_names(old, renamed), _without_own_names(new, renamed), renamed)


def without_cast(default: str | None) -> str | None:
    """Return a default without the cast that ends it: it names the column's type, which may have changed."""
    return default and _CAST.sub("", default)


def unhashed(name: str) -> str:
    """Return a name without the hash that Django put into it; another version of Django hashes otherwise."""
    return _HASH.sub("_", name)


def _same(before: list[str], after: list[str], renamed: Mapping[str, str]) -> bool:
    if len(before) != len(after):
        return False
    return all(old == new or renamed.get(old) == new for old, new in zip(before, after, strict=True))


def _words(text: str) -> list[str]:
    """Return the words, identifiers without their quotes."""
    found: list[str] = []
    for match in _WORD.finditer(text):
        word = match[0]
        if word.endswith(_REGCLASS):
            found += ["'", *_words(word[1 : -len(_REGCLASS)]), _REGCLASS]
        elif word[0] == '"':
            found.append(word[1:-1].replace('""', '"'))
        elif not word.isspace():
            found.append(word)
    return found


def _unqualified(words: list[str]) -> list[str]:
    kept: list[str] = []
    for word in words:
        if word == "." and kept:
            kept.pop()
        else:
            kept.append(word)
    return kept


def _without_own_names(words: list[str], renamed: Mapping[str, str]) -> list[str]:
    """Leave out ``AS name`` where a rename alone may have brought it, or may have taken it away."""
    names = set(renamed) | set(renamed.values())
    kept: list[str] = []
    for word in words:
        if kept and kept[-1] == "AS" and word in names and len(kept) > 1 and kept[-2] in names:
            kept.pop()
        else:
            kept.append(word)
    return kept
