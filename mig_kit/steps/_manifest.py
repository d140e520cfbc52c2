"""A backup's manifest: what its files are, and what they hold."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["MANIFEST", "FileEntry", "file_entries", "read_manifest", "write_manifest"]

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a backup: its path in it, its size in bytes, its SHA-256."""

    path: str
    size: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as the manifest keeps it."""
        return asdict(self)


def file_entries(backup: Path) -> tuple[FileEntry, ...]:
    """Read every file of a backup (a folder or one file) and return its entry, by path."""
    paths = sorted(path for path in backup.rglob("*") if path.is_file()) if backup.is_dir() else [backup]
    found = []
    for path in paths:
        if path.name == MANIFEST:
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = str(path.relative_to(backup)) if backup.is_dir() else path.name
        found.append(FileEntry(name, path.stat().st_size, digest))
    return tuple(found)


def write_manifest(path: Path, data: Mapping[str, Any]) -> None:
    """Write the manifest whole and flushed, private to the user."""
    temporary = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=2, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Return a manifest's data, or None where there is none that can be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) and data.get("schema") == 1 else None
