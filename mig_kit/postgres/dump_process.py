"""pg_dump as it is called, and what it says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mig_kit.postgres.binaries import Binaries
from mig_kit.postgres.catalog import Table
from mig_kit.postgres.tool_process import ToolProcess

__all__ = ["DumpWords", "compression_of", "dump_command"]

# Searched, not matched: the workers of pg_dump write into one another's lines, in pieces.
_TABLE = re.compile(r"dumping contents of table \"(.*)\"$")
_SAID = re.compile(r"\b(error|detail|warning): (.*)")


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


class DumpWords:
    """Collect what pg_dump says, line by line: the tables it has begun, its warnings, its errors.

    Should this process die, pg_dump ends at its next word, because nobody holds the other end of its standard error.
    """

    def __init__(self) -> None:
        self.tables: list[str] = []
        self.warnings: list[str] = []
        self.errors: list[str] = []
        self._last = ""

    def line(self, line: str) -> None:
        """Take one line."""
        self._last = line or self._last
        if found := _TABLE.search(line):
            self.tables.append(found[1])
        elif found := _SAID.search(line):
            if found[1] == "error":
                self.errors.append(found[2])
            elif found[1] == "warning":
                self.warnings.append(found[2])
            elif self.errors:
                self.errors[-1] += f" ({found[2]})"

    def failure(self, process: ToolProcess) -> str:
        """Return its first error in one sentence, with its detail; else its last word, else how it ended."""
        # A dead worker is only the consequence; what killed it was said before.
        causes = [line for line in self.errors if "worker process died" not in line]
        said = [self._last] if self._last and not process.killed else []
        return (causes or self.errors or said or [process.how_it_ended()])[0].rstrip(".")


def _pattern(table: Table) -> str:
    # Quoted, so that it is a name and not a pattern.
    return ".".join('"' + name.replace('"', '""') + '"' for name in (table.schema, table.name))
