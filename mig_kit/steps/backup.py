"""Step 2, backup: a dump with a manifest that says exactly what it holds."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo, dump
from mig_kit.progress import Progress, ProgressCallback
from mig_kit.steps._backup_files import MANIFEST, FileEntry, file_entries
from mig_kit.steps._backup_script import backup_script, run_backup_script
from mig_kit.steps._manifest import Backup, made_by
from mig_kit.steps.target import Target

__all__ = ["Backup", "FileEntry", "backup", "dump_backup"]


def backup(
    target: Target,
    *,
    script: bool | str | Path = False,
    jobs: int = 2,
    progress: ProgressCallback | None = None,
) -> Backup:
    """Back the database up below ``.tmp/backups`` and return what was kept.

    By default pg_dump in directory format against an exported snapshot, with the rows of every table counted and
    digested in that same snapshot. The files are private to the user. They stand under another name until they are
    any failure, Ctrl-C included, nothing is left.

    With ``script`` the project's own script runs in the project's interpreter instead (True: the one that is
    configured, or ``execution/backup_database.py``; a path: that one), and what it leaves gets a manifest.
    Raises ``BackupError``, or why the database cannot be reached.
    """
    info = target.need_postgres("backup")
    _make_folder(target.backups_folder)
    if script:
        return run_backup_script(target, backup_script(target, script), progress)
    return dump_backup(info, target.backups_folder, jobs=jobs, progress=progress)


def dump_backup(
    info: ConnectionInfo, folder: Path, *, jobs: int = 2, progress: ProgressCallback | None = None
) -> Backup:
    """Dump a database into a new folder below ``folder``, which exists, with its manifest."""
    started, clock = datetime.now(UTC), time.perf_counter()
    partial, final = _reserve(folder, f"{_file_name(info.dbname)}-{started:%Y%m%dT%H%M%SZ}")
    try:
        dumped = dump(info, partial, jobs=jobs, progress=progress)
        if progress is not None:
            progress(Progress("backup", "reading it back for its checksums", dumped.size_bytes, None, "bytes"))
        for path in partial.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)  # pg_dump leaves that to the umask
        entries = file_entries(partial)
        made = Backup(
            path=partial,
            database=info.dbname,
            server=info.safe,
            method="pg_dump, directory format",
            started=started,
            duration_s=round(time.perf_counter() - clock, 3),
            size_bytes=sum(each.size for each in entries),
            files=entries,
            rows=dict(dumped.rows),
            snapshot=dumped.snapshot,
            server_version=".".join(map(str, dumped.server_version)),
            tool_version=".".join(map(str, dumped.pg_dump_version)),
            compression=dumped.compression,
            made_by=made_by(),
            warnings=dumped.warnings,
            identity=dumped.identity,
            encoding=dumped.encoding,
            extensions=dumped.extensions,
            sizes=dict(dumped.sizes),
            applied=dumped.migrations,
            digests=dumped.digests,
        )
        made = made.written(partial / MANIFEST)
        partial.rename(final)
    except BaseException as exc:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(exc, OSError) and not isinstance(exc, errors.MigKitError):
            raise errors.BackupError(
                f"The backup could not be written: {exc.filename or partial}: {exc.strerror or exc}.",
                hint="free the disk or mend the permissions there; nothing was left behind",
            ) from exc
        raise
    return replace(made, path=final)


def _make_folder(folder: Path) -> None:
    reason = ""
    try:
        folder.parent.mkdir(exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
    except OSError as exc:
        reason = f"cannot be made: {exc.filename}: {exc.strerror}"
    else:
        if not os.access(folder, os.W_OK | os.X_OK):
            reason = "is not writable"
    if reason:
        raise errors.BackupError(f"The folder for backups, {folder}, {reason}.", hint="make it writable for you")


def _reserve(folder: Path, stem: str) -> tuple[Path, Path]:
    """Make the folder that the backup grows in, and return it with the name it is to have: both nobody else's."""
    number = 1
    while True:
        final = folder / (stem if number == 1 else f"{stem}-{number}")
        partial = folder / f".{final.name}.partial"
        number += 1
        try:
            partial.mkdir(mode=0o700)
        except FileExistsError:
            continue
        except OSError as exc:
            raise errors.BackupError(
                f"The backup could not be written: {partial}: {exc.strerror}.",
                hint="free the disk or mend the permissions there; nothing was left behind",
            ) from exc
        if not final.exists():
            return partial, final
        partial.rmdir()


def _file_name(database: str) -> str:
    """Return a database's name as a folder can carry it."""
    return "".join(each if each.isalnum() or each in "._-" else "-" for each in database).strip(".") or "database"
