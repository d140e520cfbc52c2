"""What the journal says, arranged for the first page of the report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ._chain import Entry, Problem
from .redact import Plain

__all__ = ["Fact", "Migration", "Statement", "Step", "Summary", "plain_duration", "summarise"]

_SESSION_FACTS = (
    ("project", "Project"),
    ("database", "Database"),
    ("server", "Server"),
    ("stage", "Stage"),
    ("commit", "Commit"),
)
_VERSIONS = (("mig_kit", "mig_kit"), ("python", "Python"), ("django", "Django"))
_STEP_OWN = {"step", "summary", "duration_s", "message", "error", "hint"}
_BAD_WORDS = ("fail", "error", "abort", "stopp", "refus", "interrupt", "incomplete", "not ")


@dataclass(frozen=True, slots=True)
class Fact:
    """One labelled value; ``block`` marks one that is too long to stand in a line."""

    label: str
    value: str
    block: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One run of one step. ``tone`` is ``good``, ``bad`` or ``open``; ``outcome`` says the same in a word."""

    name: str
    tone: str
    outcome: str
    summary: str
    hint: str
    took: str
    time: str
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement that ran."""

    sql: str
    took: str


@dataclass(slots=True)
class Migration:
    """One migration: when it was recorded as applied (empty when it was not), and its statements."""

    label: str
    time: str = ""
    took: str = ""
    statements: list[Statement] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that the report's first page shows, as text."""

    title: str
    tone: str
    result: str
    facts: tuple[Fact, ...]
    steps: tuple[Step, ...]
    migrations: tuple[Migration, ...]
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    head: str


def summarise(entries: Sequence[Entry], problems: Sequence[Problem]) -> Summary:
    """Arrange ``entries``; whatever kinds are missing or unknown, something readable comes out."""
    opened = [e for e in entries if e.kind == "session opened"]
    session: dict[str, Plain] = {}
    for entry in opened:
        session.update({key: value for key, value in entry.data.items() if value not in (None, "")})
    steps = _steps(entries)
    tone, result = _result(entries, steps)
    project = _text(session.get("project")) if session.get("project") else ""
    return Summary(
        title=f"Migration record: {_last_part(project)}" if project else "Migration record",
        tone="bad" if problems else tone,
        result=result,
        facts=_session_facts(entries, session),
        steps=steps,
        migrations=_migrations(entries),
        entries=tuple(entries),
        problems=tuple(problems),
        head=entries[-1].hash if entries else "",
    )


