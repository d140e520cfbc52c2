"""The journal: what happened in a run, in lines that nobody can change unseen."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ..errors import RecordError
from ._chain import GENESIS, Entry, Problem, check, make_entry, parse
from .redact import Plain, redact_fields

__all__ = ["Journal", "verify"]

LOCK_WAIT_S = 10.0
_BLOCK = 64 * 1024


class Journal:
    """Append what happens to ``path``, one JSON line an entry, each joined to the one before it by its hash.

    An entry is on the disk when ``append`` returns. Several threads and processes may append to the same
    file: they take turns. The file belongs to its owner alone (mode 0600). The lines live outside the
    kernel, so they outlast it.

    The chain shows a change to any line but the cutting off of the last ones, and it holds no key: whoever
    rewrites all lines from one on can make them agree again. So note ``head()``'s hash outside (the report
    prints it) and give it to ``verify``.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"<Journal {str(self.path)!r}>"

    def append(self, kind: str, /, **data: object) -> Entry:
        """Write one entry, redacted, and return it as written.

        A last line that a crash left half written is moved to a file beside the journal first, and an entry
        "torn line set aside" says so. RecordError when the entry cannot be written, when another writer
        holds the journal for more than ten seconds, or when its last line does not hold; the journal is
        then as it was.
        """
        plain = redact_fields(data)
        with self._open(os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX) as fd:
            last, end = self._recover(fd)
            if last is None and end == 0:
                _sync_directory(self.path.parent)
            entry = _following(last, kind, plain)
            self._write(fd, entry.to_line(), end)
            return entry

    def entries(self) -> tuple[Entry, ...]:
        """Return every entry that can be read, oldest first; ``verify`` tells of those that cannot."""
        found = []
        for line in self._read()[0]:
            try:
                found.append(parse(line))
            except ValueError:
                continue
        return tuple(found)

    def head(self) -> Entry | None:
        """Return the last entry: its hash stands for the whole journal."""
        entries = self.entries()
        return entries[-1] if entries else None

    def _read(self) -> tuple[list[bytes], bytes]:
        """Return the whole lines, and what stands after the last newline."""
        try:
            with self._open(os.O_RDONLY, fcntl.LOCK_SH) as fd:
                content = os.pread(fd, size, 0) if (size := os.fstat(fd).st_size) else b""
        except FileNotFoundError:
            return [], b""
        *lines, tail = content.split(b"\n")
        return lines, tail

    @contextmanager
    def _open(self, flags: int, lock: int) -> Iterator[int]:
        try:
            fd = os.open(self.path, flags | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
            raise RecordError(
                f"The journal {str(self.path)!r} cannot be written: its folder does not exist.",
                hint="create the folder, or open a new run",
            ) from None
        except OSError as error:
            raise self._error("opened", error) from error
        try:
            self._lock(fd, lock)
            yield fd
        except OSError as error:
            raise self._error("written" if lock == fcntl.LOCK_EX else "read", error) from error
        finally:
            os.close(fd)

    def _lock(self, fd: int, lock: int) -> None:
        # flock's own wait has no limit, and a writer that is stopped would hold all others for ever.
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(fd, lock | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RecordError(
                        f"Another process has held the journal {str(self.path)!r} for {LOCK_WAIT_S:.0f} s.",
                        hint="end the other session that writes to this run, or open a new run",
                    ) from None
                time.sleep(0.01)

    def _recover(self, fd: int) -> tuple[Entry | None, int]:
        """Return the last entry and where it ends, after a torn line was set aside."""
        line, tail, size = _last_line(fd)
        end = size - len(tail)
        last: Entry | None = None
        if line is not None:
            try:
                last = parse(line)
                if make_entry(last.seq, last.time, last.kind, last.data, last.prev).hash != last.hash:
                    raise ValueError("it was changed after it was written")
            except ValueError as error:
                raise RecordError(
                    f"The last line of the journal {str(self.path)!r} does not hold: {error}.",
                    hint="keep this file as it is, and open a new run",
                ) from None
        if not tail:
            return last, end
        aside = _set_aside(self.path, tail)
        os.ftruncate(fd, end)
        entry = _following(last, "torn line set aside", {"bytes": len(tail), "kept_as": aside.name})
        return entry, self._write(fd, entry.to_line(), end)

    def _write(self, fd: int, line: bytes, end: int) -> int:
        written = 0
        try:
            while written < len(line):
                written += os.pwrite(fd, line[written:], end + written)
            os.fsync(fd)
        except BaseException:
            # A full disk or Ctrl-C: no half line stays, the caller knows that nothing was recorded.
            os.ftruncate(fd, end)
            raise
        return end + written

    def _error(self, what: str, error: OSError) -> RecordError:
        return RecordError(
            f"The journal {str(self.path)!r} could not be {what}: {error.strerror or error}.",
            hint="check the disk's free space and the folder's permissions; nothing goes on without a record",
        )


def verify(path: Path | str, *, head: str | None = None) -> list[Problem]:
    """Return every reason why the journal at ``path`` does not hold, by line; empty when it does.

    Read-only. With ``head``, the hash noted from an earlier ``Journal.head()``, it also finds that the end
    was cut off or that all was written anew.
    """
    path = Path(path)
    if not path.exists():
        return [Problem("missing", f"There is no journal at {str(path)!r}.")]
    lines, tail = Journal(path)._read()
    problems = check(lines)
    if tail:
        number = len(lines) + 1
        message = f"Line {number} of the journal has no end ({len(tail)} bytes): its writer was stopped."
        problems.append(Problem("torn", message, number, number))
    elif not lines:
        problems.append(Problem("empty", f"The journal {str(path)!r} holds no entries."))
    if head is not None and head not in {entry.hash for entry in Journal(path).entries()}:
        message = f"The journal {str(path)!r} lacks the entry {head[:12]}…: it was cut short or rewritten."
        problems.append(Problem("cut", message))
    return problems


def _following(last: Entry | None, kind: str, data: dict[str, Plain]) -> Entry:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return make_entry(last.seq + 1 if last else 1, now, kind, data, last.hash if last else GENESIS)


def _last_line(fd: int) -> tuple[bytes | None, bytes, int]:
    """Return the last whole line (None when there is none), what stands after it, and the file's size."""
    size = os.fstat(fd).st_size
    start, content = size, b""
    while start > 0 and content.count(b"\n") < 2:
        step = min(_BLOCK, start)
        start -= step
        content = os.pread(fd, step, start) + content
    *lines, tail = content.split(b"\n")
    return (lines[-1] if lines else None), tail, size


def _set_aside(journal: Path, tail: bytes) -> Path:
    number = 1
    while True:
        aside = journal.with_name(f"{journal.name}.torn-{number}")
        try:
            fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            break
        except FileExistsError:
            number += 1
    with os.fdopen(fd, "wb") as file:
        file.write(tail)
        file.flush()
        os.fsync(fd)
    _sync_directory(journal.parent)
    return aside


def _sync_directory(path: Path) -> None:
    """Make a new file's name last through a power cut, not only its content."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
