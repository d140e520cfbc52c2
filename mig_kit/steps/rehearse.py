"""Rehearse: run the plan on a restored copy, forwards, backwards and forwards again, and measure each statement."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo
from mig_kit.postgres.archive import open_archive
from mig_kit.progress import ProgressCallback
from mig_kit.steps._rehearsal import Outcome, Rehearsal, RehearsalMode, RehearsedMigration
from mig_kit.steps._rehearsal_backup import rehearsal_backup
from mig_kit.steps._rehearsal_data import Data, Limits, choose_data
from mig_kit.steps._rehearsal_databases import places
from mig_kit.steps._rehearsal_result import signals
from mig_kit.steps._rehearsal_stage import Saying
from mig_kit.steps._rehearsal_staged import Staged
from mig_kit.steps._rehearsed_statement import Extrapolated, Observed, RehearsedLock, RehearsedStatement
from mig_kit.steps._restored import Restored, kept_as, named_scratch, restored_template, scratch_for
from mig_kit.steps._way_back import BackOutcome, Loss, ValuesChanged, WayBack
from mig_kit.steps.apply import plan
from mig_kit.steps.backup import Backup
from mig_kit.steps.plan_hash import hash_pending
from mig_kit.steps.target import Target

__all__ = [
    "BackOutcome",
    "Extrapolated",
    "Loss",
    "Observed",
    "Outcome",
    "Rehearsal",
    "RehearsalMode",
    "RehearsedLock",
    "RehearsedMigration",
    "RehearsedStatement",
    "ValuesChanged",
    "WayBack",
    "rehearse",
]


def rehearse(
    target: Target,
    app: str | None = None,
    name: str | None = None,
    *,
    backup: Backup | None = None,
    backwards: bool = True,
    mode: RehearsalMode | str | None = None,
    limit_bytes: int | None = None,
    scratch: str | ConnectionInfo | None = None,
    without_extensions: bool = False,
    other_databases: bool = False,
    progress: ProgressCallback | None = None,
) -> Rehearsal:
    """Run all pending migrations, one app's, or those up to one, on a restored copy, and say what each did.

    The copy is of ``backup``, or of the latest verified one of this database, which has to be newer than the last
    applied migration. Unless ``backwards`` is False each migration is then taken back, as far as it can be, and run
    again. A migration that fails is a result, not an error. The real database is asked for its plan, its history and
    its catalog, and the process that runs the migrations can reach nothing but the copy, which is dropped at the end.

    Where the whole database does not fit the scratch server's disk, or ``limit_bytes``, less of it is restored, or what
    ``mode`` says: "full", "affected tables" or "samples". ``scratch``: a server of the user's to work on; else that of
    the project's configuration. ``without_extensions``: go on where that server lacks some.

    Raises BackupError without a backup that fits, UsageError for a plan that goes backwards, and what finding the plan,
    restoring and connecting raise.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    chosen_mode = _mode(mode)
    target.need_postgres("rehearse")
    planned = plan(target, app, name)
    if back := [each for each in planned if each.backwards]:
        raise errors.UsageError(
            f"{app} {name} lies before what is applied: that would take back {', '.join(map(str, back))}.",
            hint="a rehearsal goes forwards, and takes back what it ran: name a migration that is pending",
        )
    if not planned:
        return _nothing(target, started, clock)
    hashed = hash_pending(target, planned)
    chosen = rehearsal_backup(target, backup)
    archive = open_archive(chosen.path)
    named = named_scratch(target, scratch)
    server = scratch_for(chosen, archive, scratch=named)
    there = server.kept(kept_as(chosen, (), without_extensions)) is not None
    limits = Limits(limit_bytes, server.free_bytes, there)
    data = choose_data(target, chosen, limits, app=app, name=name, mode=chosen_mode)

    def template(data: Data) -> Restored:
        return restored_template(
            chosen,
            scratch=named,
            without_data=data.without,
            without_extensions=without_extensions,
            progress=progress,
        )

    stage = Staged(
        target,
        chosen,
        archive,
        planned,
        limits,
        places(target),
        {"app": app, "name": name, "other_databases": other_databases},
        Saying(len(planned) * (3 if backwards else 1), progress),
        template,
        backwards,
    )
    done = stage.run(data)
    return Rehearsal(
        project=str(target.project.root),
        database=target.database,
        backup=chosen.path.name,
        scratch=done.restored.scratch.words,
        mode=done.data.mode,
        mode_words=done.data.words,
        notes=(*done.restored.notes, *stage.places.notes, *done.played.notes),
        migrations=done.migrations,
        started=started,
        duration_s=time.perf_counter() - clock,
        restore_s=0.0 if done.restored.reused else done.restored.restore_s,
        copy_s=done.played.copy_s,
        template_reused=done.restored.reused,
        signals_error=done.played.passes.outside_error,
        signals=signals(done.played.passes, done.sizes),
        schema=next(
            (each.schema_after for each in reversed(done.played.passes.trips.values()) if each.schema_after), None
        ),
        plan_hash=hashed.sha256,
    )


def _mode(given: RehearsalMode | str | None) -> RehearsalMode | None:
    try:
        return None if given is None else RehearsalMode(given)
    except ValueError:
        raise errors.UsageError(
            f"{given!r} is no way to rehearse.", hint="choose one of: " + ", ".join(map(str, RehearsalMode))
        ) from None


def _nothing(target: Target, started: datetime, clock: float) -> Rehearsal:
    return Rehearsal(
        project=str(target.project.root),
        database=target.database,
        backup="",
        scratch="",
        mode=RehearsalMode.FULL,
        mode_words="nothing was restored, for nothing is pending",
        notes=(),
        migrations=(),
        started=started,
        duration_s=time.perf_counter() - clock,
        restore_s=0.0,
        copy_s=0.0,
        template_reused=False,
    )
