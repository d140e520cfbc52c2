"""Read all of a dump without restoring it."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from mig_kit.errors import BackupError
from mig_kit.postgres.archive import Archive, open_archive
from mig_kit.postgres.plain_sql import scan_whole
from mig_kit.postgres.restore_process import RestoreWords, count_tables, watch
from mig_kit.postgres.tool_process import ToolProcess, interrupted_later
from mig_kit.progress import Progress, ProgressCallback

__all__ = ["Reading", "read_through"]


def read_through(dump: Path | Archive, *, progress: ProgressCallback | None = None) -> None:
    """Read all of a dump, unpacking it, without a server; raises BackupError where it cannot be read.

    Finds what is cut off, missing or damaged in a compressed file. In an uncompressed one a changed value reads as
    well as the right one: for that there are checksums.
    """
    with Reading(dump if isinstance(dump, Archive) else open_archive(dump)) as reading:
        reading.finish(progress)


class Reading:
    """Read all of a dump beside other work: begun when the block is entered, ended with it at the latest."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._words = RestoreWords()
        self._process: ToolProcess | None = None

    def __enter__(self) -> Reading:
        if self._archive.format != "plain":
            tool = str(self._archive.binaries.tool("pg_restore"))
            command = [tool, "--verbose", f"--file={os.devnull}", str(self._archive.path)]
            with interrupted_later():
                environment = {**os.environ, "LC_ALL": "C", "LANGUAGE": "C"}
                self._process = ToolProcess(command, environment, self._words.line)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            with interrupted_later():
                self._process.end()

    def finish(self, progress: ProgressCallback | None = None) -> None:
        """Wait until all of it is read; raises BackupError where it cannot be."""
        progress = progress or _ignore
        if self._process is None:
            scan_whole(self._archive, progress)
            return
        watch(self._process, self._words, count_tables(self._archive, {}), "reading", progress)
        if self._process.returncode() != 0 or self._words.errors:
            why = self._words.failure(self._process)
            raise BackupError(
                f"{self._archive.path.name} cannot be read: {why}.", hint="make the backup again: mig-kit backup"
            )


def _ignore(_: Progress) -> None:
    return None
