"""pg_dump as a running process: its command line, what it says, its end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from mig_kit.postgres.binaries import Binaries
from mig_kit.postgres.catalog import Table

__all__ = ["DumpProcess", "compression_of", "dump_command"]

_TABLE = re.compile(r"^pg_dump: dumping contents of table \"(.*)\"$")
_GRACE_S = 5.0


def compression_of(binaries: Binaries) -> str:
    """Return the best quick compression of this pg_dump: ``zstd:3`` or ``gzip:1``."""
    return "zstd:3" if binaries.supports_zstd else "gzip:1"


def dump_command(
    binaries: Binaries,
    conninfo: str,
    target: Path,
    *,
    snapshot: str,
    jobs: int,
    tables: Sequence[Table] | None,
) -> list[str]:
    """Compose the command line; ``conninfo`` must hold no secret, for everybody can read it."""
    method = compression_of(binaries)
    command = [str(binaries.tool("pg_dump")), "--format=directory", f"--jobs={jobs}", f"--file={target}"]
    # Before 16 the option took only a level, and the method was gzip.
    command.append(f"--compress={method if binaries.version[0] >= 16 else method.partition(':')[2]}")
    command += [f"--snapshot={snapshot}", "--no-password", "--verbose", f"--dbname={conninfo}"]
    return command + [f"--table={_pattern(table)}" for table in tables or ()]


class DumpProcess:
    """Run one pg_dump and read what it says; ``ended`` is set when it and its workers are gone.

    It has a session of its own: Ctrl-C in the terminal does not reach it, ``end()`` does. Should this process
    die, pg_dump ends at its next word, because nobody holds the other end of its standard error.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], changed: threading.Event) -> None:
        self.tables: list[str] = []
        self.warnings: list[str] = []
        self.errors: list[str] = []
        self._changed = changed
        self._process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            encoding="utf-8",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name="mig_kit-pg_dump", daemon=True)
        self._reader.start()

    @property
    def ended(self) -> bool:
        """Tell whether pg_dump and all its workers have ended and all they said is read."""
        return not self._reader.is_alive()

    def returncode(self) -> int:
        """Wait for the end and return the exit code."""
        self._reader.join()
        return self._process.wait()

    def end(self) -> None:
        """End pg_dump and its workers, gently, then by force; returns when they are gone."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None and self.ended:
                break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S)
            self._reader.join(_GRACE_S)
        if self._process.stderr and self.ended:
            self._process.stderr.close()

    def failure(self) -> str:
        """Return its last error in one sentence, with its detail."""
        if self.errors:
            # A dead worker is only the consequence; what killed it was said before.
            causes = [line for line in self.errors if "worker process died" not in line]
            return (causes or self.errors)[0].rstrip(".")
        code = self.returncode()
        if code < 0:
            return f"it was ended by {signal.Signals(-code).name}"
        return f"it ended with {code} and said nothing"

    def _read(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        for raw in stream:
            line = raw.rstrip("\n")
            if found := _TABLE.match(line):
                self.tables.append(found[1])
                self._changed.set()
            elif line.startswith("pg_dump: error: "):
                self.errors.append(line.removeprefix("pg_dump: error: "))
            elif line.startswith("pg_dump: detail: ") and self.errors:
                self.errors[-1] += f" ({line.removeprefix('pg_dump: detail: ')})"
            elif line.startswith("pg_dump: warning: "):
                self.warnings.append(line.removeprefix("pg_dump: warning: "))
        self._changed.set()


def _pattern(table: Table) -> str:
    # Quoted, so that it is a name and not a pattern.
    return ".".join('"' + name.replace('"', '""') + '"' for name in (table.schema, table.name))
