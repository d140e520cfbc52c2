"""Who owns what a process leaves on disk or on a server, and whether that process still lives."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import re
import socket
import subprocess
from pathlib import Path
from typing import IO

__all__ = ["OwnerLock", "is_dead", "owner_token"]

_TOKEN = re.compile(r"([0-9a-f]{8})_(\d+)_([0-9a-f]+)")


def owner_token() -> str:
    """Name this process for all time: machine, process id, start; of letters, digits and underscores."""
    return f"{_machine()}_{os.getpid()}_{_start(os.getpid())}"


def is_dead(token: str) -> bool:
    """Tell whether the process of that token is surely gone; False for one of another machine or container."""
    found = _TOKEN.fullmatch(token)
    # The start is compared too, for another process may have got the number since.
    return found is not None and found[1] == _machine() and _start(int(found[2])) != found[3]


class OwnerLock:
    """Hold a lock on a file for as long as this process lives; the kernel lets go of it at its death."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] = path.open("a", encoding="utf-8")
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Remove the file and let go of it."""
        self._path.unlink(missing_ok=True)
        self._file.close()

    @staticmethod
    def is_held(path: Path) -> bool:
        """Tell whether some process that lives holds it; a file that is not there is held by nobody."""
        try:
            with path.open("r+", encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False


@functools.cache
def _machine() -> str:
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/etc/machine-id").read_text().strip())
    with contextlib.suppress(OSError):  # a container has process ids of its own
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


def _start(pid: int) -> str:
    """Return when a process started, hashed with the boot it counts from; '' when there is none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The name, in parentheses, may hold anything; the start is the 20th field after it.
        given = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
        boot = ""
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        given = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if not given:
            return ""
    except (OSError, IndexError):
        return ""
    return hashlib.sha256(f"{boot}\0{given}".encode()).hexdigest()[:10]
