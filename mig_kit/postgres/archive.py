"""What a dump is and what it holds, read without restoring it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

from mig_kit.errors import BackupError, BinariesNotFound
from mig_kit.postgres.binaries import Binaries, find_binaries

__all__ = ["Archive", "Entry", "Format", "open_archive", "open_text", "recognise"]

Format = Literal["directory", "custom", "tar", "plain"]

_GZIP, _BZIP2, _XZ, _ZSTD, _LZ4 = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"
_OTHERWISE = "make the backup again: mig-kit backup"
_ENTRY = re.compile(r"(\d+); \d+ \d+ (.*)")
_DEPENDS = re.compile(r";\s+depends on: ([\d ]+)")
_FROM = re.compile(r"[Dd]umped from database version:? (\d+)\.(\d+)")
_BY = re.compile(r"[Dd]umped by pg_dump version:? (\d+)\.(\d+)")
_HEAD_LINES = 60


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an archive's table of contents: its number, its line, and the entries it needs.

    ``text`` begins with the kind, as in ``TABLE DATA public blog_post owner``.
    """

    number: int
    text: str
    needs: frozenset[int]


@dataclass(frozen=True, slots=True)
class Archive:
    """State what a dump says of itself; plain SQL has no ``entries`` and names no ``database``.

    ``database``: the name of the database it was made of, '' where it does not say. ``server_version`` and
    ``pg_dump_version``: (major, minor), None where it does not say. ``binaries``: those that can read it.
    """

    path: Path
    format: Format
    database: str
    server_version: tuple[int, int] | None
    pg_dump_version: tuple[int, int] | None
    compression: str
    entries: tuple[Entry, ...]
    binaries: Binaries

    @property
    def extensions(self) -> tuple[str, ...]:
        """The extensions that it creates, by name."""
        return tuple(sorted(each.text.split(" - ", 1)[1].strip() for each in self._of("EXTENSION - ")))

    def needing_extensions(self, names: Iterable[str]) -> tuple[Entry, ...]:
        """Return the entries that cannot be restored without those extensions, the extensions' own among them."""
        wanted = set(names)
        own = (each for each in self._of("EXTENSION - ") if each.text.split(" - ", 1)[1].strip() in wanted)
        out = {each.number for each in own}
        while True:
            more = {each.number for each in self.entries if each.needs & out} - out
            if not more:
                return tuple(each for each in self.entries if each.number in out)
            out |= more

    @property
    def policies(self) -> tuple[Entry, ...]:
        """The row-level security policies, which name roles."""
        return tuple(self._of("POLICY "))

    def script(self, entries: Iterable[Entry] = (), *, create: bool = False) -> str:
        """Return the SQL of some entries, without data; with ``create`` that of the database itself."""
        chosen = [*entries, *(self._of("DATABASE - ") if create else ())]
        lines = "".join(f"{each.number}; 0 0 {each.text}\n" for each in chosen)
        options = ["--create"] if create else []
        command = ["--schema-only", "--use-list=/dev/stdin", "--file=-", *options, str(self.path)]
        return _pg_restore(self.binaries, command, self.path, lines)

    def _of(self, kind: str) -> Iterable[Entry]:
        return (each for each in self.entries if each.text.startswith(kind))


def recognise(path: Path) -> Format:
    """Tell a dump's format from its first bytes; raises BackupError when it is none that can be restored."""
    try:
        if path.is_dir():
            if (path / "toc.dat").is_file():
                return "directory"
            raise BackupError(f"{path} is no dump: it has no table of contents (toc.dat).", hint=_OTHERWISE)
        with path.open("rb") as file:
            head = file.read(512)
        if not head:
            raise BackupError(f"{path} is empty.", hint=_OTHERWISE)
        if head.startswith((_ZSTD, _LZ4)):
            tool = "zstd" if head.startswith(_ZSTD) else "lz4"
            raise BackupError(f"{path} is compressed with {tool}.", hint=f"unpack it first: {tool} -d {path}")
        with open_text(path) as file:
            inner = file.read(512)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise _unreadable(path, str(getattr(error, "strerror", None) or error)) from error
    if head.startswith(b"PGDMP"):
        return "custom"
    if head[257:262] == b"ustar":
        return "tar"
    if inner != head and (inner.startswith(b"PGDMP") or inner[257:262] == b"ustar"):
        raise BackupError(f"{path} is an archive of pg_dump that was compressed once more.", hint="unpack it first")
    if b"\0" in inner:
        raise BackupError(f"{path} is neither SQL nor an archive of pg_dump.", hint=_OTHERWISE)
    return "plain"


