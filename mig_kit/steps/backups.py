"""The backups that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mig_kit.errors import BackupError
from mig_kit.steps._backup_files import MANIFEST, VERIFICATION, is_beside
from mig_kit.steps._manifest import Backup, DamagedManifest
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    import pandas

__all__ = ["backup_path", "backup_paths", "backups", "latest_backup", "latest_verified_backup", "same_database"]

_COLUMNS = ["backup", "when (UTC)", "bytes", "files", "rows", "method", "verified"]


def backups(target: Target) -> pandas.DataFrame:
    """Return the backups that exist, newest first: backup, when (UTC), bytes, files, rows, method, verified.

    Bytes and files are what lies there now. ``verified`` says "no" with its reason: not restored yet, files that are
    not those of the manifest, a manifest that cannot be read, or none (it was made by other means).
    """
    import pandas

    frame = pandas.DataFrame([_row(path) for path in backup_paths(target.backups_folder)], columns=_COLUMNS)
    frame["when (UTC)"] = pandas.to_datetime(frame["when (UTC)"], utc=True)
    frame["rows"] = frame["rows"].astype("Int64")
    return frame.sort_values(["when (UTC)", "backup"], ascending=False, ignore_index=True)


def latest_backup(target: Target) -> Backup | None:
    """Return the newest backup of this database that has its manifest and its files, or None."""
    return max(_own(target), key=lambda each: each.started, default=None)


def latest_verified_backup(target: Target) -> Backup | None:
    """Return the newest backup of this database that was restored and compared, and has its files, or None.

    What was migrated since it was made is not looked at.
    """
    verified = (each for each in _own(target) if each.verified)
    return max(verified, key=lambda each: each.started, default=None)


def backup_path(target: Target, named: str | Path | None = None) -> Path:
    """Return the backup of that name, or at that path; without a name the newest of this database, damaged or not.

    Raises BackupError when there is none.
    """
    folder = target.backups_folder
    if named is not None:
        for path in (folder / named, Path(named).absolute()):
            if path.exists() and path != folder:
                return path
        raise BackupError(f"There is no backup {str(named)!r} in {folder}.", hint="rb.backups() lists them")
    info = target.need_postgres("backups")
    found = []
    for path in backup_paths(folder):
        try:
            backup = Backup.read(path)
        except DamagedManifest:
            found.append((datetime.fromtimestamp(path.stat().st_mtime, UTC), path))
        else:
            if backup is not None and same_database(backup.server, info.safe):
                found.append((backup.started, path))
    if not found:
        raise BackupError(f"There is no backup of {info.dbname!r} in {folder}.", hint="rb.backup() makes one")
    return max(found)[1]


def _own(target: Target) -> Iterator[Backup]:
    """Yield the backups of this database that have their manifest and their files."""
    info = target.need_postgres("backups")
    for path in backup_paths(target.backups_folder):
        try:
            found = Backup.read(path)
        except DamagedManifest:
            continue
        if found is not None and same_database(found.server, info.safe) and found.has_its_files():
            yield found


def backup_paths(folder: Path) -> Iterator[Path]:
    """Yield what in a folder may be a backup: no manifests, nothing hidden, which is where unfinished ones are."""
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if not path.name.startswith(".") and not is_beside(path) and path.exists():
                yield path


def _row(path: Path) -> tuple[object, ...]:
    found, state = None, "no: it has no manifest"
    try:
        found = Backup.read(path)
    except DamagedManifest as exc:
        state = f"no: its manifest {exc}"
    files = [each for each in ([path] if path.is_file() else path.rglob("*")) if each.is_file()]
    sizes = {each: each.stat().st_size for each in files if each not in (path / MANIFEST, path / VERIFICATION)}
    if found is None:
        when = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return path.name, when, sum(sizes.values()), len(sizes), None, "unknown", state
    if not found.has_its_files():
        state = "no: its files are not those of its manifest"
    else:
        state = _verified(found)
    rows = sum(found.rows.values())
    return path.name, found.started, sum(sizes.values()), len(sizes), rows, found.method, state


def _verified(backup: Backup) -> str:
    found = backup.verification
    if found is None:
        return "no: not restored yet"
    when = f"{found.when:%Y-%m-%d %H:%M} UTC"
    return f"yes: {found.words}, {when}" if found.verified else f"no: {found.reason} ({when})"


def same_database(one: str, other: str) -> bool:
    """Compare two addresses; who asks makes no difference."""
    return re.sub("//[^/@]*@", "//", one) == re.sub("//[^/@]*@", "//", other)
