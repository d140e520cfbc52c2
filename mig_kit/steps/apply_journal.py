"""What an apply writes down: each thing before it happens and after, so that whatever dies, it is known where."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from mig_kit.record import Journal

__all__ = [
    "ANNOUNCED",
    "DEFERRED",
    "ENDED",
    "MIGRATION",
    "MIGRATION_DONE",
    "MIGRATION_UNDONE",
    "OPERATION",
    "OPERATION_DONE",
    "REFUSED",
    "STATEMENT",
    "STATEMENT_DONE",
    "ApplyJournal",
    "fingerprint",
]

# The kinds of entries, in the order in which an apply writes them.
ANNOUNCED = "apply announced"  # the plan, the database, the server process that migrates
MIGRATION = "migration announced"
OPERATION = "operation announced"  # of a migration that is not atomic, with its transaction's number where it has one
DEFERRED = "deferred announced"  # statements of it that Django holds back; before its transaction ends
OPERATION_DONE = "operation done"
STATEMENT = "statement announced"  # one that is a step of its own; before its transaction begins to wait
STATEMENT_DONE = "statement done"
MIGRATION_DONE = "migration applied"
MIGRATION_UNDONE = "migration taken back"
ENDED = "apply ended"  # nothing of it runs any more, and nothing was left half done

REFUSED = "refused"
"""How an apply ended that was refused before anything ran."""

_SAME = {"operation": OPERATION, "operation done": OPERATION_DONE, "retry": "tried again", "leftover": "index dropped"}


class ApplyJournal:
    """Write an apply's events to a journal; each is on the disk when the call returns.

    Give it as ``on_event``: then nothing is begun that could not be written down. Statements are redacted as all of
    the journal is; beside each that is a step of its own stands the fingerprint of what was really sent.
    """

    def __init__(self, journal: Journal, step: str = "apply") -> None:
        self._journal = journal
        self._step = step

    def __call__(self, event: str, data: Mapping[str, Any]) -> None:
        """Write what an event says; one that says nothing of where things stand is not written."""
        given = dict(data)
        if event == "backend":
            self._journal.append(ANNOUNCED, step=self._step, **given)
        elif event == "begin":
            self._journal.append(MIGRATION, **given)
        elif event in _SAME:
            self._journal.append(_SAME[event], **given)
        elif event == "deferred":
            self._journal.append(DEFERRED, **given)
        elif event in ("statement begins", "deferred begins"):
            part = event.partition(" ")[0]
            self._journal.append(STATEMENT, part=part, fingerprint=fingerprint(given["sql"]), **given)
        elif event in ("statement done", "deferred done"):
            given.pop("left", None)
            self._journal.append(STATEMENT_DONE, part=event.partition(" ")[0], **given)
        elif event == "statement":
            self._journal.append("statement", **{**given, "ms": round(given["ms"], 3)})
        elif event == "done":
            kind = MIGRATION_UNDONE if given["backwards"] else MIGRATION_DONE
            facts = {"app": given["app"], "name": given["name"], "duration_ms": round(given["ms"], 3)}
            self._journal.append(kind, **facts, **({"fake": True} if given.get("fake") else {}))

    def ended(self, how: str) -> None:
        """Write that the apply is over and left nothing half done: it ran through, or what failed was rolled back."""
        self._journal.append(ENDED, step=self._step, how=how)


def fingerprint(statement: str) -> str:
    """Return the SHA-256 of a statement as it was sent."""
    return hashlib.sha256(statement.encode("utf-8", "surrogatepass")).hexdigest()
