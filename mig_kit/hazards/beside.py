"""What a check knows of each statement, found again by the statement's text: for whoever shows the SQL itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mig_kit.hazards._words import NotRead, read_statements
from mig_kit.hazards.assessment import AssessedStatement

__all__ = ["beside"]

_WORST_FIRST = ("unknown", "rule", "catalog", "measured")


def beside(texts: Iterable[str], assessed: Sequence[AssessedStatement]) -> tuple[AssessedStatement | None, ...]:
    """Return for each text what is known of it, None where it is not among the assessed statements.

    A text may be several statements: then it is all of them together.
    """
    known = {_plain(each.sql): each for each in assessed}
    return tuple(_of(text, known) for text in texts)


def _of(text: str, known: dict[str, AssessedStatement]) -> AssessedStatement | None:
    try:
        parts = [statement for statement, _words in read_statements(text)]
    except NotRead:
        parts = [text]
    found = [known.get(_plain(part)) for part in parts]
    several = [each for each in found if each is not None]
    if not several or len(several) < len(found):
        return None
    if len(several) == 1:
        return several[0]
    return replace(
        several[0],
        sql=text.strip(),
        locks=tuple(dict.fromkeys(lock for each in several for lock in each.locks)),
        work=tuple(dict.fromkeys(work for each in several for work in each.work)),
        evidence=min((each.evidence for each in several), key=_WORST_FIRST.index),
        note="; ".join(each.note for each in several if each.note),
    )


def _plain(sql: str) -> str:
    return " ".join(sql.split()).rstrip("; ")
