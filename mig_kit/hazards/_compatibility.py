"""What the rules of compatibility have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mig_kit.hazards.finding import Severity

__all__ = ["KEEP_COLUMN", "NULLABLE_FIRST", "Said", "is_not_null_check", "names_in"]

# A string, a cast with its type, an identifier; keywords PostgreSQL itself writes in capitals.
_TOKEN = re.compile(
    r"""'(?:[^']|'')*'|::\s*(?:"(?:[^"]|"")*"|[\w.]+)(?:\ (?:varying|precision|with(?:out)?\ time\ zone))?
    |"(?:[^"]|"")*"|[a-z_][\w$]*""",
    re.VERBOSE,
)
_NOT_NULL = re.compile(r'CHECK \(\(("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*) IS NOT NULL\)\)')

KEEP_COLUMN = (
    "in two releases: first take the field out of the models with SeparateDatabaseAndState(state_operations=[…]), "
    "its column nullable or with a db_default, and deploy; then drop the column in the next release"
)
NULLABLE_FIRST = (
    "give it a db_default (Django 5.0 and later), which stays in the database; or add it with null=True, deploy code "
    "that fills it, and set NOT NULL in the next release"
)


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that a rule has to say of one relation."""

    id: str
    severity: Severity
    relation: str | None
    message: str
    hint: str


def is_not_null_check(definition: str) -> str | None:
    """Return the column of a CHECK that says no more than that it is not NULL, else None."""
    found = _NOT_NULL.fullmatch(definition)
    return _bare(found[1]) if found else None


def names_in(definition: str) -> frozenset[str]:
    """Return the identifiers in a definition that may be columns: not those of functions and types."""
    found = set()
    for match in _TOKEN.finditer(definition):
        word = match[0]
        if word.startswith(("'", "::")) or definition[match.end() : match.end() + 1] == "(":
            continue
        found.add(_bare(word))
    return frozenset(found)


def _bare(word: str) -> str:
    return word[1:-1].replace('""', '"') if word.startswith('"') else word
