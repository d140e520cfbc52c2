"""What befalls backups: each does real damage to a real one, or to its making, and returns how it is refused."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from mig_kit.errors import BackupError
from mig_kit.postgres import connect
from mig_kit.postgres.archive import open_archive
from mig_kit.progress import Progress
from mig_kit.steps._backup_files import checksum_of
from mig_kit.steps.apply import apply
from mig_kit.steps.backup import Backup, backup
from mig_kit.steps.target import Target, open_target
from mig_kit.steps.verify_backup import verify_backup
from tests.servers import server_binaries
from tests.steps.projects import Copy, empty_migration

__all__ = ["DAMAGES", "Patient", "data_file", "short_of_rows"]


@dataclass(frozen=True)
class Patient:
    """A backup that verifies, in a place of its own, and all that is needed to damage it."""

    project: Copy
    target: Target
    made: Backup
    path: Path
    other: Callable[[], Target]

    def refused(self, target: Target | None = None) -> str:
        """Verify it again and return why it is not verified; '' when it is."""
        result = verify_backup(target or self.target, self.path)
        assert result.verified == (not result.reason)
        assert not result.failed or result.reason == result.check(result.failed[0]).detail
        return result.reason

    def not_made(self, during: Callable[[Progress], None] | None = None) -> str:
        """Try to make another, and return why there is none; nothing of it is left."""
        there = sorted(self.project.backups.iterdir())
        with pytest.raises(BackupError) as caught:
            backup(self.target, progress=during)
        assert sorted(self.project.backups.iterdir()) == there
        assert caught.value.hint
        return caught.value.message


def data_file(backup: Path, label: str, ending: str = ".dat.gz") -> Path:
    """Return the file with the rows of a table."""
    [entry] = [each for each in open_archive(backup).entries if f"TABLE DATA {label.replace('.', ' ')} " in each.text]
    return backup / f"{entry.number}{ending}"


def cut(patient: Patient) -> str:
    path = data_file(patient.path, "public.blog_post")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return patient.refused()


def flip(patient: Patient) -> str:
    _flip(data_file(patient.path, "public.blog_post"))
    return patient.refused()


def flip_uncompressed(patient: Patient) -> str:
    """By a script that does not compress: pg_restore itself reads such a file without complaint."""
    script = patient.project.root / "execution" / "uncompressed.py"
    info = patient.project.admin.with_dbname(patient.project.database.dbname)
    options = ["--format=directory", "--compress=0", "--file=.tmp/backups/plain"]
    options += [f"--host={info.host}", f"--port={info.port}", f"--username={info.user}", info.dbname]
    command = [str(server_binaries(18).tool("pg_dump")), *options]
    script.write_text(f"import os, subprocess\nsubprocess.run({command!r}, check=True)\n")
    before = os.environ.get("PGPASSWORD")
    os.environ["PGPASSWORD"] = info.password.reveal()
    try:
        made = backup(patient.target, script=script)
    finally:
        os.environ.pop("PGPASSWORD") if before is None else os.environ.update(PGPASSWORD=before)
    assert verify_backup(patient.target, made.path)
    _flip(data_file(made.path, "public.blog_post", ".dat"))
    reason = verify_backup(patient.target, made.path).reason
    shutil.rmtree(made.path)
    return reason


def missing(patient: Patient) -> str:
    data_file(patient.path, "public.blog_post").unlink()
    return patient.refused()


def extra(patient: Patient) -> str:
    (patient.path / "notes.txt").write_text("looks fine to me")
    return patient.refused()


def swapped(patient: Patient) -> str:
    one, two = (data_file(patient.path, f"public.blog_{each}") for each in ("category", "post"))
    one.rename(patient.path / "between")
    two.rename(one)
    (patient.path / "between").rename(two)
    return patient.refused()


def changed_manifest(patient: Patient) -> str:
    manifest = patient.path / "manifest.json"
    data = json.loads(manifest.read_text())
    data["rows"]["public.blog_post"] -= 1
    manifest.write_text(json.dumps(data))
    return patient.refused()


def another_database(patient: Patient) -> str:
    return patient.refused(patient.other())


def migrated_since(patient: Patient) -> str:
    """By a migration that is really applied."""
    empty_migration(patient.project, "blog", "0005_later", "0004_category_position_post_status_idx")
    with closing(open_target(patient.project.root)) as target:
        apply(target)
        return patient.refused(target)


def short_of_rows(patient: Patient) -> str:
    """The file is in order, and so is its hash: only what comes out of the restore gives it away."""
    path = data_file(patient.path, "public.contact_subscriber")
    lines = gzip.decompress(path.read_bytes()).split(b"\n")
    path.write_bytes(gzip.compress(b"\n".join(lines[1:])))
    _write_hash(patient.path, path)
    return patient.refused()


def another_value(patient: Patient) -> str:
    path = data_file(patient.path, "public.contact_subscriber")
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"@", b"#", 1)))
    _write_hash(patient.path, path)
    return patient.refused()


def full_disk(patient: Patient) -> str:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a tmpfs")
    folder = patient.project.backups
    kept = folder.with_name("kept")
    folder.rename(kept)
    folder.mkdir()
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)], capture_output=True)
        if mounted.returncode:
            pytest.skip("a tmpfs cannot be mounted here")
        try:
            return patient.not_made()
        finally:
            subprocess.run(["umount", str(folder)], check=True)
    finally:
        folder.rmdir()
        kept.rename(folder)


def killed(patient: Patient) -> str:
    def kill(progress: Progress) -> None:
        if progress.unit == "bytes":
            for pid in _pg_dumps(patient.project.backups):
                os.kill(pid, signal.SIGKILL)

    # While somebody holds what only pg_dump reads, it is surely not through yet.
    with closing(connect(patient.project.admin.with_dbname(patient.project.database.dbname), autocommit=False)) as conn:
        conn.execute("LOCK TABLE pg_ts_template IN ACCESS EXCLUSIVE MODE")
        return patient.not_made(kill)


def older_pg_dump(patient: Patient) -> str:
    before = os.environ.get("MIG_KIT_PG_BIN")
    os.environ["MIG_KIT_PG_BIN"] = str(server_binaries(15).bin_dir)
    try:
        return patient.not_made()
    finally:
        os.environ.pop("MIG_KIT_PG_BIN") if before is None else os.environ.update(MIG_KIT_PG_BIN=before)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _write_hash(backup: Path, path: Path) -> None:
    """Let the manifest, and its own checksum, say that the file is as it is now."""
    manifest = backup / "manifest.json"
    data = json.loads(manifest.read_text())
    [entry] = [each for each in data["files"] if each["path"] == path.name]
    entry.update(size=path.stat().st_size, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    manifest.write_text(json.dumps({**data, "checksum": checksum_of(data)}))


def _pg_dumps(folder: Path) -> list[int]:
    """Return the pg_dump processes, not their workers, that write below a folder."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if "pg_dump" in command and str(folder) in command:
            found[int(process.name)] = parent
    return [pid for pid, parent in found.items() if parent not in found]


