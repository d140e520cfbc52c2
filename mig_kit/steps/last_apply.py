"""The last apply of a database, as the journals have it: what it announced, what it did, and whether it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mig_kit.record import Entry, Journal, RunFolder
from mig_kit.steps import apply_journal as kinds

__all__ = ["LastApply", "last_apply", "left_open"]


@dataclass(frozen=True, slots=True)
class LastApply:
    """Hold what a journal says of one apply: its announcement and all that follows it.

    ``ended``: how it ended (finished, failed), '' where it did not: whatever ran it died, or left something half done.
    """

    journal: Path
    announced: Entry
    entries: tuple[Entry, ...]
    ended: str

    @property
    def at(self) -> datetime:
        """When it began."""
        return self.announced.at

    @property
    def step(self) -> str:
        """What it was: apply, rollback, fake, resume."""
        return str(self.announced.data["step"])

    @property
    def plan(self) -> tuple[tuple[str, str, bool], ...]:
        """The migrations that were to run, in order: app, name, backwards."""
        found: Any = self.announced.data["plan"]
        return tuple((each["app"], each["name"], bool(each["backwards"])) for each in found)

    @property
    def scope(self) -> tuple[str | None, str | None]:
        """The app and the name that the plan was made for."""
        found: Any = self.announced.data["scope"]
        return found[0], found[1]

    @property
    def resumed(self) -> Mapping[str, Any]:
        """The place in a migration that it went on from, empty where it began at a beginning."""
        return self.announced.data.get("resume") or {}  # type: ignore[return-value]

    def of(self, app: str, name: str) -> tuple[Entry, ...]:
        """Return the entries about one migration, in order."""
        return tuple(each for each in self.entries if (each.data.get("app"), each.data.get("name")) == (app, name))


def last_apply(root: Path, where: Mapping[str, Any], also: Sequence[Path] = ()) -> LastApply | None:
    """Return the last apply of a database that a journal below ``root`` knows, None when there is none. Read-only.

    ``where``: the database as an announcement has it (system, oid, database). ``also``: journals that lie elsewhere.
    One that was refused before anything ran is passed over.
    """
    paths = {each.journal.path for each in RunFolder.existing(root)} | set(also)
    found = [each for path in paths for each in _applies(path, where)]
    return max(found, key=lambda each: each.at, default=None)


def left_open(root: Path, database: str, also: Sequence[Path] = ()) -> LastApply | None:
    """Return the last apply of a database of this name when no journal says that it ended; nothing else is asked.

    It may run at this moment, or all it was to do may be done. Read-only.
    """
    paths = {each.journal.path for each in RunFolder.existing(root)} | set(also)
    found = [each for path in paths for each in _applies(path, {"database": database})]
    last = max(found, key=lambda each: each.at, default=None)
    return last if last is not None and not last.ended else None


def _applies(path: Path, where: Mapping[str, Any]) -> Iterator[LastApply]:
    try:
        if not path.is_file() or kinds.ANNOUNCED.encode() not in path.read_bytes():
            return
    except OSError:
        return
    entries = Journal(path).entries()
    starts = [number for number, each in enumerate(entries) if each.kind == kinds.ANNOUNCED]
    for start, end in zip(starts, [*starts[1:], len(entries)], strict=True):
        announced, rest = entries[start], entries[start + 1 : end]
        if not _is_same(announced.data, where):
            continue
        ended = next((str(each.data.get("how", "")) for each in rest if each.kind == kinds.ENDED), "")
        if ended != kinds.REFUSED:
            yield LastApply(path, announced, rest, ended)


def _is_same(announced: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    """Tell whether both are one database; its name where the server's identity may not be read."""
    if announced.get("oid") != where.get("oid", announced.get("oid")):
        return False
    if announced.get("system") and where.get("system"):
        return bool(announced["system"] == where["system"])
    return bool(announced.get("database") == where["database"])