def plain_duration(seconds: object) -> str:
    """Return a duration for reading (``12 ms``, ``4.2 s``, ``3 min 5 s``, ``2 h 10 min``), else nothing."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _result(entries: Sequence[Entry], steps: Sequence[Step]) -> tuple[str, str]:
    finished = [e for e in entries if e.kind == "session finished"]
    if not finished:
        if steps and steps[-1].tone == "bad":
            return "bad", f"Stopped at {steps[-1].name}"
        return "open", "Not finished"
    result = finished[-1].data.get("result")
    if isinstance(result, bool) or result in (None, ""):
        return ("bad", "Failed") if result is False else ("good", "Finished")
    text = _text(result)
    bad = any(word in text.lower() for word in _BAD_WORDS)
    return ("bad" if bad else "good"), text[:1].upper() + text[1:]


def _session_facts(entries: Sequence[Entry], session: Mapping[str, Plain]) -> tuple[Fact, ...]:
    facts = [Fact(label, _text(session[key])) for key, label in _SESSION_FACTS if key in session]
    who = " on ".join(_text(session[key]) for key in ("user", "host") if key in session)
    if who:
        facts.insert(min(4, len(facts)), Fact("By", who))
    if entries:
        facts.append(Fact("Began", _moment(entries[0])))
        facts.append(Fact("Last entry", _moment(entries[-1])))
        facts.append(Fact("Took", plain_duration((entries[-1].at - entries[0].at).total_seconds())))
    versions = [f"{label} {_text(session[key])}" for key, label in _VERSIONS if key in session]
    if versions:
        facts.append(Fact("Made with", ", ".join(versions)))
    known = {key for key, _ in (*_SESSION_FACTS, *_VERSIONS)} | {"user", "host"}
    return (*facts, *_facts((key, value) for key, value in session.items() if key not in known))


def _steps(entries: Sequence[Entry]) -> tuple[Step, ...]:
    steps: list[Step] = []
    running: dict[str, tuple[int, Entry]] = {}
    for entry in entries:
        if entry.kind not in ("step started", "step finished", "step failed"):
            continue
        name = _text(entry.data.get("step", "?"))
        if entry.kind == "step started":
            running[name] = (len(steps), entry)
            steps.append(_step(entry, entry))
        elif name in running:
            index, started = running.pop(name)
            steps[index] = _step(entry, started)
        else:
            steps.append(_step(entry, entry))
    return tuple(steps)


def _step(entry: Entry, started: Entry) -> Step:
    tone, outcome = {"step finished": ("good", "Done"), "step failed": ("bad", "Failed")}.get(
        entry.kind, ("open", "Not finished")
    )
    data = {**started.data, **entry.data}
    summary = next((_text(data[key]) for key in ("summary", "message", "error") if data.get(key)), "")
    took = plain_duration(data.get("duration_s"))
    if not took and entry is not started:
        took = plain_duration((entry.at - started.at).total_seconds())
    return Step(
        name=_text(data.get("step", "?")),
        tone=tone,
        outcome=outcome,
        summary=summary,
        hint=_text(data["hint"]) if data.get("hint") else "",
        took=took,
        time=f"{started.at:%H:%M:%S}",
        facts=_facts((key, value) for key, value in data.items() if key not in _STEP_OWN),
    )


def _migrations(entries: Sequence[Entry]) -> tuple[Migration, ...]:
    found: list[Migration] = []
    current: dict[str, Migration] = {}
    for entry in entries:
        if entry.kind not in ("statement", "migration applied"):
            continue
        label = f"{_text(entry.data.get('app', '?'))}.{_text(entry.data.get('name', '?'))}"
        if label not in current:
            current[label] = Migration(label)
            found.append(current[label])
        if entry.kind == "statement":
            took = _milliseconds(entry.data.get("ms"))
            current[label].statements.append(Statement(_text(entry.data.get("sql")), took))
        else:
            # Applied twice in one run (forwards, backwards, forwards) is two migrations in the record.
            migration = current.pop(label)
            migration.time = f"{entry.at:%H:%M:%S}"
            migration.took = _milliseconds(entry.data.get("duration_ms"))
    return tuple(found)


def _facts(items: Iterable[tuple[str, Plain]]) -> tuple[Fact, ...]:
    facts = []
    for key, value in items:
        if value in (None, "", [], {}):
            continue
        label = key.replace("_", " ")
        if isinstance(value, int) and not isinstance(value, bool) and key.endswith("bytes"):
            facts.append(Fact(label.removesuffix("bytes").strip() or "size", _size(value)))
        elif isinstance(value, int | float) and key.endswith("_s"):
            facts.append(Fact(label.removesuffix(" s"), plain_duration(value) or _text(value)))
        elif isinstance(value, int | float) and key.endswith("_ms"):
            facts.append(Fact(label.removesuffix(" ms"), _milliseconds(value) or _text(value)))
        elif isinstance(value, list) and len(value) <= 6 and all(isinstance(v, str | int) for v in value):
            facts.append(Fact(label, ", ".join(_text(v) for v in value)))
        else:
            text = _text(value)
            facts.append(Fact(label, text, block=isinstance(value, dict | list) or len(text) > 120 or "\n" in text))
    return tuple(facts)


def _text(value: Plain) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.3f}".rstrip("0").rstrip(".")
        case str():
            return value
    return json.dumps(value, ensure_ascii=False, indent=2)


def _size(number: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _milliseconds(value: Plain) -> str:
    return plain_duration(value / 1000) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _moment(entry: Entry) -> str:
    at: datetime = entry.at
    return f"{at.day} {at:%B %Y, %H:%M:%S} UTC"


def _last_part(path: str) -> str:
    """A project may be named by its folder: the last part is what people call it."""
    return path.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1] or path