# Damage, and the words in which it is refused; what they name stands in braces.
DAMAGES: tuple[tuple[Callable[[Patient], str], str], ...] = (
    (cut, "{post} was cut off: {half} of {size} bytes are there"),
    (flip, "{post} was changed: its SHA-256 is not that of the manifest"),
    (flip_uncompressed, "{post_uncompressed} was changed: its SHA-256 is not that of the manifest"),
    (missing, "{post} is missing"),
    (extra, "notes.txt was not there when the backup was made"),
    (swapped, "{category} and {post} were swapped"),
    (changed_manifest, "the manifest was changed after it was written"),
    (another_database, "it is a backup of '{name}' at {server}, not of '{other}' at {address}"),
    (migrated_since, "it was made before the last migration applied: blog.0005_later"),
    (short_of_rows, "public.contact_subscriber is short of 1 row ({less} of {subscribers})"),
    (another_value, "public.contact_subscriber has as many rows, and not the same in them (every row)"),
    (full_disk, "pg_dump failed, and no backup was kept: could not write: No space left on device."),
    (killed, "pg_dump failed, and no backup was kept: it was ended by SIGKILL."),
    (
        older_pg_dump,
        "The server is PostgreSQL {server_version}, and no pg_dump fits it: MIG_KIT_PG_BIN names PostgreSQL {old} "
        "({old_bin}); 18 or newer is needed.",
    ),
)
