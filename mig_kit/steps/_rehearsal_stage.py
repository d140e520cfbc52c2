"""One copy of a restored backup, with everything around it that the passes of a rehearsal need, and gone after them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mig_kit.postgres import Connection, ConnectionInfo, connect
from mig_kit.postgres.scratch import Scratch
from mig_kit.progress import Progress, ProgressCallback
from mig_kit.project import Worker
from mig_kit.steps._migration_run import MigrationRun
from mig_kit.steps._rehearsal_databases import Places
from mig_kit.steps._rehearsal_foreign import cut_off
from mig_kit.steps._rehearsal_run import Passes
from mig_kit.steps.target import Target

__all__ = ["Played", "Saying", "play"]

_MARGIN = 1.1


@dataclass(frozen=True, slots=True)
class Played:
    """What one copy was good for: the passes over it, the seconds that making it took, and what was done to it."""

    passes: Passes
    copy_s: float
    notes: tuple[str, ...]


def play(
    target: Target,
    scratch: Scratch,
    template: ConnectionInfo,
    places: Places,
    scope: Mapping[str, Any],
    say: Saying,
    *,
    backwards: bool,
) -> Played:
    """Copy the template, let an isolated worker run the plan there, and drop the copy, whatever happens."""
    with contextlib.ExitStack() as stack:
        began = time.perf_counter()
        copy = stack.enter_context(scratch.database(template))
        copy_s = time.perf_counter() - began
        notes = cut_off(copy)

        def empty() -> ConnectionInfo:
            return stack.enter_context(scratch.database())

        isolation = places.isolation(target, copy, empty)
        worker = Worker(target.project, isolation=isolation, migrations=target.worker.migrations)
        stack.enter_context(contextlib.closing(worker))
        reference = stack.enter_context(_reference(scratch, template))
        passes = Passes(worker, target.database, copy, scope, say, reference)
        passes.run(backwards=backwards)
    return Played(passes, copy_s, notes)


class Saying:
    """Say which migration is done, of those of all passes."""

    def __init__(self, total: int, progress: ProgressCallback | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def __call__(self, way: str, run: MigrationRun) -> None:
        self._done += 1
        if self._progress is not None:
            words = {"forwards": "ran", "backwards": "was taken back", "again": "ran again"}[way]
            message = f"{run.app}.{run.name} {words} ({run.ms / 1000:.2f} s)"
            total = max(self._total, self._done)
            self._progress(Progress("rehearse", message, self._done, total, "migrations", lasting=True))

    def note(self, message: str) -> None:
        """Say what is done between the passes."""
        if self._progress is not None:
            self._progress(Progress("rehearse", message))


class _Reference:
    """A second copy, on which nothing runs: what the values were. It is made when it is first asked for."""

    def __init__(self, scratch: Scratch, template: ConnectionInfo, stack: contextlib.ExitStack) -> None:
        self._scratch, self._template, self._stack = scratch, template, stack
        self._conn: Connection | None = None

    def __call__(self) -> Connection | None:
        if self._conn is None and self._fits():
            info = self._stack.enter_context(self._scratch.database(self._template))
            self._conn = self._stack.enter_context(contextlib.closing(connect(info)))
        return self._conn

    def _fits(self) -> bool:
        free = self._scratch.free_bytes
        with contextlib.closing(connect(self._scratch.info)) as conn:
            row = conn.execute("SELECT pg_database_size(%s)", (self._template.dbname,)).fetchone()
        return free is None or row is None or int(row[0]) * _MARGIN < free


@contextlib.contextmanager
def _reference(scratch: Scratch, template: ConnectionInfo) -> Iterator[_Reference]:
    with contextlib.ExitStack() as stack:
        yield _Reference(scratch, template, stack)
