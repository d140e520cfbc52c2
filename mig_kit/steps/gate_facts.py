"""What was established about a plan, kept where another process finds it: in ``.mig/gates.jsonl`` of the project.

The file is a journal: private to the user, hash-chained, flushed. Each fact is bound to the database by its identity
and to the plan by its hashes, so that one that is out of date is about something else, and opens nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mig_kit import errors
from mig_kit.postgres.identity import identify
from mig_kit.record import Journal, hidden_folder, verify
from mig_kit.steps._manifest import made_by
from mig_kit.steps.target import Target

__all__ = ["ACKNOWLEDGED", "BEGUN", "OVERRIDDEN", "REHEARSED", "REVIEWED", "SCHEMA", "Fact", "Facts", "database_key"]

ACKNOWLEDGED = "finding acknowledged"
"""finding, migration, sha256, reason."""

BEGUN = "plan begun"
"""plan (lines), backwards, backups (checksums): every gate was passed and the plan was let run."""

OVERRIDDEN = "gate overridden"
"""gate, step, plan (sha256), reason. Kept for the record; it opens nothing in another session."""

REHEARSED = "plan rehearsed"
"""plan (lines), backwards, backup (checksum), backup_name, passed, mode, points, migrations ({label: [file, back]}).

The last says of each that ran forwards how its own way back went, by the hash of its file."""

REVIEWED = "plan shown"
"""step ("apply" or the one that shows its own plan), plan (lines): somebody was shown the SQL of each of these."""

SCHEMA = "schema at backup"
"""backup (checksum), schema (its digest, the same before the backup and after it)."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was established: what, when, by whom."""

    kind: str
    at: datetime
    by: str
    data: Mapping[str, Any]


@dataclass
class Facts:
    """Keep facts and give them back, the newest first.

    ``path``: None keeps them in memory. ``record``: the journal of the run, where each is written as well.
    """

    path: Path | None = None
    record: Journal | None = None
    _own: list[tuple[str, Fact]] = field(default_factory=list)

    @classmethod
    def below(cls, root: Path, record: Journal | None = None) -> Facts:
        """Return those of the project at ``root``; the file is made with the first one."""
        return cls(root / ".mig" / "gates.jsonl", record)

    def add(self, kind: str, database: str, **data: Any) -> Fact:
        """Keep a fact about a database; ``RecordError`` when it cannot be written: then it is not kept."""
        by = made_by()
        if self.record is not None and kind != SCHEMA:  # that one is long, and says nothing to people
            self.record.append(kind, **data)
        if self.path is None:
            fact = Fact(kind, datetime.now(UTC), by, data)
            self._own.append((database, fact))
            return fact
        try:
            hidden_folder(self.path.parent.parent)
        except OSError as exc:
            raise errors.RecordError(
                f"The folder {self.path.parent} could not be made: {exc.strerror or exc}.",
                hint="check the folder's permissions and the disk's free space",
            ) from exc
        entry = Journal(self.path).append(kind, for_database=database, by=by, **data)
        return Fact(kind, entry.at, by, data)

    def of(self, kind: str, database: str) -> tuple[Fact, ...]:
        """Return the facts of a kind about a database, the newest first; none while ``trouble`` says something."""
        if self.path is None:
            found = [fact for key, fact in self._own if fact.kind == kind and key == database]
            return tuple(reversed(found))
        if self.trouble:
            return ()
        entries = reversed(Journal(self.path).entries())
        return tuple(
            Fact(each.kind, each.at, str(each.data.get("by", "")), each.data)
            for each in entries
            if each.kind == kind and each.data.get("for_database") == database
        )

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing was ever kept."""
        return not self._own if self.path is None else not self.path.exists()

    @property
    def trouble(self) -> str:
        """Why nothing of what is kept counts, '' while it does: it was changed, or cannot be read."""
        if self.path is None or not self.path.exists():
            return ""
        try:
            problems = verify(self.path)
        except errors.RecordError as exc:
            return exc.message
        torn = [each for each in problems if each.id != "torn"]  # the next one that is kept sets a torn line aside
        return f"{torn[0].message} Nothing in {self.path} counts; move it away." if torn else ""


def database_key(target: Target) -> str:
    """Return what stands for the database: its server's identity and its oid, so that a new one is another one."""
    if target.info is None:
        place = target.description["databases"][target.database]
        return f"{target.vendor} {place.get('HOST', '')} {place.get('PORT', '')} {place.get('NAME', '')}"
    with contextlib.closing(target.connect("gates")) as connection:
        found = identify(connection)
    server = found.system or target.info.address
    return f"postgresql {server} {found.oid} {found.name}"
