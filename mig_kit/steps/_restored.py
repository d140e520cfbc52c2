"""A backup restored into a scratch database, and kept there as the template of rehearsals."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from mig_kit.errors import BackupError
from mig_kit.postgres import ConnectionInfo
from mig_kit.postgres.archive import Archive, open_archive
from mig_kit.postgres.identity import DatabaseIdentity
from mig_kit.postgres.restore import restore
from mig_kit.postgres.scratch import Scratch, scratch_server
from mig_kit.postgres.tool_process import interrupted_later
from mig_kit.progress import Progress, ProgressCallback
from mig_kit.record import register_secret
from mig_kit.steps._backup_files import file_entries
from mig_kit.steps._manifest import Backup
from mig_kit.steps.target import Target

__all__ = [
    "Restored",
    "Room",
    "kept_as",
    "named_scratch",
    "restored_template",
    "room_for",
    "scratch_for",
    "scratch_restore",
]

_BASE_BYTES = 10 << 20  # an empty database
_MARGIN = 1.1
# For the sessions of the restore: indexes are built in memory, and nobody needs this database after a crash.
_SETTINGS = {"maintenance_work_mem": "256MB", "synchronous_commit": "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """State where a backup was restored: ``database`` on ``scratch``, for ``Scratch.copy`` to copy from.

    ``notes``: what was done to make it fit, a sentence each. ``left_out``: what was not restored, one line of the
    dump's table of contents each. ``without_data``: the tables that came without rows. ``restore_s``: how long the
    restore took. ``reused``: it was there from before in this process.
    """

    scratch: Scratch
    database: ConnectionInfo
    notes: tuple[str, ...]
    left_out: tuple[str, ...]
    without_data: tuple[str, ...]
    restore_s: float
    reused: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """Compare how large the restored database will be with the space there is, both in bytes; None is unknown."""

    needed: int | None
    free: int | None

    def fits(self, copies: int = 1) -> bool:
        """Tell whether so many of them fit; True where it is unknown, for the server will say."""
        return self.needed is None or self.free is None or self.needed * copies * _MARGIN <= self.free


def restored_template(
    backup: Backup,
    *,
    source: DatabaseIdentity | None = None,
    scratch: ConnectionInfo | None = None,
    without_data: Collection[str] = (),
    without_extensions: bool = False,
    jobs: int = 2,
    progress: ProgressCallback | None = None,
) -> Restored:
    """Return the backup restored as a template, to which nobody can connect: the one of before, or a new one.

    One that this process restored already, in ``verify_backup`` say, is given again; else the files are compared with
    the manifest and restored. ``scratch``: a server of the user's, instead of one of mig_kit's own; refused when it is
    the one that the backup, or ``source``, is of. ``without_data``: tables (``schema.table``) that are made without
    their rows, for a database too large for the machine. ``without_extensions``: go on where the server lacks some.
    Raises BackupError, also when it does not fit the free space, and what connecting raises.
    """
    archive = open_archive(backup.path)
    server = scratch_for(backup, archive, source=source, scratch=scratch)
    key = kept_as(backup, without_data, without_extensions)
    if (there := server.kept(key)) is not None:
        kept: Restored = there[1]
        return replace(kept, reused=True)
    if progress is not None:
        progress(Progress("restore", "comparing the files with the manifest", 0, backup.size_bytes, "bytes"))
    if file_entries(backup.path) != backup.files:
        raise BackupError(
            f"The files of {backup.path.name} are not those of its manifest.",
            hint=f"rb.verify_backup({backup.path.name!r}) names them",
        )
    with scratch_restore(
        backup,
        archive,
        server,
        without_data=without_data,
        without_extensions=without_extensions,
        jobs=jobs,
        progress=progress,
    ) as restored:
        server.keep(key, restored.database, restored)
    return restored


@contextlib.contextmanager
def scratch_restore(
    backup: Backup,
    archive: Archive,
    server: Scratch,
    *,
    without_data: Collection[str] = (),
    without_extensions: bool = False,
    jobs: int = 2,
    progress: ProgressCallback | None = None,
) -> Iterator[Restored]:
    """Restore into a new scratch database; it is dropped after the block, unless the block has it kept.

    Templates of other backups are dropped first: a session works on its latest, and each is as large as the database.
    """
    for key in server.kept_keys:
        if json.loads(key)[0] != backup.checksum and (old := server.kept(key)) is not None:
            server.drop(old[0])
    room = room_for(backup, server, without_data)
    if not room.fits():
        large = sorted(backup.sizes, key=lambda table: backup.sizes[table], reverse=True)
        raise BackupError(
            f"The restored database takes some {room.needed:,} bytes, and {server.words} has {room.free:,} free.",
            hint=f"name a server with more space (scratch), or free some; the largest tables: {', '.join(large[:3])}",
        )
    with contextlib.ExitStack() as stack:
        database = server.create(archive)
        stack.callback(_drop_unless_kept, server, database)
        result = restore(
            archive,
            database,
            jobs=jobs,
            source=backup.identity,
            without_extensions=without_extensions,
            without_data=without_data,
            create_roles=server.private,
            settings=_SETTINGS,
            progress=progress,
        )
        yield Restored(
            scratch=server,
            database=database,
            notes=(*server.notes_on(database), *result.notes),
            left_out=result.left_out,
            without_data=tuple(sorted(without_data)),
            restore_s=result.duration_s,
        )


def scratch_for(
    backup: Backup,
    archive: Archive,
    *,
    source: DatabaseIdentity | None = None,
    scratch: ConnectionInfo | None = None,
) -> Scratch:
    """Return the scratch server for a backup: the one named, else one of the source's own version, or newer."""
    major = int(backup.server_version.partition(".")[0])
    written_by = archive.pg_dump_version[0] if archive.pg_dump_version else 0
    # The pg_restore of 17 and later does not work with older servers.
    major = max(major, written_by) if written_by >= 17 else major
    server = scratch_server(major, named=scratch, source=backup.identity)
    return scratch_server(major, named=scratch, source=source) if source else server


def named_scratch(target: Target | None, given: str | ConnectionInfo | None) -> ConnectionInfo | None:
    """Return the user's scratch server: the one given, else that of the project's configuration, else None."""
    if isinstance(given, ConnectionInfo):
        return given
    text = given or (target.project.config.scratch if target is not None else None)
    if not text:
        return None
    info = ConnectionInfo.from_url(text)
    register_secret(info.password.reveal())
    return info


def room_for(backup: Backup, server: Scratch, without_data: Collection[str] = ()) -> Room:
    """Say how large the restored database will be, and how much space there is on the scratch server."""
    if not backup.sizes:
        return Room(None, server.free_bytes)
    full = sum(size for table, size in backup.sizes.items() if table not in without_data)
    return Room(full + _BASE_BYTES, server.free_bytes)


def kept_as(backup: Backup, without_data: Collection[str] = (), without_extensions: bool = False) -> str:
    """Return the key under which a backup restored this way is kept as a template."""
    return json.dumps([backup.checksum, sorted(without_data), without_extensions])


def _drop_unless_kept(server: Scratch, database: ConnectionInfo) -> None:
    with interrupted_later():
        if not server.is_kept(database):
            server.drop(database)
