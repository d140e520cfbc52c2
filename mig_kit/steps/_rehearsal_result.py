"""Make the result of a rehearsal of what its passes over the copy left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mig_kit.hazards.assessment import Verdict, VerdictKind
from mig_kit.hazards.lock_safety import TableSize
from mig_kit.hazards.old_release import OldRelease
from mig_kit.steps._migration_run import MigrationRun, sha256_of
from mig_kit.steps._rehearsal import Outcome, RehearsedMigration
from mig_kit.steps._rehearsal_events import RunRecord
from mig_kit.steps._rehearsal_run import Passes, Trip, changes
from mig_kit.steps._rehearsal_verdicts import compatibility, findings_of, lock_safety, way_back_of
from mig_kit.steps._rehearsed_statement import RehearsedStatement
from mig_kit.steps._way_back import BackOutcome, WayBack
from mig_kit.steps.apply import PlannedMigration

__all__ = ["Sizes", "key_of", "rehearsed", "signals"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """State how large the tables are in production (``rows``, ``bytes``), and how many rows each has in the copy.

    All by ``schema.table``; what the backup does not say is taken from the copy. ``lacking``: those that have rows, and
    none of them in the copy; ``partial``: not every row of every table is there.
    """

    rows: Mapping[str, int]
    bytes: Mapping[str, int]
    in_copy: Mapping[str, int]
    lacking: frozenset[str] = frozenset()
    partial: bool = False

    def of(self, record: RunRecord) -> dict[str, TableSize]:
        """Return the size of each relation by the labels it had in the run, those that the plan made included."""
        found = {}
        for label, state in record.began_with.items():
            key = f"{state.schema}.{state.name}"
            found[label] = TableSize(
                size_bytes=self.bytes.get(key, state.size),
                rows=self.rows.get(key),
                is_table=state.kind in "rpmfv",
            )
        found |= {now: found[was] for now, was in record.renamed.items() if was in found}
        return found | {label: TableSize(existed=False) for label in record.made}

    def rows_in_copy(self, record: RunRecord, label: str) -> int | None:
        """Return how many rows a table has in the copy, None where that is not known."""
        return self.in_copy.get(key_of(record, label))

    def lacks(self, record: RunRecord, label: str) -> bool:
        """Tell whether a table's rows were left out."""
        return key_of(record, label) in self.lacking


def key_of(record: RunRecord, label: str) -> str:
    """Return a table as ``schema.table``, by the name it had before the plan; '' for what the plan made."""
    state = record.began_with.get(record.renamed.get(label, label))
    return "" if state is None else f"{state.schema}.{state.name}"


def rehearsed(
    plan: Sequence[PlannedMigration], passes: Passes, sizes: Sizes, *, tried: bool, files: Mapping[str, str]
) -> tuple[RehearsedMigration, ...]:
    """Return each planned migration with what was measured of it.

    ``tried``: the way back was asked for. ``files``: those of the migrations that were not begun, by their names.
    """
    record = passes.record
    assert record is not None
    by_label = sizes.of(record)
    first = next(iter(passes.trips.values()), None)
    old = OldRelease.of(tuple(first.schema_before.relations) if first else ())
    found = []
    for each in plan:
        trip = passes.trips.get((each.app, each.name))
        if trip is None:
            found.append(_not_begun(each, files.get(str(each), "")))
            continue
        found.append(_one(trip, record, sizes, by_label, old, tried))
        if trip.schema_after is not None:
            old = old.after(changes(trip.schema_before, trip.schema_after))
    return tuple(found)


def signals(passes: Passes, sizes: Sizes) -> tuple[RehearsedStatement, ...]:
    """Return what ran around the migrations, forwards."""
    assert passes.record is not None
    return _statements(passes.record.outside, passes.record, sizes)


def _one(
    trip: Trip, record: RunRecord, sizes: Sizes, by_label: Mapping[str, TableSize], old: OldRelease, tried: bool
) -> RehearsedMigration:
    run = trip.forwards
    statements = _statements(run, record, sizes)
    back = way_back_of(trip, _statements(trip.backwards, record, sizes), tried)
    safety = lock_safety(statements, by_label, trip.error)
    compatible, incompatibilities = compatibility(trip, old)
    refused = trip.backwards.refused if trip.backwards is not None else ()
    return RehearsedMigration(
        app=run.app,
        name=run.name,
        atomic=run.atomic,
        outcome=Outcome.DONE if run.done else Outcome.FAILED,
        error=trip.error,
        began_ms=run.at,
        ms=run.ms,
        commit_ms=run.commit_ms,
        statements=statements,
        schema_changes=changes(trip.schema_before, trip.schema_after),
        values_changed=trip.values_changed,
        lock_safety=safety,
        compatibility=compatible,
        reversible={BackOutcome.DONE: True, BackOutcome.NOT_TRIED: None}.get(back.outcome, False),
        way_back=back,
        findings=findings_of(
            run,
            statements,
            by_label,
            back,
            trip.error,
            trip.values_changed,
            refused,
            left=trip.left,
            partial=sizes.partial,
        )
        + incompatibilities,
        file=run.file,
        sha256=run.sha256,
    )


def _not_begun(planned: PlannedMigration, file: str) -> RehearsedMigration:
    unknown = Verdict(VerdictKind.UNKNOWN, "one before it failed on the copy", "unknown")
    return RehearsedMigration(
        app=planned.app,
        name=planned.name,
        atomic=True,
        outcome=Outcome.NOT_BEGUN,
        error="",
        began_ms=0.0,
        ms=0.0,
        commit_ms=0.0,
        statements=(),
        schema_changes=(),
        values_changed=(),
        lock_safety=unknown,
        compatibility=unknown,
        reversible=None,
        way_back=WayBack(outcome=BackOutcome.NOT_TRIED, error="it never ran"),
        findings=(),
        file=file,
        sha256=sha256_of(file),
    )


def _statements(run: MigrationRun | None, record: RunRecord, sizes: Sizes) -> tuple[RehearsedStatement, ...]:
    if run is None:
        return ()
    return tuple(
        each.finished(lambda label: sizes.rows_in_copy(record, label), lambda label: sizes.lacks(record, label))
        for each in run.statements
    )
