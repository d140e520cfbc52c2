"""A backup and its manifest: what its files are, and what they hold."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

__all__ = ["MANIFEST", "Backup", "DamagedManifest", "FileEntry", "file_entries", "made_by", "manifest_of"]

MANIFEST = "manifest.json"
_SCHEMA = 1


class DamagedManifest(Exception):
    """The manifest is there and cannot be read."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a backup: its path in it, its size in bytes, its SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """One complete backup and what its manifest says.

    ``rows``: "schema.table" → number of rows, counted in ``snapshot``, the very one that was dumped; where that is
    None, just before the project's own script ran. ``size_bytes`` of all files, ``duration_s`` in seconds.
    ``migrations``: the rows of ``django_migrations`` among them. ``verified``: it was restored and compared; a dump
    that nobody restored is not verified.
    """

    path: Path
    database: str
    server: str
    method: str
    started: datetime
    duration_s: float
    size_bytes: int
    files: tuple[FileEntry, ...]
    rows: Mapping[str, int]
    snapshot: str | None
    server_version: str
    tool_version: str
    compression: str
    made_by: str
    warnings: tuple[str, ...] = ()
    verified: bool = False

    def __repr__(self) -> str:
        return f"<Backup {self.path.name}: {self.size_bytes:,} bytes, {sum(self.rows.values()):,} rows>"

    @property
    def same_snapshot(self) -> bool:
        """The rows were counted in the snapshot that was dumped."""
        return self.snapshot is not None

    @property
    def migrations(self) -> int:
        """How many migrations the database had recorded."""
        return sum(count for table, count in self.rows.items() if table.endswith(".django_migrations"))

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a table: table, rows."""
        import pandas

        return pandas.DataFrame(sorted(self.rows.items()), columns=["table", "rows"])

    def write_manifest(self, path: Path) -> None:
        """Write the manifest to ``path``: whole, flushed, private to the user."""
        data = asdict(replace(self, rows=dict(self.rows)))
        del data["path"]
        data["started"] = self.started.isoformat()
        temporary = path.with_name(f".{path.name}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"schema": _SCHEMA, **data}, file, indent=2, ensure_ascii=False)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    @classmethod
    def read(cls, path: Path) -> Backup | None:
        """Return the backup at ``path`` as its manifest describes it, None without one; ``DamagedManifest``."""
        try:
            data = json.loads(manifest_of(path).read_text(encoding="utf-8"))
            if data.pop("schema") != _SCHEMA:
                raise DamagedManifest(f"its schema is not {_SCHEMA}")
            data["started"] = datetime.fromisoformat(data["started"])
            data["files"] = tuple(FileEntry(**each) for each in data["files"])
            data["rows"] = {str(table): int(count) for table, count in data["rows"].items()}
            data["warnings"] = tuple(data["warnings"])
            return cls(path=path, **{each.name: data[each.name] for each in fields(cls) if each.name != "path"})
        except FileNotFoundError:
            return None
        except (AttributeError, KeyError, OSError, TypeError, ValueError) as exc:
            raise DamagedManifest(f"{type(exc).__name__}: {exc}") from exc

    def has_its_files(self) -> bool:
        """Say whether the files lie there in the sizes that the manifest states; their bytes are not read."""
        return {each.path: each.size for each in self.files} == {
            name: path.stat().st_size for name, path in _files(self.path)
        }


def manifest_of(backup: Path) -> Path:
    """Return where a backup's manifest lies: in a folder, or beside a file."""
    return backup / MANIFEST if backup.is_dir() else backup.with_name(f"{backup.name}.{MANIFEST}")


def file_entries(backup: Path) -> tuple[FileEntry, ...]:
    """Read every file of a backup (a folder or one file) and return its entry, by path."""
    found = []
    for name, path in _files(backup):
        with path.open("rb") as file:
            found.append(FileEntry(name, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()))
    return tuple(found)


def made_by() -> str:
    """Return who makes a backup, as user@host."""
    user = "unknown"
    with contextlib.suppress(OSError, KeyError):
        user = getpass.getuser()
    return f"{user}@{socket.gethostname()}"


def _files(backup: Path) -> list[tuple[str, Path]]:
    """Return the files of a backup but its manifest, by name."""
    if not backup.is_dir():
        return [(backup.name, backup)] if backup.is_file() else []
    paths = sorted(path for path in backup.rglob("*") if path.is_file() and path != backup / MANIFEST)
    return [(str(path.relative_to(backup)), path) for path in paths]


# They belong to the step; only what is made of them on disk stands here.
Backup.__module__ = FileEntry.__module__ = "mig_kit.steps.backup"
