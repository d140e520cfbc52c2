"""The proof of one backup, piece by piece: each piece of evidence is a check."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg

from mig_kit.errors import BackupError, MigKitError
from mig_kit.postgres import AppliedMigration, ConnectionInfo, applied_migrations_rows, connect, count_rows
from mig_kit.postgres import tables as all_tables
from mig_kit.postgres.archive import Archive, open_archive
from mig_kit.postgres.catalog import extension_tables
from mig_kit.postgres.digest import Digest, DigestRule, digest_rules, digest_tables
from mig_kit.postgres.identity import DatabaseIdentity, identify
from mig_kit.postgres.read_through import Reading
from mig_kit.postgres.refusal import first_line
from mig_kit.postgres.scratch import Scratch
from mig_kit.progress import Progress, ProgressCallback
from mig_kit.steps import _backup_checks as look
from mig_kit.steps._manifest import Backup
from mig_kit.steps._restored import Restored, kept_as, scratch_for, scratch_restore
from mig_kit.steps.check import Check
from mig_kit.steps.target import Target

__all__ = ["Present", "Proof"]


@dataclass(frozen=True)
class Present:
    """State what the target's database is now; ``trouble``: why that could not be asked."""

    identity: DatabaseIdentity | None = None
    applied: tuple[AppliedMigration, ...] = ()
    rules: tuple[DigestRule, ...] = ()
    trouble: Check | None = None

    @classmethod
    def of(cls, target: Target | None) -> Present:
        """Ask the database of the target, if there is one."""
        if target is None:
            return cls()
        try:
            with contextlib.closing(target.connect("verify backup")) as conn:
                return cls(identify(conn), applied_migrations_rows(conn), digest_rules(conn))
        except (MigKitError, psycopg.Error) as error:
            return cls(trouble=_check("", "skipped", error))


