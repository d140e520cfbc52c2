"""A dump in plain SQL: read whole before any of it is run, then fed to psql line by line."""

from __future__ import annotations

import lzma
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mig_kit.errors import BackupError
from mig_kit.postgres.archive import Archive, open_text
from mig_kit.progress import Progress, ProgressCallback

__all__ = ["SqlScan", "policy_roles", "restorable_lines", "scan_whole"]

_COPY = re.compile(rb"COPY .* FROM stdin;\s*$", re.IGNORECASE)
_META = re.compile(rb"\\([A-Za-z!?]+)")
_ELSEWHERE = re.compile(rb"(CREATE|DROP|ALTER) (DATABASE|ROLE|USER|GROUP|TABLESPACE|SUBSCRIPTION|SYSTEM)\b", re.I)
_NAME = rb'("(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
_ROLES = tuple(
    re.compile(pattern)
    for pattern in (
        rb"ALTER .* OWNER TO " + _NAME + rb";\s*$",
        rb"GRANT .* TO " + _NAME + rb"(?: WITH GRANT OPTION)?;\s*$",
        rb"REVOKE .* FROM " + _NAME + rb";\s*$",
        rb"ALTER DEFAULT PRIVILEGES FOR ROLE " + _NAME + rb" ",
        rb"SET SESSION AUTHORIZATION '?" + _NAME + rb"'?;\s*$",
    )
)
_EXTENSION = re.compile(rb"CREATE EXTENSION (?:IF NOT EXISTS )?" + _NAME)
_COMPLETE = b"-- PostgreSQL database dump complete"
_POLICY = re.compile(r"^CREATE POLICY .*? TO (.*?)(?: USING | WITH CHECK |;$)", re.MULTILINE | re.DOTALL)
_NOT_ROLES = ("public", "current_user", "session_user", "current_role", "default", "PUBLIC")
_TELL = 1 << 24
_AGAIN = "make the backup again: mig-kit backup"


@dataclass(frozen=True, slots=True)
class SqlScan:
    """State what was found on reading a plain SQL dump to its end.

    ``roles``: owners and grantees.
    """

    roles: tuple[str, ...]
    extensions: tuple[str, ...]
    size_bytes: int


def scan_whole(archive: Archive, progress: ProgressCallback) -> SqlScan:
    """Read a script to its end; raises BackupError for one that was cut off, or cannot be read or run.

    Refused is what would leave the database that is to be restored: ``\\connect``, other commands of psql, databases
    and roles being made (what pg_dumpall writes).
    """
    path, complete, size, next_word = archive.path, False, 0, _TELL

    def told(so_far: int) -> None:
        progress(Progress("restore", "reading", so_far, None, "bytes"))

    roles: set[str] = set()
    extensions: set[str] = set()
    for number, line, data in _lines(path):
        size += len(line)
        if size >= next_word:
            next_word = size + _TELL
            told(size)
        if data:
            continue
        if (found := _META.match(line)) and found[1] not in (b"restrict", b"unrestrict"):
            raise _leaves(path, number, "\\" + found[1].decode())
        if found := _ELSEWHERE.match(line):
            raise _leaves(path, number, found[0].decode())
        if line.startswith(_COMPLETE):
            complete = True
        elif found := _EXTENSION.match(line):
            extensions.add(_unquoted(found[1]))
        else:
            if line.startswith(b"CREATE POLICY "):
                roles.update(policy_roles(line.decode("utf-8", "replace")))
            roles.update(_unquoted(match[1]) for pattern in _ROLES if (match := pattern.match(line)))
    told(size)
    if not complete and archive.pg_dump_version is not None:
        raise BackupError(f"{path.name} lacks pg_dump's last line: it was cut off.", hint=_AGAIN)
    return SqlScan(tuple(sorted(roles - set(_NOT_ROLES))), tuple(sorted(extensions)), size)


def restorable_lines(path: Path, server_major: int) -> Iterator[bytes]:
    """Yield the script as any psql can run it: without commands and settings that only newer versions know."""
    for _, line, data in _lines(path):
        if not data and _META.match(line):  # \restrict, the only one that the scan lets pass
            continue
        if server_major < 17 and not data and line.startswith(b"SET transaction_timeout = "):
            continue
        yield line


def policy_roles(script: str) -> set[str]:
    """Return the roles that the policies of a script name."""
    found = {name for named in _POLICY.findall(script) for name in re.findall(r'"(?:[^"]|"")+"|[\w$]+', named)}
    return {_unquoted(name.encode()) for name in found} - set(_NOT_ROLES)


def _lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """Yield number, line, and whether it is data between COPY and its end."""
    data = False
    try:
        with open_text(path) as file:
            for number, line in enumerate(file, 1):
                yield number, line, data
                if data:
                    data = line not in (b"\\.\n", b"\\.\r\n", b"\\.")
                else:
                    data = line[:5].upper() == b"COPY " and bool(_COPY.match(line))
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        why = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise BackupError(f"{path.name} cannot be read: {why}.", hint=_AGAIN) from error
    if data:
        raise BackupError(f"{path.name} ends in the middle of a table's rows.", hint=_AGAIN)


def _leaves(path: Path, number: int, what: str) -> BackupError:
    return BackupError(
        f"{path.name} holds {what} in line {number}, which reaches beyond the one database that is restored.",
        hint="dump one database, without --create: pg_dump --format=custom",
    )


def _unquoted(name: bytes) -> str:
    text = name.decode("utf-8", "replace")
    return text[1:-1].replace('""', '"') if text.startswith('"') else text
