"""What ran, from the worker's events: for progress while it runs, and for the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mig_kit.progress import Progress, ProgressCallback

__all__ = ["AppliedMigration", "Recorder", "Statement"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One distinct statement of a migration: how often it ran and how long in all, in milliseconds.

    Its bound values are not kept: they may be anybody's data.
    """

    sql: str
    ms: float
    times: int = 1


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """One migration that was applied, or taken back: its time in milliseconds and its statements.

    ``retries``: how often a lock was not to be had and the migration, or a part of it, was run again. ``waited_s``: how
    long that took in all. ``blockers``: who was seen in its way, in words.
    """

    app: str
    name: str
    ms: float
    statements: tuple[Statement, ...]
    backwards: bool = False
    retries: int = 0
    waited_s: float = 0.0
    blockers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.app}.{self.name}"


class Recorder:
    """Turn the worker's events into progress and into the record of what ran.

    ``met``: returns who was seen in the way since it was last asked. ``expected_ms``: how long each took when it was
    rehearsed, by ``app.name``.
    """

    def __init__(
        self,
        step: str,
        total: int,
        progress: ProgressCallback | None,
        met: Callable[[], dict[int, str]],
        expected_ms: Mapping[str, float] | None = None,
    ) -> None:
        self.done: list[AppliedMigration] = []
        self.current = ""
        self.atomic = True
        self.guarded = True
        self.backend_pid: int | None = None
        self.part = ""
        self._step = step
        self.total = total
        self._progress = progress
        self._met = met
        self._expected = expected_ms or {}
        self._began = 0.0
        self._fresh()

    def _fresh(self) -> None:
        self._statements: list[Statement] = []
        self._kept = 0
        self._retries = 0
        self._waited = 0.0
        self._trying = 0.0
        self._blockers: dict[int, str] = {}
        self.part = ""

    def __call__(self, event: str, data: Mapping[str, Any]) -> None:
        """Take one event in."""
        if event == "backend":
            self.backend_pid = data["pid"]
        elif event == "begin":
            self._fresh()
            self._met()
            self._began = time.monotonic()
            self.current = f"{data['app']}.{data['name']}"
            self.atomic = data["atomic"]
            self.guarded = data["guarded"] or self.backend_pid is None
            rehearsed = self._expected.get(self.current)
            self.say(f"{self.current} …" + (f" (rehearsed in {rehearsed / 1000:.2f} s)" if rehearsed else ""))
        elif event == "operation":
            self._kept = len(self._statements)
            self.part = f"operation {data['operation'] + 1} of {data['of']}, {data['describe']}"
            self.say(f"{self.current}: {self.part}")
        elif event == "statement":
            self._statements.append(Statement(data["sql"], data["ms"]))
            self.say(f"  {data['ms']:8.1f} ms  {_one_line(data['sql'])}", lasting=True)
        elif event == "retry":
            self._retry(data)
        elif event == "leftover":
            self.say(f"  the index {data['index']!r}, left invalid by an earlier try, is dropped", lasting=True)
        elif event == "done":
            self._finish(data)

    def _retry(self, data: Mapping[str, Any]) -> None:
        """Note that a try came to nothing: what it told will be told again."""
        if data["what"] == "migration":
            self._statements = []
        elif data["what"] == "operation":
            del self._statements[self._kept :]
        self._retries += 1
        self._waited += data["waited"] - (self._trying if data["tries"] > 1 else 0.0) + data["delay"]
        self._trying = data["waited"] + data["delay"]
        met = self._met()
        for pid, words in met.items():
            self._blockers.setdefault(pid, words)
        held = f", held by {next(iter(met.values()))}" if met else ""
        again = f"again in {data['delay']:.1f} s"
        self.say(f"  try {data['tries']} of {self.current}: the lock was not to be had{held}; {again}", lasting=True)

    @property
    def in_the_way(self) -> tuple[str, ...]:
        """Who was seen in the way of the current migration so far, in words."""
        for pid, words in self._met().items():
            self._blockers.setdefault(pid, words)
        return tuple(self._blockers.values())

    def _finish(self, data: Mapping[str, Any]) -> None:
        blockers = self.in_the_way
        repeated = {each["sql"]: each for each in data["repeated"]}
        self.done.append(
            AppliedMigration(
                data["app"],
                data["name"],
                data["ms"],
                tuple(_counted(each, repeated.get(each.sql)) for each in self._statements),
                bool(data["backwards"]),
                self._retries,
                round(self._waited, 3),
                blockers,
            )
        )
        how = "recorded, not run" if data.get("fake") else "OK"
        self.say(f"{self.current}: {how} ({data['ms'] / 1000:.2f} s)", lasting=True)
        self.current = ""

    def say_meanwhile(self, words: str) -> None:
        """Pass on what is seen of the current migration, with the time it has taken so far; from another thread."""
        label, began = self.current, self._began
        if not label:
            return
        rehearsed = self._expected.get(label)
        of = f", {rehearsed / 1000:.1f} s in all when rehearsed" if rehearsed else ""
        self.say(f"{label}: {words} ({time.monotonic() - began:.0f} s{of})")

    def say(self, message: str, *, lasting: bool = False) -> None:
        """Pass on what happens, in one sentence."""
        if self._progress is not None:
            self._progress(Progress(self._step, message, len(self.done), self.total, "migrations", lasting))


def _counted(statement: Statement, repeated: Mapping[str, Any] | None) -> Statement:
    return Statement(statement.sql, repeated["ms"], repeated["times"]) if repeated else statement


def _one_line(sql: str, limit: int = 110) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
