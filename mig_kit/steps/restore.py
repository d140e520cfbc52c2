"""Restore a backup into an empty database that the user names."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mig_kit.errors import BackupError
from mig_kit.postgres import ConnectionInfo, connect, count_rows
from mig_kit.postgres import tables as all_tables
from mig_kit.postgres.archive import open_archive
from mig_kit.postgres.catalog import extension_tables
from mig_kit.postgres.digest import digest_tables
from mig_kit.postgres.identity import identify
from mig_kit.postgres.restore import restore
from mig_kit.progress import Progress, ProgressCallback
from mig_kit.record import register_secret
from mig_kit.steps import _backup_checks as look
from mig_kit.steps._manifest import Backup, DamagedManifest
from mig_kit.steps.check import Check, check_frame, failed_checks
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    import pandas

__all__ = ["RestoredBackup", "restore_backup"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredBackup:
    """State what was restored where; true when what came out is what went in.

    ``into``: the database's address without a secret. ``left_out``: what was not restored, one line of the dump's table
    of contents each. ``notes``: what was done to make it fit, a sentence each.
    """

    backup: str
    into: str
    server_version: str
    duration_s: float
    tables: int
    checks: tuple[Check, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<RestoredBackup {self.backup} into {self.into}>"

    def __bool__(self) -> bool:
        return not self.failed

    @property
    def failed(self) -> list[str]:
        """The names of the checks that failed."""
        return failed_checks(self.checks)

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a check: check, state, detail, next step."""
        return check_frame(self.checks)


def restore_backup(
    target: Target,
    path: Path,
    into: str | ConnectionInfo,
    *,
    without_extensions: bool = False,
    jobs: int = 2,
    progress: ProgressCallback | None = None,
) -> RestoredBackup:
    """Restore a backup into an existing, empty database, and compare what came out with the manifest.

    ``into``: a database's name on the target's own server, or an address (``postgresql://…``). Refuses one that is not
    empty, the target's database and the one that the backup is of, by whatever address, and a backup whose files are
    not those of its manifest. Owners and privileges are not restored: all belongs to who restores.
    ``without_extensions`` goes on where the server lacks some. On a failure, Ctrl-C included, the database is empty
    again.
    Raises BackupError, and what connecting raises.
    """
    clock = time.perf_counter()
    info = _destination(target, into)
    backup, checks = _trusted(path, progress)
    archive = open_archive(path)
    with contextlib.closing(target.connect("restore")) as conn:
        own = identify(conn)
    with contextlib.closing(connect(info)) as conn:
        if identify(conn).is_same(own):
            raise BackupError(
                f"The database {info.dbname!r} at {info.address} is the project's own.",
                hint="name another database, which is empty",
            )
    result = restore(
        archive,
        info,
        jobs=jobs,
        source=backup.identity if backup is not None else None,
        without_extensions=without_extensions,
        progress=progress,
    )
    checks.append(_compared(backup, info, bool(result.left_out), progress))
    return RestoredBackup(
        backup=path.name,
        into=info.safe,
        server_version=".".join(map(str, result.server_version)),
        duration_s=round(time.perf_counter() - clock, 3),
        tables=result.tables,
        checks=tuple(checks),
        left_out=result.left_out,
        notes=result.notes,
    )


def _destination(target: Target, into: str | ConnectionInfo) -> ConnectionInfo:
    if isinstance(into, ConnectionInfo):
        return into
    own = target.need_postgres("restore")
    if "://" not in into and "=" not in into:
        return own.with_dbname(into)
    info = ConnectionInfo.from_url(into)
    register_secret(info.password.reveal())
    return info


def _trusted(path: Path, progress: ProgressCallback | None) -> tuple[Backup | None, list[Check]]:
    """Return what the manifest says, the files compared with it; refuse a backup that was changed."""
    try:
        backup = Backup.read(path)
    except DamagedManifest as exc:
        raise BackupError(f"The manifest of {path.name} {exc}.", hint="rb.backups() lists the others") from exc
    if backup is None:
        return None, [Check(look.FILES, "skipped", f"{path.name} has no manifest to compare it with")]
    if progress is not None:
        progress(Progress("restore", "hashing the files", 0, backup.size_bytes, "bytes"))
    check = look.files_are_those(backup)
    if check.state == "failed":
        raise BackupError(
            f"{path.name} is not as it was written: {check.detail}.", hint="rb.backups() lists the others"
        )
    return backup, [check]


def _compared(backup: Backup | None, info: ConnectionInfo, partial: bool, progress: ProgressCallback | None) -> Check:
    if backup is None:
        return Check(look.CONTENTS, "skipped", "there is no manifest to compare the rows with")
    if partial:
        return Check(look.CONTENTS, "skipped", "it was restored in part: see what was left out")
    with contextlib.closing(connect(info)) as conn:
        if not backup.digests:
            return look.counts_are_those(backup, count_rows(conn, progress=progress))
        there = {each.label for each in all_tables(conn)}
        rules = [each.how for each in backup.digests if each.table in there]
        digests = digest_tables(conn, rules, progress, parallel=True)
        return look.contents_are_those(backup, digests, there, extension_tables(conn))