def open_text(path: Path) -> IO[bytes]:
    """Open a plain SQL dump for reading, unpacked when it is .gz, .bz2 or .xz by its first bytes."""
    with path.open("rb") as file:
        head = file.read(6)
    if head.startswith(_GZIP):
        return cast(IO[bytes], gzip.open(path, "rb"))
    if head.startswith(_BZIP2):
        return cast(IO[bytes], bz2.open(path, "rb"))
    if head.startswith(_XZ):
        return cast(IO[bytes], lzma.open(path, "rb"))
    return path.open("rb")


def open_archive(path: Path, *, binaries: Binaries | None = None) -> Archive:
    """Read what a dump says of itself; raises BackupError when it cannot be read.

    An archive's table of contents is read, none of its data.
    """
    path = path.absolute()
    kind = recognise(path)
    if kind == "plain":
        return _plain(path, binaries)
    if kind == "tar":
        _check_tar(path)
    # The newest reads every archive there is; which one restores it is decided by the server.
    reader = binaries or _binaries()
    listed = _pg_restore(reader, ["--list", "--verbose", str(path)], path).splitlines()
    comments = (line[1:].partition(":") for line in listed if line.startswith(";"))
    head = {name.strip(): value.strip() for name, _, value in comments}
    entries: list[Entry] = []
    for line in listed:
        if found := _ENTRY.fullmatch(line):
            entries.append(Entry(int(found[1]), found[2], frozenset()))
        elif (found := _DEPENDS.match(line)) and entries:
            last = entries.pop()
            entries.append(Entry(last.number, last.text, frozenset(map(int, found[1].split()))))
    by = _version(_BY, listed)
    fitting = reader if binaries or by is None or reader.version[0] <= by[0] else _binaries(by[0])
    compression = head.get("Compression", "none")
    if compression == "zstd" and not fitting.supports_zstd:  # which made it need not be the first that is found
        fitting = _binaries(by[0] if by else None, zstd=True)
    database = head.get("dbname", "")
    return Archive(path, kind, database, _version(_FROM, listed), by, compression, tuple(entries), fitting)


def _plain(path: Path, binaries: Binaries | None) -> Archive:
    lines = []
    try:
        with open_text(path) as file:
            for raw in file:
                lines.append(raw.decode("utf-8", "replace"))
                if len(lines) >= _HEAD_LINES:
                    break
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise _unreadable(path, str(getattr(error, "strerror", None) or error)) from error
    server, by = _version(_FROM, lines), _version(_BY, lines)
    found = binaries or _binaries((server or by or (None,))[0], needs=("psql",))
    return Archive(path, "plain", "", server, by, "", (), found)


def _check_tar(path: Path) -> None:
    """Go through the headers: pg_restore never ends on a tar archive that was cut off."""
    try:
        with tarfile.open(path) as file:
            end = max((each.offset_data + each.size for each in file), default=0)
    except tarfile.TarError as error:
        raise _unreadable(path, str(error)) from error
    if end > path.stat().st_size:
        raise _unreadable(path, "it was cut off")


def _binaries(major: int | None = None, *, needs: tuple[str, ...] = ("pg_restore",), zstd: bool = False) -> Binaries:
    try:
        return find_binaries(major, needs=needs, zstd=zstd)
    except BinariesNotFound as error:
        raise BackupError(f"The dump cannot be read: {error.message}", hint=error.hint) from error


def _version(pattern: re.Pattern[str], lines: Iterable[str]) -> tuple[int, int] | None:
    found = next((match for line in lines if (match := pattern.search(line))), None)
    return (int(found[1]), int(found[2])) if found else None


def _pg_restore(binaries: Binaries, arguments: list[str], path: Path, given: str = "") -> str:
    run = subprocess.run(
        [str(binaries.tool("pg_restore")), *arguments],
        input=given,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "LC_ALL": "C", "LANGUAGE": "C"},
        check=False,
    )
    if run.returncode:
        errors = [line.partition("error: ")[2] for line in run.stderr.splitlines() if "error: " in line]
        raise _unreadable(path, (errors or [f"pg_restore ended with {run.returncode}"])[0].rstrip("."))
    return run.stdout


def _unreadable(path: Path, why: str) -> BackupError:
    return BackupError(f"{path.name} cannot be read: {why}.", hint=_OTHERWISE)