@dataclass
class Proof:
    """Collect the evidence for one backup."""

    path: Path
    progress: ProgressCallback | None
    checks: dict[str, Check] = field(default_factory=dict)
    durations: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    archive: Archive | None = None
    scratch: Scratch | None = None
    restored: Restored | None = None
    digests: tuple[Digest, ...] = ()
    rows: dict[str, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Add up how long something took."""
        clock = time.perf_counter()
        try:
            yield
        finally:
            self.durations[what] = round(self.durations.get(what, 0.0) + time.perf_counter() - clock, 3)

    def manifest(self) -> Backup | None:
        """Read the manifest."""
        backup, check = look.read_manifest(self.path)
        self._add(check)
        return backup

    def files(self, backup: Backup) -> bool:
        """Hash the files; nothing that is not as it was written is restored."""
        self._say("hashing the files", 0, backup.size_bytes)
        with self.timed("files"):
            check = look.files_are_those(
                backup, lambda so_far: self._say("hashing the files", so_far, backup.size_bytes)
            )
        self._add(check)
        return check.state != "failed"

    def dump(
        self, backup: Backup, now: Present, named: ConnectionInfo | None, without_extensions: bool, jobs: int
    ) -> None:
        """Read all of the dump and restore it, both at once."""
        try:
            self.archive = open_archive(backup.path)
        except BackupError as exc:
            self._add(_failed(look.READ, exc))
            return
        with Reading(self.archive) as reading:
            if self.archive.format == "plain":  # a restore reads it to its end before it begins
                self._read(reading)
            if self._server(backup, now, named):
                self._restore(backup, without_extensions, jobs)
            if look.READ not in self.checks:
                self._read(reading)

    def of(self, backup: Backup | None, target: Target | None, now: Present) -> None:
        """Compare it with the target's database as it is now."""
        if backup is None:
            return
        if now.trouble is not None:
            for name in (look.SOURCE, look.CURRENT):
                self._add(replace(now.trouble, name=name))
            return
        info = target.info if target is not None else None
        self._add(look.is_of(backup, self.archive, info, now.identity))
        if target is not None and self.checks[look.SOURCE].state != "failed":
            self._add(look.is_current(backup, now.applied, now.rules))
        else:
            why = "no database was named" if target is None else "it is of another database"
            self._add(Check(look.CURRENT, "skipped", why))

    def _server(self, backup: Backup, now: Present, named: ConnectionInfo | None) -> bool:
        assert self.archive is not None
        self._say("starting the scratch server")
        try:
            with self.timed("scratch server"):
                self.scratch = scratch_for(backup, self.archive, source=now.identity, scratch=named)
        except (MigKitError, psycopg.Error) as exc:
            self._add(_check(look.RESTORED, "skipped", exc))
            return False
        return True

    def _restore(self, backup: Backup, without_extensions: bool, jobs: int) -> None:
        assert self.archive is not None
        assert self.scratch is not None
        clock = time.perf_counter()
        try:
            with scratch_restore(
                backup,
                self.archive,
                self.scratch,
                without_extensions=without_extensions,
                jobs=jobs,
                progress=self.progress,
            ) as restored:
                self.durations["restore"] = round(time.perf_counter() - clock, 3)
                self.restored = restored
                self.notes += [*restored.notes, *_not_compared(self.archive)]
                self._add(_restored_check(restored))
                with self.timed("contents"):
                    self._add(self._compare(backup, restored))
                if self.checks[look.CONTENTS].state != "failed" and not restored.left_out:
                    self.scratch.keep(kept_as(backup), restored.database, restored)
        except (MigKitError, psycopg.Error) as exc:
            self._add(_failed(look.CONTENTS if self.restored is not None else look.RESTORED, exc))

    def _compare(self, backup: Backup, restored: Restored) -> Check:
        with contextlib.closing(connect(restored.database)) as conn:
            if not backup.digests:
                self.rows = count_rows(conn, progress=self.progress)
                if restored.left_out:
                    there = self.rows.keys() & backup.rows.keys()
                    backup = replace(backup, rows={table: backup.rows[table] for table in there})
                return look.counts_are_those(backup, self.rows)
            labels = {each.label for each in all_tables(conn)}
            rules = [each.how for each in backup.digests if each.table in labels]
            self.digests = digest_tables(conn, rules, self.progress, parallel=True)
            if not restored.left_out:
                return look.contents_are_those(backup, self.digests, labels, extension_tables(conn))
        # What needs a missing extension is not there, which has been said.
        whole = [each for each in backup.digests if each.table in labels]
        return look.contents_are_those(replace(backup, digests=tuple(whole)), self.digests, (), frozenset())

    def _read(self, reading: Reading) -> None:
        self._say("reading the dump to its end")
        try:
            with self.timed("full read"):
                reading.finish(self.progress)
            self._add(Check(look.READ, "ok", "all of it was read and unpacked"))
        except BackupError as exc:
            self._add(_failed(look.READ, exc))

    def _add(self, check: Check) -> None:
        self.checks[check.name] = check

    def _say(self, message: str, done: int | None = None, total: int | None = None) -> None:
        if self.progress is not None:
            self.progress(Progress("verify backup", message, done, total, "bytes" if done is not None else ""))


def _not_compared(archive: Archive) -> list[str]:
    blobs = any(each.text.startswith(("BLOB ", "BLOB METADATA ")) for each in archive.entries)
    return ["The large objects were restored, and not compared."] if blobs else []


def _restored_check(restored: Restored) -> Check:
    where = f"into {restored.scratch.words}, without owners and privileges"
    if restored.left_out:
        return Check(
            look.RESTORED,
            "warning",
            f"in part, {where}: {' '.join(restored.notes)}",
            "name a server that has them: scratch=… / --scratch",
        )
    return Check(look.RESTORED, "ok", f"{where}, in {restored.restore_s:.1f} s")


def _failed(name: str, error: Exception) -> Check:
    return _check(name, "failed", error)


def _check(name: str, state: str, error: Exception) -> Check:
    if isinstance(error, MigKitError):
        return Check(name, state, error.message.rstrip("."), error.hint)
    said = first_line(error) if isinstance(error, psycopg.Error) else str(error)
    return Check(name, state, f"the server answered: {said}", "see the server's log")
