"""Hold an apply to its rehearsal: after each migration the schema has to have changed as it did there."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import psycopg

from mig_kit import errors
from mig_kit.postgres.schema import Schema, SchemaChange, read_schema, schema_changes
from mig_kit.record import redact
from mig_kit.steps.done_check import file_sha256
from mig_kit.steps.gate_facts import Fact
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    from mig_kit.steps.rehearse import Rehearsal

__all__ = ["AsRehearsed", "rehearsed_facts"]

Line = tuple[str, str, str, str]


def rehearsed_facts(rehearsal: Rehearsal) -> dict[str, Any]:
    """Return as plain data what ``AsRehearsed`` needs of a rehearsal: label → its time, and what the schema became."""
    major = rehearsal.schema.major if rehearsal.schema is not None else 0
    return {
        str(each): {
            "ms": round(each.ms, 3),
            "major": major,
            "changes": [list(line) for line in _lines(each.schema_changes)],
        }
        for each in rehearsal.migrations
    }


def _lines(changes: Sequence[SchemaChange]) -> list[Line]:
    """Return each change as its kind, its table, the name of its part, and in words; what the words hide is masked."""
    found = []
    for each in changes:
        part = each.name or getattr(each.after, "name", None) or ""
        if each.matters:
            found.append((str(each.kind), each.relation or "", str(part), redact(str(each))))
    return found


class AsRehearsed:
    """Compare what a migration makes of the live schema with what it made of the copy; call it after each.

    ``facts``: of rehearsals of this database, the newest first. A migration counts as rehearsed when one of them knows
    its file as it is now. Changes of other tables meanwhile are none of its doing and are passed over. Where the schema
    cannot be read in time, nothing is said.
    """

    def __init__(self, target: Target, facts: Sequence[Fact]) -> None:
        self._target = target
        self._went: dict[str, Mapping[str, Any]] = {}
        nodes = target.ask("graph")["nodes"] if facts else []
        files = {f"{each['app']}.{each['name']}": each["file"] for each in nodes}
        for fact in reversed(facts):
            for label, went in fact.data.get("went", {}).items():
                known: Any = fact.data["migrations"]
                if label in files and known[label][0] == file_sha256(files[label] or ""):
                    self._went[label] = went
        self._before = self._read() if self._went else None

    def __bool__(self) -> bool:
        return bool(self._went)

    @property
    def expected_ms(self) -> dict[str, float]:
        """How long each migration took there, in milliseconds."""
        return {label: float(went["ms"]) for label, went in self._went.items()}

    def __call__(self, app: str, name: str, backwards: bool) -> str | None:
        """Return in a sentence how the schema differs from what was rehearsed, None where it does not."""
        before, self._before = self._before, self._read() if self._went else None
        went = self._went.get(f"{app}.{name}")
        if backwards or went is None or before is None or self._before is None:
            return None
        # Another version of PostgreSQL may word a definition in another way; the name of its part is the same.
        compared = 4 if went["major"] == self._before.major else 3
        wanted = {tuple(line[:compared]): line[3] for line in went["changes"]}
        came = {line[:compared]: line[3] for line in _lines(schema_changes(before, self._before))}
        touched = {key[1] for key in wanted}
        missing = [f"when it was rehearsed, {words}; not here" for key, words in wanted.items() if key not in came]
        extra = {key: words for key, words in came.items() if key not in wanted and key[1] in touched}
        found = missing + [f"{words}; not so when it was rehearsed" for words in extra.values()]
        more = f"; and {len(found) - 3} more differences" if len(found) > 3 else ""
        return "; ".join(found[:3]) + more if found else None

    def _read(self) -> Schema | None:
        with (
            contextlib.suppress(psycopg.Error, errors.MigKitError),
            contextlib.closing(self._target.connect("apply")) as conn,
            conn.transaction(),
        ):
            conn.execute("SET TRANSACTION READ ONLY")
            conn.execute("SET LOCAL lock_timeout = '2s'")
            conn.execute("SET LOCAL statement_timeout = '30s'")
            return read_schema(conn)
        return None
