"""Where private scratch servers lie, and how those of processes that are gone are swept."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from mig_kit.errors import DatabaseError, MigKitError
from mig_kit.postgres import postmaster
from mig_kit.postgres.binaries import Binaries
from mig_kit.postgres.owner import OwnerLock, is_dead
from mig_kit.postgres.server import Server
from mig_kit.postgres.tool_process import interrupted_later

__all__ = ["make_server", "sweep_servers"]

# What a rehearsal measures should not be a checkpoint's or autovacuum's doing.
_SETTINGS = {"autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "8GB", "max_connections": "50"}


def make_server(name: str, binaries: Binaries) -> tuple[Server, OwnerLock]:
    """Make and start a server that this process owns; the lock says so to others for as long as it lives."""
    home = _home()
    folder = home / name
    with _locked(home):
        lock = OwnerLock(_lock_of(folder))
    try:
        # initdb is over in a second, and half a cluster may lie in two places.
        with interrupted_later():
            server = Server.create(folder, binaries=binaries, durable=False)
            with (server.cluster / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
                file.writelines(f"{setting} = '{value}'\n" for setting, value in _SETTINGS.items())
        return server.start(), lock
    except BaseException:
        with interrupted_later():
            _remove(folder)
            lock.release()
        raise


def sweep_servers() -> list[str]:
    """Stop and remove the servers of processes that are gone; return their names."""
    swept = []
    home = _home()
    with _locked(home):
        for file in sorted(home.glob("*.owner")):
            folder = file.with_suffix("")
            if not OwnerLock.is_held(file):
                if folder.exists():
                    _remove(folder)
                    swept.append(folder.name)
                file.unlink(missing_ok=True)  # its owner may be removing it at this moment
        # One whose owner let go of it and died before it was removed: nothing but its name tells whose it was.
        for folder in sorted(each for each in home.iterdir() if each.is_dir() and not _lock_of(each).exists()):
            if is_dead(folder.name.rpartition("_")[0]):
                _remove(folder)
                swept.append(folder.name)
    return swept


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.owner")


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Let no other process sweep or make one meanwhile: a lock file is there a moment before it is locked."""
    with (home / ".lock").open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _home() -> Path:
    """Make the directory of the private servers: on disk, not in /tmp, which is often in memory."""
    given = os.environ.get("MIG_KIT_SCRATCH")
    home = Path(given) if given else Path(f"/var/tmp/mig_kit-scratch-{os.geteuid()}")
    try:
        home.mkdir(mode=0o700, parents=bool(given), exist_ok=True)
        info = home.lstat()
    except OSError as error:
        raise DatabaseError(
            f"The place for scratch servers, {home}, cannot be made: {error.strerror}.",
            hint="name another in MIG_KIT_SCRATCH",
        ) from error
    # Anybody could have made it in /var/tmp.
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o022:
        raise DatabaseError(
            f"The place for scratch servers, {home}, is not yours alone.", hint="name another in MIG_KIT_SCRATCH"
        )
    if os.geteuid() == 0:
        home.chmod(0o711)  # the account that root's servers run under passes through
    return home


def _remove(folder: Path) -> None:
    try:
        Server.open(folder).remove()
    except MigKitError:  # its programs are gone, or it was never finished
        with contextlib.suppress(MigKitError):
            postmaster.stop(folder / "cluster")
    shutil.rmtree(folder, ignore_errors=True)
