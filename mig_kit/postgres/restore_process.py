"""pg_restore and psql as they are called, watched, and understood."""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from mig_kit.errors import BackupError
from mig_kit.postgres.archive import Archive
from mig_kit.postgres.credentials import tool_connection
from mig_kit.postgres.info import ConnectionInfo
from mig_kit.postgres.plain_sql import SqlScan, restorable_lines
from mig_kit.postgres.tool_process import ToolProcess, interrupted_later
from mig_kit.progress import Progress, ProgressCallback

__all__ = ["RestoreWords", "count_tables", "run_pg_restore", "run_psql", "watch"]

_TICK_S = 0.5
_TABLE = re.compile(r'processing data for table "(.*)"')
_BUILDING = re.compile(r"launching item \d+ (?:INDEX|CONSTRAINT|FK CONSTRAINT) (.*)")
_ERROR = re.compile(r"error: (?:could not execute query: )?(?:ERROR: +)?(.*)")
_DETAIL = re.compile(r"^DETAIL:  (.*)")
_ENTRY = re.compile(r"from TOC entry \d+; \d+ \d+ (.*)")
_PSQL = re.compile(r"psql:.*?:(\d+): (?:ERROR|FATAL|error): +(.*)")


@dataclass
class RestoreWords:
    """Collect what pg_restore or psql says."""

    tables: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    now: str = ""
    entry: str = ""
    last: str = ""

    def line(self, line: str) -> None:
        """Take one line."""
        # Searched, not matched: the workers of pg_restore write into one another's lines.
        self.last = line or self.last
        if found := _TABLE.search(line):
            self.tables.append(found[1])
        elif found := _BUILDING.search(line):
            self.now = f"building {found[1]}"
        elif found := _ENTRY.search(line):
            self.entry = found[1].removesuffix(" (no owner)")
        elif found := _PSQL.match(line):
            self.errors.append(f"{found[2]} (line {found[1]})")
        elif found := _ERROR.search(line):
            of = f" ({self.entry})" if self.entry else ""
            self.errors.append(f"{found[1]}{of}")
        elif (found := _DETAIL.search(line)) and len(self.errors) == 1:
            self.errors[0] += f": {found[1]}"

    def failure(self, process: ToolProcess) -> str:
        """Return what went wrong in one sentence; else how it ended."""
        # A dead worker is only the consequence; what killed it was said before.
        causes = [line for line in self.errors if "worker process" not in line]
        said = [self.last] if self.last and not process.killed else []
        return (causes or self.errors or said or [process.how_it_ended()])[0].rstrip(".")


def run_pg_restore(
    archive: Archive, info: ConnectionInfo, left_out: Mapping[int, str], jobs: int, progress: ProgressCallback
) -> int:
    """Restore an archive but for some entries, to the first error; return the number of tables. Raises BackupError."""
    heard = RestoreWords()
    options = ["--exit-on-error", "--no-owner", "--no-privileges", "--no-tablespaces", "--no-subscriptions"]
    options += ["--no-publications", "--no-password", "--verbose"]
    if archive.format != "tar":
        options.append(f"--jobs={jobs}")
    with contextlib.ExitStack() as stack:
        conninfo, environment = stack.enter_context(tool_connection(info))
        if left_out:
            chosen = stack.enter_context(tempfile.NamedTemporaryFile("w", prefix="mig_kit-", suffix=".list"))
            kept = (each for each in archive.entries if each.number not in left_out)
            chosen.writelines(f"{each.number}; 0 0 {each.text}\n" for each in kept)
            chosen.flush()
            options.append(f"--use-list={chosen.name}")
        command = [str(archive.binaries.tool("pg_restore")), *options, f"--dbname={conninfo}", str(archive.path)]
        process: ToolProcess | None = None
        total = count_tables(archive, left_out)
        try:
            with interrupted_later():
                process = ToolProcess(command, environment, heard.line)
            watch(process, heard, total, "restoring", progress)
            if process.returncode() != 0:
                raise _failed(archive, info, heard.failure(process))
        finally:
            with interrupted_later():
                if process is not None:
                    process.end()
    return total


def run_psql(
    archive: Archive, scan: SqlScan, info: ConnectionInfo, server_major: int, progress: ProgressCallback
) -> int:
    """Run a script in one transaction, to the first error; return the number of tables. Raises BackupError."""
    heard, tables, sent, next_word = RestoreWords(), 0, 0, 0.0
    options = ["--no-psqlrc", "--quiet", "--single-transaction", "--no-password", "--set=ON_ERROR_STOP=1"]
    with tool_connection(info) as (conninfo, environment):
        command = [str(archive.binaries.tool("psql")), *options, f"--dbname={conninfo}", "--file=-"]
        process: ToolProcess | None = None
        try:
            with interrupted_later():
                process = ToolProcess(command, environment, heard.line, feed=True)
            with contextlib.suppress(BrokenPipeError):  # psql has said why
                for line in restorable_lines(archive.path, server_major):
                    process.input.write(line)
                    sent += len(line)
                    tables += line.startswith(b"COPY ")
                    if time.monotonic() > next_word:
                        next_word = time.monotonic() + _TICK_S
                        progress(Progress("restore", "restoring", sent, scan.size_bytes, "bytes"))
                process.input.close()
            while not process.wait(_TICK_S):
                progress(Progress("restore", "restoring", sent, scan.size_bytes, "bytes"))
            if process.returncode() != 0:
                raise _failed(archive, info, heard.failure(process))
        finally:
            with interrupted_later():
                if process is not None:
                    process.end()
    return tables


def watch(process: ToolProcess, heard: RestoreWords, total: int, doing: str, progress: ProgressCallback) -> None:
    """Report what a program does until it ends; whatever the callback raises ends it."""
    told, said = 0, ""
    try:
        while True:
            ended = process.wait(_TICK_S)
            for table in heard.tables[told:]:
                told += 1
                progress(Progress("restore", f"{doing} {table}", told, max(total, told), "tables"))
            if heard.now != said:
                said = heard.now
                progress(Progress("restore", said))
            if ended:
                return
    except BaseException:
        with interrupted_later():
            process.end()
        raise


def count_tables(archive: Archive, left_out: Mapping[int, str]) -> int:
    """Return how many tables' rows an archive holds, but for what is left out."""
    return sum(each.text.startswith("TABLE DATA ") and each.number not in left_out for each in archive.entries)


def _failed(archive: Archive, info: ConnectionInfo, why: str) -> BackupError:
    hint = "see the server's log as well"
    if "No space left" in why:
        hint = "free space for the server's data, or name another server"
    elif "permission denied" in why:
        hint = f"let {info.user or 'the user'} own the database it restores into, or restore as a superuser"
    return BackupError(f"{archive.path.name} could not be restored: {why}.", hint=hint)
