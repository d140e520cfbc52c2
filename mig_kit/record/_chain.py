"""The form of a journal: its lines, the hashes that join them, and the check that they still do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from .redact import Plain

__all__ = ["GENESIS", "Entry", "Problem", "check", "make_entry", "parse"]

GENESIS = "0" * 64
"""What the first entry names as the hash before it."""

_FIELDS = ("seq", "time", "kind", "data", "prev", "hash")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened.

    ``seq`` counts from 1. ``time`` is ISO 8601 in UTC. ``data`` is JSON-plain and redacted. ``prev`` is the
    hash of the entry before, ``hash`` the SHA-256 of the canonical JSON (sorted keys, no spaces, UTF-8) of
    all the rest.
    """

    seq: int
    time: str
    kind: str
    data: Mapping[str, Plain]
    prev: str
    hash: str

    @property
    def at(self) -> datetime:
        """``time`` as an aware datetime."""
        return datetime.fromisoformat(self.time)

    def to_line(self) -> bytes:
        """Return the one line that stands for this entry, newline included."""
        values = {name: getattr(self, name) for name in _FIELDS}
        return json.dumps(values, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a journal does not hold.

    ``id`` is stable: ``missing`` (no file), ``empty`` (no entries), ``unreadable`` (a line that is no
    entry), ``changed`` (an entry whose hash is not its own), ``order`` (a number left out or repeated),
    ``chain`` (an entry that follows another one than the one before it), ``torn`` (a last line without an
    end), ``cut`` (it ends before the entry that it is known to have held). ``line`` counts from 1; ``seq``
    is the number that the entry there should have, both None where the file as a whole is meant.
    """

    id: str
    message: str
    line: int | None = None
    seq: int | None = None

    def __str__(self) -> str:
        return self.message


def make_entry(seq: int, time: str, kind: str, data: Mapping[str, Plain], prev: str) -> Entry:
    """Return the entry with its hash; ``data`` must be JSON-plain."""
    body: dict[str, Any] = {"seq": seq, "time": time, "kind": kind, "data": data, "prev": prev}
    canonical = _canonical(body)
    return Entry(seq, time, kind, json.loads(canonical)["data"], prev, hashlib.sha256(canonical).hexdigest())


def parse(line: bytes) -> Entry:
    """Return the entry in ``line`` (without its newline); ValueError says why it is none.

    An entry whose hash is not its own is returned all the same: ``check`` tells.
    """
    try:
        values = json.loads(line.decode(), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(values, dict) or tuple(values) != _FIELDS:
        raise ValueError("it is not an entry")
    entry = Entry(**values)
    texts = (entry.time, entry.kind, entry.prev, entry.hash)
    if type(entry.seq) is not int or not isinstance(entry.data, dict) or not all(isinstance(t, str) for t in texts):
        raise ValueError("a field is of another type than it should be")
    if entry.at.tzinfo is None:
        raise ValueError("its time names no zone")
    return entry


def check(lines: Sequence[bytes]) -> list[Problem]:
    """Return what is wrong with ``lines`` (each without its newline), in order; empty when they hold."""
    problems = []
    prev: str | None = GENESIS
    for number, line in enumerate(lines, 1):
        problem, entry = _check_line(number, line, prev)
        if problem is not None:
            problems.append(problem)
        # After a line that cannot be trusted the next one is measured by itself, so that one change is one
        # problem.
        prev = entry.hash if entry is not None else None
    return problems


def _check_line(number: int, line: bytes, prev: str | None) -> tuple[Problem | None, Entry | None]:
    where = f"Line {number} of the journal"
    try:
        entry = parse(line)
    except ValueError as error:
        return Problem("unreadable", f"{where} cannot be read: {error}.", number, number), None
    if not _is_own(entry, line):
        return Problem("changed", f"{where} was changed after it was written.", number, number), None
    if entry.seq != number:
        message = f"{where} holds entry {entry.seq} where entry {number} belongs: lines are missing or moved."
        return Problem("order", message, number, number), entry
    if prev is not None and entry.prev != prev:
        message = f"{where} does not follow the line before it: one of the two was replaced."
        return Problem("chain", message, number, number), entry
    return None, entry


def _is_own(entry: Entry, line: bytes) -> bool:
    try:
        # The bytes are compared too: spaces, escapes and the order of names are not in the hash.
        return make_entry(entry.seq, entry.time, entry.kind, entry.data, entry.prev).to_line() == line + b"\n"
    except ValueError:
        return False


def _canonical(value: Mapping[str, Any]) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
