"""Step 2, backup: a dump with a manifest that says exactly what it holds."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mig_kit import errors
from mig_kit.postgres import count_rows, dump, server_version, tables
from mig_kit.progress import Progress, ProgressCallback
from mig_kit.record import redact
from mig_kit.steps._manifest import MANIFEST, FileEntry, file_entries, read_manifest, write_manifest
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    import pandas

__all__ = ["Backup", "backup", "backup_script", "backups", "latest_backup"]


@dataclass(frozen=True, slots=True)
class Backup:
    """One complete backup and what its manifest says.

    ``rows``: "schema.table" → number of rows; ``same_snapshot``: they were counted in the very snapshot that was
    dumped (else just before the project's own script ran). ``size_bytes`` of all files, ``duration_s`` in seconds.
    ``verified``: it was restored and compared; a dump that nobody restored is not verified.
    """

    path: Path
    database: str
    method: str
    started: datetime
    duration_s: float
    size_bytes: int
    files: tuple[FileEntry, ...]
    rows: Mapping[str, int]
    same_snapshot: bool
    server: str
    server_version: str
    tool_version: str
    compression: str
    migrations: int
    verified: bool

    def __repr__(self) -> str:
        return f"<Backup {self.path.name}: {self.size_bytes:,} bytes, {sum(self.rows.values()):,} rows>"

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a table: table, rows."""
        import pandas

        return pandas.DataFrame(sorted(self.rows.items()), columns=["table", "rows"])

    @classmethod
    def from_manifest(cls, path: Path, data: Mapping[str, Any]) -> Backup:
        """Return the backup at ``path`` as its manifest describes it."""
        return cls(
            path=path,
            database=data["database"],
            method=data["method"],
            started=datetime.fromisoformat(data["started"]),
            duration_s=data["duration_s"],
            size_bytes=data["size_bytes"],
            files=tuple(FileEntry(**each) for each in data["files"]),
            rows=data["rows"],
            same_snapshot=data["same_snapshot"],
            server=data["server"],
            server_version=data["server_version"],
            tool_version=data["tool_version"],
            compression=data["compression"],
            migrations=data["migrations"],
            verified=bool(data.get("verified")),
        )


def backup(
    target: Target,
    *,
    script: bool | str | Path = False,
    jobs: int = 2,
    progress: ProgressCallback | None = None,
) -> Backup:
    """Back the database up below ``.tmp/backups`` and return what was kept.

    By default pg_dump in directory format against an exported snapshot, with the rows of every table counted in
    that same snapshot. With ``script`` the project's own script runs in the project's interpreter instead (True: the
    one that is configured, or ``execution/backup_database.py``; a path: that one).
    The files are private to the user. They stand under another name until they are complete; on any failure, Ctrl-C
    included, nothing is left. Raises ``BackupError``.
    """
    info = target.need_postgres("backup")
    _private_folder(target.backups_folder)
    if script:
        return _run_script(target, backup_script(target, script), progress)
    started = datetime.now(UTC)
    final = _free_name(target.backups_folder, f"{_safe(info.dbname)}-{started:%Y%m%dT%H%M%SZ}")
    partial = target.backups_folder / f".{final.name}.partial"
    clock = time.perf_counter()
    try:
        dumped = dump(info, partial, jobs=jobs, progress=progress)
        entries = file_entries(partial)
        manifest = {
            **_who(),
            "database": info.dbname,
            "server": info.safe,
            "method": "pg_dump, directory format",
            "snapshot": dumped.snapshot,
            "same_snapshot": True,
            "started": started.isoformat(),
            "duration_s": round(time.perf_counter() - clock, 3),
            "server_version": dumped.server_version,
            "tool_version": dumped.pg_dump_version,
            "compression": dumped.compression,
            "files": [each.to_dict() for each in entries],
            "size_bytes": sum(each.size for each in entries),
            "rows": dict(dumped.rows),
            "migrations": len(target.ask("history")),
            "verified": False,
        }
        write_manifest(partial / MANIFEST, manifest)
        partial.rename(final)
    except BaseException as exc:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(exc, OSError) and not isinstance(exc, errors.MigKitError):
            raise errors.BackupError(
                f"The backup could not be written: {exc.filename or partial}: {exc.strerror}.",
                hint="free the disk or mend the permissions there; nothing was left behind",
            ) from exc
        raise
    return Backup.from_manifest(final, manifest)


def backup_script(target: Target, named: bool | str | Path = True) -> Path:
    """Return the project's own backup script; ``BackupError`` when there is none."""
    if isinstance(named, (str, Path)):
        path = target.project.root / named
    elif target.project.config.backup_script:
        path = (target.project.config.folder or target.project.root) / target.project.config.backup_script
    else:
        path = target.project.root / "execution" / "backup_database.py"
    if not path.is_file():
        raise errors.BackupError(
            f"There is no backup script {path}.",
            hint="back up without it: rb.backup(), or name it: script='…'",
        )
    return path


def _run_script(target: Target, script: Path, progress: ProgressCallback | None) -> Backup:
    """Run the project's script and give what it left a manifest of its own, beside the file."""
    info = target.need_postgres("backup")
    folder = target.backups_folder
    before = _snapshot_of(folder)
    with target.connect("backup") as connection:
        counted = {f"{each.schema}.{each.name}": 0 for each in tables(connection)}
        counted.update(count_rows(connection))
        version = ".".join(map(str, server_version(connection)))
    if progress is not None:
        progress(Progress("backup", f"running {script.name}"))
    started, clock = datetime.now(UTC), time.perf_counter()
    done = subprocess.run(
        [str(target.project.python), str(script)],
        cwd=target.project.root,
        env=target.project.worker_environ(),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    said = redact((done.stderr.strip() or done.stdout.strip()).strip())
    if done.returncode:
        last = said.splitlines()[-1] if said else "it printed nothing"
        raise errors.BackupError(
            f"{script.name} ended with {done.returncode}: {last}",
            hint="mend that, or back up without it: rb.backup()",
        )
    new = sorted(path for path, state in _snapshot_of(folder).items() if before.get(path) != state)
    if not new:
        raise errors.BackupError(
            f"{script.name} ended well and left no new file in {folder}.",
            hint="make it write there, or back up without it: rb.backup()",
        )
    final = max(new, key=lambda path: path.stat().st_mtime_ns)
    entries = file_entries(final)
    manifest = {
        **_who(),
        "database": info.dbname,
        "server": info.safe,
        "method": f"the project's {script.name}",
        "snapshot": None,
        "same_snapshot": False,
        "started": started.isoformat(),
        "duration_s": round(time.perf_counter() - clock, 3),
        "server_version": version,
        "tool_version": script.name,
        "compression": "",
        "files": [each.to_dict() for each in entries],
        "size_bytes": sum(each.size for each in entries),
        "rows": counted,
        "migrations": len(target.ask("history")),
        "verified": False,
    }
    write_manifest(final.with_name(final.name + "." + MANIFEST), manifest)
    return Backup.from_manifest(final, manifest)


def backups(target: Target) -> pandas.DataFrame:
    """Return the backups that exist, newest first: backup, when (UTC), bytes, files, rows, method, verified.

    One that has no manifest was made by other means and is listed with what can be seen of it.
    """
    import pandas

    rows: list[tuple[object, ...]] = []
    for path in _candidates(target.backups_folder):
        found = _load(path)
        if found is not None:
            state = "yes" if found.verified else "no: not restored yet"
            rows.append(
                (
                    path.name,
                    found.started,
                    found.size_bytes,
                    len(found.files),
                    sum(found.rows.values()),
                    found.method,
                    state,
                )
            )
        else:
            entries = [child for child in ([path] if path.is_file() else path.rglob("*")) if child.is_file()]
            size = sum(child.stat().st_size for child in entries)
            when = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            rows.append((path.name, when, size, len(entries), None, "unknown", "no: it has no manifest"))
    frame = pandas.DataFrame(rows, columns=["backup", "when (UTC)", "bytes", "files", "rows", "method", "verified"])
    frame["when (UTC)"] = pandas.to_datetime(frame["when (UTC)"], utc=True)
    frame["rows"] = frame["rows"].astype("Int64")
    return frame.sort_values("when (UTC)", ascending=False, ignore_index=True)


def latest_backup(target: Target) -> Backup | None:
    """Return the newest backup of this database that has a manifest, or None."""
    info = target.need_postgres("backups")
    found = [each for path in _candidates(target.backups_folder) if (each := _load(path)) is not None]
    own = [each for each in found if each.database == info.dbname and each.server == info.safe]
    return max(own, key=lambda each: each.started, default=None)


def _candidates(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [
        path for path in folder.iterdir() if not path.name.startswith(".") and not path.name.endswith("." + MANIFEST)
    ]


def _load(path: Path) -> Backup | None:
    manifest = path / MANIFEST if path.is_dir() else path.with_name(path.name + "." + MANIFEST)
    data = read_manifest(manifest)
    return Backup.from_manifest(path, data) if data is not None else None


def _snapshot_of(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in _candidates(folder)}


def _private_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise errors.BackupError(
            f"The folder for backups cannot be made: {folder}: {exc.strerror}.",
            hint="make it writable for you",
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise errors.BackupError(f"The folder for backups is not writable: {folder}.", hint="make it writable for you")


def _safe(name: str) -> str:
    """Return a database's name as a folder can carry it."""
    return "".join(each if each.isalnum() or each in "._-" else "-" for each in name) or "database"


def _free_name(folder: Path, stem: str) -> Path:
    number, path = 1, folder / stem
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}"
    return path


def _who() -> dict[str, Any]:
    user = "unknown"
    with contextlib.suppress(OSError, KeyError):
        user = getpass.getuser()
    return {"schema": 1, "made_by": f"{user}@{socket.gethostname()}"}
