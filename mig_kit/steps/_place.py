"""How far a migration that is not atomic came: the last part that its journal announces, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mig_kit.record import Entry
from mig_kit.steps import apply_journal as kinds

__all__ = ["Became", "Found", "Reached", "find_place", "reached"]

# Harmless to run once more, whatever became of the first time.
_REPEATABLE = ("VACUUM", "REINDEX", "CLUSTER", "ANALYZE")

# Told of an entry with a transaction's number: was it committed? None where that cannot be told; and the evidence.
Became = Callable[[Entry], tuple[bool | None, str]]


@dataclass(frozen=True, slots=True)
class Reached:
    """State how far the journal goes: the operation, the part of it, and what was announced and not confirmed.

    ``part``: operation, statement or deferred, as the worker's ``Place`` has them. ``held``: statements that Django
    holds back until the operation's transaction has ended. ``of``: the number of operations, None where unknown.
    """

    operation: int = 0
    part: str = "operation"
    index: int = 0
    done: tuple[str, ...] = ()
    deferred: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    way: str = ""
    describe: str = ""
    of: int | None = None
    open: Entry | None = None

    def place(self, **changes: Any) -> dict[str, Any]:
        """Return it as the worker takes it."""
        names = ("operation", "part", "index", "done", "deferred")
        given: dict[str, Any] = {**{name: getattr(self, name) for name in names}, "again": False, **changes}
        if given["part"] == "statement" and not given["index"] and not given["again"]:
            given["part"] = "operation"  # nothing of it is done
        return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}

    def after(self, held: Iterable[str] = ()) -> dict[str, Any]:
        """Return the place behind the operation, with what is still held back of it."""
        left = tuple(held)
        if left:
            return self.place(part="deferred", index=0, done=(), deferred=left)
        return self.place(operation=self.operation + 1, part="operation", index=0, done=(), deferred=())

    @property
    def words(self) -> str:
        """The operation, as people count."""
        of = f" of {self.of}" if self.of is not None else ""
        return f"operation {self.operation + 1}{of}" + (f", {self.describe}" if self.describe else "")


@dataclass(frozen=True, slots=True)
class Found:
    """State where to go on, and why; or, where that cannot be told, each place it may be, by what one would say of it.

    ``choices``: "again" (run what was announced once more) and "done" (count it as done): the place, and in words what
    would have had to happen.
    """

    reached: Reached
    evidence: str
    place: Mapping[str, Any] | None = None
    choices: Mapping[str, tuple[Mapping[str, Any], str]] | None = None


def reached(entries: Iterable[Entry], resumed: Mapping[str, Any]) -> Reached:
    """Return how far the entries about one migration go; ``resumed``: the place they began at."""
    at = Reached(
        operation=int(resumed.get("operation", 0)),
        part=str(resumed.get("part", "operation")),
        index=int(resumed.get("index", 0)),
        done=tuple(resumed.get("done") or ()),
        deferred=tuple(resumed.get("deferred") or ()),
    )
    for entry in entries:
        at = _step(at, entry)
    return at


def _step(at: Reached, entry: Entry) -> Reached:
    data: Mapping[str, Any] = entry.data
    if entry.kind == kinds.OPERATION:
        about = {"way": data["way"], "describe": data["describe"], "of": data["of"]}
        return Reached(operation=data["operation"], open=entry, **about)
    if entry.kind == kinds.DEFERRED:
        held = tuple(data["sql"])
        if at.way == "transaction":
            return replace(at, held=held)  # it stands or falls with the transaction
        return replace(at, part="deferred", index=0, done=(), deferred=held, open=None)
    if entry.kind == kinds.OPERATION_DONE:
        if at.part == "deferred":
            return replace(at, open=None)
        return _moved(at, at.after(at.held))
    if entry.kind == kinds.STATEMENT and data["index"] is not None:
        if data["part"] == "deferred":
            return replace(at, open=entry)
        return replace(at, part="statement", index=data["index"], open=entry)
    if entry.kind == kinds.STATEMENT_DONE and data["index"] is not None and at.open is not None:
        return _moved(at, _past(at, at.open))
    return at


def _moved(at: Reached, place: Mapping[str, Any]) -> Reached:
    moved: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in place.items()}
    moved.pop("again")
    if place["operation"] != at.operation:
        moved.update(describe="", way="")
    return replace(at, open=None, held=(), **moved)


def _past(at: Reached, statement: Entry) -> dict[str, Any]:
    """Return the place behind a statement."""
    if statement.data["part"] == "deferred":
        return at.after(at.deferred[1:])
    done = (*at.done[: at.index], str(statement.data["fingerprint"]))
    return at.place(part="statement", index=at.index + 1, done=done)


def find_place(at: Reached, became: Became) -> Found:
    """Return where to go on, by asking what became of the transaction that was announced last."""
    entry = at.open
    if entry is None:
        return Found(at, "the journal has everything that was announced as done", at.place())
    if entry.kind == kinds.OPERATION:
        return _of_operation(at, entry, became)
    return _of_statement(at, entry, became)


def _of_operation(at: Reached, entry: Entry, became: Became) -> Found:
    if at.way == "statements":
        return Found(at, f"of {at.words} no statement was announced", at.place())
    if at.way == "python":
        return Found(
            at,
            f"{at.words} was announced and not confirmed: it is code that commits when it likes",
            choices={
                "again": (at.place(part="operation", index=0, done=()), f"{at.words} did nothing, or may run twice"),
                "done": (at.after(), f"{at.words} had done all it does"),
            },
        )
    committed, evidence = became(entry)
    if committed is None:
        return Found(
            at,
            evidence,
            choices={
                "again": (at.place(), f"the transaction of {at.words} was not committed"),
                "done": (at.after(at.held), f"the transaction of {at.words} was committed"),
            },
        )
    return Found(at, f"{at.words}: {evidence}", at.after(at.held) if committed else at.place())


def _of_statement(at: Reached, entry: Entry, became: Became) -> Found:
    sql = str(entry.data["sql"])
    begun = f"a statement of {at.words} was announced and not confirmed: {sql}"
    if entry.data.get("xid"):
        committed, evidence = became(entry)
        if committed is not None:
            return Found(at, f"{begun}; {evidence}", _past(at, entry) if committed else at.place())
    elif entry.data.get("concurrent"):
        return Found(at, f"{begun}; the index itself tells whether it is done", at.place(again=True))
    elif sql.lstrip().upper().startswith(_REPEATABLE):
        return Found(at, f"{begun}; it may run once more", at.place(again=True))
    else:
        evidence = "it runs outside of transactions"
    return Found(
        at,
        f"{begun}; {evidence}",
        choices={
            "again": (at.place(again=True), "the statement had no effect"),
            "done": (_past(at, entry), "the statement had done its work"),
        },
    )
