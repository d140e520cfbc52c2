"""The checks that verify_backup makes, each a function from evidence to outcome."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from mig_kit.postgres import AppliedMigration, ConnectionInfo
from mig_kit.postgres.archive import Archive
from mig_kit.postgres.digest import Digest, DigestRule, differences
from mig_kit.postgres.identity import DatabaseIdentity
from mig_kit.steps._backup_files import FileEntry, file_entries
from mig_kit.steps._manifest import Backup, DamagedManifest
from mig_kit.steps.backups import same_database
from mig_kit.steps.check import Check

__all__ = [
    "CONTENTS",
    "CURRENT",
    "FILES",
    "MANIFEST",
    "READ",
    "RESTORED",
    "SOURCE",
    "contents_are_those",
    "counts_are_those",
    "file_troubles",
    "files_are_those",
    "is_current",
    "is_of",
    "read_manifest",
]

MANIFEST = "manifest as it was written"
FILES = "every file as it was written"
READ = "read to its end"
RESTORED = "restored"
CONTENTS = "rows and contents as in the source"
SOURCE = "of this database"
CURRENT = "nothing migrated since"

_AGAIN = "make another backup: rb.backup()"
_OTHER = "choose one of this database: rb.backups()"
_MOST = 5


def read_manifest(path: Path) -> tuple[Backup | None, Check]:
    """Read the manifest, whose checksum covers all it says."""
    try:
        backup = Backup.read(path)
    except DamagedManifest as exc:
        return None, Check(MANIFEST, "failed", f"the manifest {exc}", _AGAIN)
    if backup is None:
        return None, Check(
            MANIFEST, "failed", f"{path.name} has no manifest, so there is nothing to compare it with", _AGAIN
        )
    if backup.schema == 1:
        said = "written by an earlier mig_kit: it has no checksum of its own, and no digests to compare with"
        return backup, Check(MANIFEST, "warning", said, _AGAIN)
    return backup, Check(MANIFEST, "ok", f"its checksum is {backup.checksum[:12]}…")


def files_are_those(backup: Backup, told: Callable[[int], None] | None = None) -> Check:
    """Hash every file and compare it with the manifest."""
    troubles = file_troubles(backup.files, file_entries(backup.path, told))
    if troubles:
        return Check(FILES, "failed", _some(troubles), _AGAIN)
    count = len(backup.files)
    said = "1 file has its SHA-256" if count == 1 else f"{count} files have their SHA-256"
    return Check(FILES, "ok", f"{said}, {backup.size_bytes:,} bytes")


def file_troubles(written: Iterable[FileEntry], there: Iterable[FileEntry]) -> list[str]:
    """Return what is not as it was written, a clause each: swapped, missing, cut off, changed or added files."""
    old, new = {each.path: each for each in written}, {each.path: each for each in there}
    owners: dict[str, list[str]] = {}
    for each in old.values():
        owners.setdefault(each.sha256, []).append(each.path)
    found, swapped = [], set()
    for name, entry in old.items():
        now = new.get(name)
        if now is None:
            found.append(f"{name} is missing")
        elif now != entry and name not in swapped:
            other = next((each for each in owners.get(now.sha256, []) if each != name), None)
            if other is not None and other in new and new[other].sha256 == entry.sha256:
                swapped.add(other)
                found.append(f"{name} and {other} were swapped")
            elif other is not None:
                found.append(f"{name} holds what belongs in {other}")
            elif now.size < entry.size:
                found.append(f"{name} was cut off: {now.size:,} of {entry.size:,} bytes are there")
            elif now.size > entry.size:
                found.append(f"{name} has grown: {now.size:,} bytes instead of {entry.size:,}")
            else:
                found.append(f"{name} was changed: its SHA-256 is not that of the manifest")
    return found + [f"{name} was not there when the backup was made" for name in new if name not in old]


def contents_are_those(
    backup: Backup, now: Sequence[Digest], tables: Collection[str], of_extensions: Collection[str]
) -> Check:
    """Compare the digests of the restored tables with those of the snapshot, and look for tables that are too many.

    ``tables``: all that were restored. ``of_extensions``: those that came with an extension, whose rows may be those of
    the scratch server's version of it.
    """
    wanted = {each.table for each in backup.digests}
    parents = {label for label in backup.rows if label not in wanted}  # partitioned: their partitions are digested
    found = [*differences(backup.digests, now)]
    found += [f"{label} was not there before" for label in tables if label not in wanted | parents]
    of_their_own = tuple(f"{label} " for label in of_extensions)
    excused = [each for each in found if each.startswith(of_their_own)] if of_their_own else []
    troubles = [each for each in found if each not in excused]
    if troubles:
        return Check(CONTENTS, "failed", _some(troubles), "do not rely on it; make another backup: rb.backup()")
    rows, sampled = sum(each.rows for each in now), sum(each.sampled for each in now)
    said = f"{len(now)} tables, {rows:,} rows, each table's digest as in the snapshot"
    if sampled:
        said += f"; of {sampled} large ones the key of every row and a sample of the rest"
    if excused:
        return Check(CONTENTS, "warning", f"{said}; but {_some(excused)}, which came with an extension")
    return Check(CONTENTS, "ok", said)


def counts_are_those(backup: Backup, now: Mapping[str, int]) -> Check:
    """Compare row counts alone, where that is all the manifest has."""
    differ = []
    for table, count in backup.rows.items():
        if table not in now:
            differ.append(f"{table} is not there")
        elif now[table] != count:
            differ.append(f"{table} has {now[table]:,} rows, and {count:,} were counted")
    differ += [f"{table} was not there before" for table in now if table not in backup.rows]
    when = "in the snapshot" if backup.same_snapshot else f"just before {backup.tool_version} ran"
    if not differ:
        rows = f"{len(now)} tables, {sum(now.values()):,} rows, as many as were counted {when}"
        return Check(CONTENTS, "ok", f"{rows}; what is in the rows was not compared")
    if backup.same_snapshot:
        return Check(CONTENTS, "failed", _some(differ), "do not rely on it; make another backup: rb.backup()")
    said = f"{_some(differ)}: rows were written between the count and the dump, or the dump lacks them"
    return Check(CONTENTS, "failed", said, "rb.backup() counts in the very snapshot that is dumped")


def is_of(backup: Backup, archive: Archive | None, info: ConnectionInfo | None, now: DatabaseIdentity | None) -> Check:
    """Tell whether it is a dump of this database, by the cluster's identifier and the database's oid.

    ``archive``: what the dump says of itself. ``info`` and ``now``: the database; None where none was named.
    """
    if archive is not None and archive.database and archive.database != backup.database:
        said = f"the dump is of the database {archive.database!r}, and the manifest of {backup.database!r}"
        return Check(SOURCE, "failed", said, _AGAIN)
    if info is None:
        return Check(SOURCE, "skipped", f"no database was named; it is of {backup.database!r} at {backup.server}")
    here, old = f"{info.dbname!r} at {info.address}", backup.identity
    if now is None or old is None or not (now.system and old.system):
        if same_database(backup.server, info.safe):
            return Check(SOURCE, "warning", f"of {here} by its address alone; the cluster's identifier is not known")
        return Check(SOURCE, "failed", f"it is a backup of {backup.server}, not of {here}", _OTHER)
    if now.is_same(old):
        return Check(SOURCE, "ok", f"of {here}, by the cluster's identifier and the database's oid")
    if (now.system, now.name) == (old.system, old.name):
        said = f"it is of an earlier {now.name!r} on the same server, which was dropped and made anew since"
    else:
        said = f"it is a backup of {backup.database!r} at {backup.server}, not of {here}"
    return Check(SOURCE, "failed", said, _OTHER)


def is_current(backup: Backup, applied: Sequence[AppliedMigration], rules: Sequence[DigestRule]) -> Check:
    """Tell whether the database was migrated since: by django_migrations, and by the tables and columns it has.

    ``applied`` and ``rules`` are of the database as it is now.
    """
    if backup.schema == 1:
        return Check(CURRENT, "skipped", "its manifest does not say which migrations were applied", _AGAIN)
    then = {(each.id, each.app, each.name) for each in backup.applied}
    later = [each for each in applied if (each.id, each.app, each.name) not in then]
    if later:
        last = max(later, key=lambda each: each.applied)
        more = f", and {len(later) - 1} more" if len(later) > 1 else ""
        said = f"it was made before the last migration applied: {last.app}.{last.name}{more}"
        return Check(CURRENT, "failed", said, _AGAIN)
    now = {(each.id, each.app, each.name) for each in applied}
    if gone := [f"{app}.{name}" for _id, app, name in sorted(then - now, reverse=True)]:
        return Check(CURRENT, "failed", f"taken back since it was made: {_some(gone)}", _AGAIN)
    if changed := _changed(backup.digests, rules):
        return Check(CURRENT, "failed", f"the schema was changed since, without a migration: {_some(changed)}", _AGAIN)
    seen = " and no table or column changed" if backup.digests else ""
    return Check(CURRENT, "ok", f"{len(applied)} migrations, as in the backup{seen}")


def _changed(digests: Iterable[Digest], rules: Iterable[DigestRule]) -> list[str]:
    old = {each.table: each.how.columns for each in digests}
    new = {each.label: each.columns for each in rules}
    if not old:
        return []
    found = [f"{label} is gone" for label in old if label not in new]
    found += [f"{label} is new" for label in new if label not in old]
    for label in old.keys() & new.keys():
        found += [f"{label}.{column} is gone" for column in old[label] if column not in new[label]]
        found += [f"{label}.{column} is new" for column in new[label] if column not in old[label]]
    return sorted(found)


def _some(clauses: Sequence[str]) -> str:
    more = f"; and {len(clauses) - _MOST} more" if len(clauses) > _MOST else ""
    return "; ".join(clauses[:_MOST]) + more
