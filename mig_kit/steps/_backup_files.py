"""The files of a backup: what they are called, what is in them, whether they are still those."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "MANIFEST",
    "VERIFICATION",
    "FileEntry",
    "checksum_of",
    "file_entries",
    "file_sizes",
    "is_beside",
    "manifest_of",
    "verification_of",
    "write_private_json",
]

MANIFEST = "manifest.json"
VERIFICATION = "verification.json"
_BESIDE = (MANIFEST, VERIFICATION)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a backup: its path in it, its size in bytes, its SHA-256."""

    path: str
    size: int
    sha256: str


def manifest_of(backup: Path) -> Path:
    """Return where a backup's manifest lies: in a folder, or beside a file."""
    return _place(backup, MANIFEST)


def verification_of(backup: Path) -> Path:
    """Return where it is kept how a backup's last verification came out."""
    return _place(backup, VERIFICATION)


def is_beside(path: Path) -> bool:
    """Tell whether a file only lies beside a backup that is one file: its manifest, say."""
    return path.name.endswith(tuple(f".{each}" for each in _BESIDE))


def file_entries(backup: Path, told: Callable[[int], None] | None = None) -> tuple[FileEntry, ...]:
    """Read every file of a backup (a folder or one file) and return its entry, by path.

    Two files are read at once, for hashing is what takes the time. ``told`` the bytes so far, in the caller's thread.
    """

    def entry(given: tuple[str, Path]) -> FileEntry:
        name, path = given
        with path.open("rb") as file:
            return FileEntry(name, os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())

    found, size = [], 0
    with ThreadPoolExecutor(2) as pool:
        for each in pool.map(entry, _files(backup)):
            found.append(each)
            size += each.size
            if told is not None:
                told(size)
    return tuple(found)


def file_sizes(backup: Path) -> dict[str, int]:
    """Return the sizes of a backup's files in bytes, by path, without reading them."""
    return {name: path.stat().st_size for name, path in _files(backup)}


def checksum_of(data: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a manifest says, however its JSON is laid out; its own ``checksum`` left out."""
    said = {name: value for name, value in data.items() if name != "checksum"}
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def write_private_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON document: whole, flushed, private to the user; on failure what was there before stays."""
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


def _place(backup: Path, name: str) -> Path:
    return backup / name if backup.is_dir() else backup.with_name(f"{backup.name}.{name}")


def _files(backup: Path) -> list[tuple[str, Path]]:
    """Return the files of a backup but its manifest and its verification, by name."""
    if not backup.is_dir():
        return [(backup.name, backup)] if backup.is_file() else []
    # Also what a process that was killed while it wrote one of them has left.
    beside = {backup / name for each in _BESIDE for name in (each, f".{each}.tmp")}
    paths = sorted(path for path in backup.rglob("*") if path.is_file() and path not in beside)
    return [(str(path.relative_to(backup)), path) for path in paths]


# It belongs to the step; only what is made of it on disk stands here.
FileEntry.__module__ = "mig_kit.steps.backup"
