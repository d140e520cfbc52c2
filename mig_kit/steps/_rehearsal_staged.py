"""A rehearsal with as much of the data as there is room for: whole tables, more of them where needed, or samples."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mig_kit.postgres import ConnectionInfo
from mig_kit.postgres.archive import Archive
from mig_kit.postgres.sample import load_samples
from mig_kit.steps._extrapolate import extrapolated
from mig_kit.steps._rehearsal import RehearsalMode, RehearsedMigration
from mig_kit.steps._rehearsal_data import Data, Limits
from mig_kit.steps._rehearsal_databases import Places
from mig_kit.steps._rehearsal_result import Sizes, key_of, rehearsed
from mig_kit.steps._rehearsal_stage import Played, Saying, play
from mig_kit.steps._restored import Restored
from mig_kit.steps.apply import PlannedMigration
from mig_kit.steps.backup import Backup
from mig_kit.steps.target import Target

__all__ = ["Done", "Staged"]

# How often a table that turned out to be needed is added, and all of it run again.
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Done:
    """What came out, and on which data."""

    data: Data
    restored: Restored
    played: Played
    sizes: Sizes
    migrations: tuple[RehearsedMigration, ...]


@dataclass(frozen=True, slots=True)
class Staged:
    """Everything that a rehearsal is made with; ``template`` restores the backup with that data, or has it already."""

    target: Target
    backup: Backup
    archive: Archive
    planned: Sequence[PlannedMigration]
    limits: Limits
    places: Places
    scope: Mapping[str, Any]
    say: Saying
    template: Callable[[Data], Restored]
    backwards: bool

    def run(self, data: Data) -> Done:
        """Rehearse, and where a statement needed rows that were left out, again with those, as far as they fit."""
        if data.mode is RehearsalMode.SAMPLES:
            return self._sampled(data)
        for _ in range(_ROUNDS):
            done = self._whole(data)
            more = frozenset(self._lacked(done)) if data.mode is RehearsalMode.AFFECTED else frozenset()
            wider = data.with_full(more)
            size = sum(self.backup.sizes.get(table, 0) for table in wider.full)
            if not more or not self.limits.allow(size, 0):
                break
            self.say.note(f"once more, with the rows of {', '.join(sorted(more))}")
            data = wider
            if not done.restored.reused:
                done.restored.scratch.drop(done.restored.database)  # the next one has all of it, and more
        return done

    def _whole(self, data: Data) -> Done:
        restored = self.template(data)
        played = self._play(restored, restored.database, self.backwards)
        return self._done(data, restored, played, self._sizes(data, self.backup.rows))

    def _sampled(self, data: Data) -> Done:
        """Run on the smaller sample forwards, then on the larger, and extrapolate."""
        restored = self.template(data)
        with self._with_samples(restored, data.smaller()) as (template, few):
            played = self._play(restored, template, False)
        smaller = self._done(data, restored, played, self._sizes(data, few))
        with self._with_samples(restored, data.one_in) as (template, many):
            played = self._play(restored, template, self.backwards)
        larger = self._done(data, restored, played, self._sizes(data, many))
        record = played.passes.record
        assert record is not None

        def rows(label: str) -> tuple[int, int, int] | None:
            key = key_of(record, label)
            return (few[key], many[key], self.backup.rows[key]) if key in data.one_in else None

        migrations = extrapolated(smaller.migrations, larger.migrations, rows)
        return Done(data, restored, played, larger.sizes, migrations)

    @contextlib.contextmanager
    def _with_samples(
        self, restored: Restored, one_in: Mapping[str, int]
    ) -> Iterator[tuple[ConnectionInfo, Mapping[str, int]]]:
        """Give a template with samples beside what is there in full, and how many rows each sampled table has."""
        with restored.scratch.database(restored.database) as template:
            self.say.note("loading samples of " + ", ".join(sorted(one_in)))
            pairs = {}
            for table, every in one_in.items():
                schema, _, name = table.partition(".")
                pairs[schema, name] = every
            yield template, load_samples(self.archive, template, pairs)

    def _play(self, restored: Restored, template: ConnectionInfo, backwards: bool) -> Played:
        return play(self.target, restored.scratch, template, self.places, self.scope, self.say, backwards=backwards)

    def _sizes(self, data: Data, rows: Mapping[str, int]) -> Sizes:
        left_out = data.without - data.one_in.keys()
        lacking = frozenset(table for table in left_out if self.backup.rows.get(table))
        return Sizes(
            self.backup.rows,
            self.backup.sizes,
            {**self.backup.rows, **rows},
            lacking,
            partial=data.mode is not RehearsalMode.FULL,
        )

    def _done(self, data: Data, restored: Restored, played: Played, sizes: Sizes) -> Done:
        migrations = rehearsed(self.planned, played.passes, sizes, tried=self.backwards, files=self._files(played))
        return Done(data, restored, played, sizes, migrations)

    def _files(self, played: Played) -> dict[str, str]:
        """Return the files of the migrations that were not begun."""
        trips = played.passes.trips
        rest = [[each.app, each.name] for each in self.planned if (each.app, each.name) not in trips]
        if not rest:
            return {}
        found = self.target.ask("operations", migrations=rest)
        return {f"{each['app']}.{each['name']}": each["file"] or "" for each in found}

    def _lacked(self, done: Done) -> Iterator[str]:
        """Yield the tables whose rows some statement needed, forwards or backwards, and that were left out."""
        record = done.played.passes.record
        assert record is not None
        for migration in done.migrations:
            for statement in (*migration.statements, *migration.way_back.statements):
                if statement.unknown:
                    keys = (key_of(record, label) for label in statement.tables)
                    yield from (key for key in keys if key in done.sizes.lacking)
