"""What follows from what was measured: the verdicts and the findings, migration by migration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mig_kit.hazards.assessment import Verdict, VerdictKind
from mig_kit.hazards.compatibility import judge_compatibility
from mig_kit.hazards.finding import Finding, Severity
from mig_kit.hazards.lock_safety import TableSize, judge_locks
from mig_kit.hazards.old_release import OldRelease
from mig_kit.postgres.schema import SchemaChange
from mig_kit.steps._migration_run import MigrationRun
from mig_kit.steps._rehearsal_locks import Maker, first_line, lock_findings
from mig_kit.steps._rehearsal_run import Trip, changes, own_changes
from mig_kit.steps._rehearsed_statement import Observed, RehearsedStatement
from mig_kit.steps._way_back import BackOutcome, ValuesChanged, WayBack

__all__ = ["compatibility", "findings_of", "lock_safety", "way_back_of"]


def lock_safety(statements: Sequence[RehearsedStatement], sizes: Mapping[str, TableSize], error: str) -> Verdict:
    """Return the verdict; what a failed migration would have done after its failure is unknown."""
    unknown = [f"it failed on the copy: {error}"] if error else []
    for each in statements:
        if each.observed is Observed.NOT and _matters(each):
            unknown.append(f"its locks were not looked at: {each.sql}")
    looked_at = [each.assessed for each in statements if each.observed is not Observed.NOT]
    return judge_locks(looked_at, sizes, unknown=unknown)


def compatibility(trip: Trip, old: OldRelease) -> tuple[Verdict, tuple[Finding, ...]]:
    """Return the verdict on the running release, and its findings; a migration that failed has none."""
    if trip.schema_after is None:
        return Verdict(VerdictKind.UNKNOWN, "it failed on the copy", "unknown"), ()
    run = trip.forwards
    found = changes(trip.schema_before, trip.schema_after)
    return judge_compatibility(run.app, run.name, found, old, evidence="measured")


def way_back_of(trip: Trip, statements: Sequence[RehearsedStatement], tried: bool) -> WayBack:
    """Return how the way back of one migration went."""
    if trip.back_error:
        kind = BackOutcome.IRREVERSIBLE if trip.back_kind == "IrreversibleError" else BackOutcome.RAISED
        ms = trip.backwards.ms if trip.backwards else 0.0
        return WayBack(outcome=kind, error=trip.back_error, ms=ms, statements=tuple(statements))
    if trip.backwards is None or trip.schema_back is None:
        why = "" if not tried else "one after it could not be taken back" if not trip.error else "it failed forwards"
        return WayBack(outcome=BackOutcome.NOT_TRIED, error=why)
    assert trip.schema_after is not None
    not_back = own_changes(changes(trip.schema_before, trip.schema_back), changes(trip.schema_after, trip.back_from))
    return WayBack(
        outcome=BackOutcome.DONE,
        ms=trip.backwards.ms,
        statements=tuple(statements),
        schema_changes=not_back,
        lost=trip.lost,
        compared=trip.before is not None,
        again_ms=trip.again.ms if trip.again is not None else None,
        again_error=trip.again_error,
        again_changes=own_changes(
            changes(trip.schema_after, trip.schema_again),
            own_changes(changes(trip.schema_before, trip.again_from), not_back),
        ),
    )


def findings_of(
    run: MigrationRun,
    statements: Sequence[RehearsedStatement],
    sizes: Mapping[str, TableSize],
    back: WayBack,
    error: str,
    values_changed: Sequence[ValuesChanged],
    backwards_refused: Sequence[str] = (),
    *,
    left: Sequence[SchemaChange] = (),
    partial: bool = False,
) -> tuple[Finding, ...]:
    """Return what a person should look at in what was measured, the locks first.

    ``left``: what a migration that failed has changed all the same. ``partial``: rows were left out.
    """
    make = Maker(run.app, run.name)
    found = list(lock_findings(make, statements, sizes))
    if error:
        at = statements[-1].operation if statements and statements[-1].error else ""
        message, hint = f"It failed on the copy: {error}", "mend the migration, then rehearse it again"
        if left:
            message += f" What it did before that stays done: {'; '.join(map(str, left))}."
        if partial:
            message += " That may be for want of the rows that were left out of this copy."
            hint = "rehearse it with all of the rows, on a server that has the space, or " + hint
        found.append(make("MK521", Severity.ERROR, at, message, hint, evidence="unknown" if partial else "measured"))
    found += _back_findings(make, back)
    found += _cut_findings(make, statements, values_changed, back)
    for what in dict.fromkeys((*run.refused, *backwards_refused)):
        message = f"It tried to reach something else than its own database: {what}. The rehearsal refused that."
        found.append(
            make("MK531", Severity.ERROR, "", message, "look at what it does there: in production it would get through")
        )
    for each in statements:
        if each.unknown:
            hint = "rehearse it with all of the rows, on a server that has the space"
            message = f"{first_line(each.sql)}: {each.unknown}."
            found.append(make("MK532", Severity.WARNING, each.operation, message, hint, evidence="unknown"))
        elif each.observed is Observed.NOT and _matters(each):
            message = f"What this locks was not looked at: {each.sql}"
            hint = "let it run by schema_editor.execute() or by the connection's own cursor"
            found.append(make("MK532", Severity.WARNING, each.operation, message, hint, evidence="unknown"))
    return tuple(found)


def _back_findings(make: Maker, back: WayBack) -> Iterable[Finding]:
    if back.outcome is BackOutcome.IRREVERSIBLE:
        message = f"It cannot be taken back: {back.error}"
        hint = "write its reverse, or be sure that the way back is to restore the backup"
        yield make("MK522", Severity.WARNING, "", message, hint)
    elif back.outcome is BackOutcome.RAISED:
        at = next((each.operation for each in reversed(back.statements) if each.error), "")
        message = f"It says it can be taken back, and failed when it was tried: {back.error}"
        yield make("MK523", Severity.ERROR, at, message, "mend its reverse, then rehearse it again")
    for change in back.schema_changes:
        message = f"Taken back, the schema is not as it was: {change}."
        hint = "let the reverse restore that, or know that it does not"
        yield make("MK524", Severity.WARNING, "", message, hint, relation=change.relation)
    if back.again_error:
        message = f"Taken back, it does not run again: {back.again_error}"
        yield make("MK524", Severity.ERROR, "", message, "mend its reverse, then rehearse it again")
    for change in back.again_changes:
        message = f"Run again after it was taken back, it ends in another schema: {change}."
        yield make(
            "MK524", Severity.WARNING, "", message, "mend its reverse, then rehearse it again", relation=change.relation
        )
    for loss in back.lost:
        message = f"Taken back, it has lost data: {loss}."
        hint = "do not take it back once it is applied without the backup at hand"
        yield make("MK525", Severity.WARNING, "", message, hint, relation=loss.table)


def _cut_findings(
    make: Maker, statements: Sequence[RehearsedStatement], changed: Sequence[ValuesChanged], back: WayBack
) -> Iterable[Finding]:
    """Say where values are others though no statement changed rows: a cast did that."""
    lost = {(each.table, each.column) for each in back.lost}
    by_statements = {change.relation for each in statements for change in each.seen.rows}
    for each in changed:
        came_back = back.outcome is BackOutcome.DONE and back.compared and (each.table, each.column) not in lost
        if each.table in by_statements or came_back:
            continue
        message = f"{each}, by a change of type alone: its cast cuts or rounds them, or writes them in another way."
        hint = "compare the values before and after on a copy; keep the old column until you are sure"
        yield make("MK526", Severity.WARNING, "", message, hint, relation=each.table)


def _matters(statement: RehearsedStatement) -> bool:
    return not statement.sql.lstrip().upper().startswith(("SELECT", "FETCH", "DECLARE", "SHOW"))
