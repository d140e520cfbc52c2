"""Classify SQL statements: which relations they lock how, and what work they do that grows with a table.

It recognises the forms that Django's schema editor writes and the common ones of hand-written migrations. What it does
not recognise is ``unknown``, never safe.
"""

from __future__ import annotations

from collections.abc import Sequence

from mig_kit.hazards import _other_statements, _table_statements
from mig_kit.hazards._words import NotRead, Reader, Word, read_statements
from mig_kit.hazards.alter_table import alter_table
from mig_kit.hazards.catalog import Catalog
from mig_kit.hazards.facts import Draft, RelationLock, StatementFacts, Work, WorkKind

__all__ = ["RelationLock", "StatementFacts", "Work", "WorkKind", "classify", "classify_one"]

_READERS = {"ALTER TABLE": alter_table, **_table_statements.READERS, **_other_statements.READERS}


def classify(sql: str, catalog: Catalog | None = None) -> tuple[StatementFacts, ...]:
    """Classify a text of one or several statements, in order.

    ``catalog``: what is known of the tables; without it the facts follow from the statement alone and assume the worst
    of PostgreSQL 15 to 18. A text that cannot be read is one statement of kind ``unknown``.
    """
    catalog = catalog or Catalog(evidence="rule")
    try:
        statements = read_statements(sql)
    except NotRead as why:
        draft = Draft(sql.strip(), catalog)
        draft.unknown(f"the text was not read: {why}")
        return (draft.facts(),)
    return tuple(_classify(text, words, catalog) for text, words in statements)


def classify_one(sql: str, catalog: Catalog | None = None) -> StatementFacts:
    """Classify a text that is one statement; several together are of kind ``unknown``."""
    found = classify(sql, catalog)
    if len(found) == 1:
        return found[0]
    draft = Draft(sql.strip(), catalog or Catalog(evidence="rule"))
    draft.unknown(f"these are {len(found)} statements, not one")
    return draft.facts()


def _classify(text: str, words: Sequence[Word], catalog: Catalog) -> StatementFacts:
    draft, reader = Draft(text, catalog), Reader(words)
    for start, read in _READERS.items():
        if reader.take(*start.split()):
            read(draft, reader)
            break
    if not draft.kinds and draft.recognised:
        draft.unknown("the statement was not recognised")
    return draft.facts()
