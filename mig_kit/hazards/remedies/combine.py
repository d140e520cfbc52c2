"""All remedies of one migration together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mig_kit.hazards.finding import Finding, Severity
from mig_kit.hazards.plan import PlanMigration, PlanOperation
from mig_kit.hazards.remedies import _sql_text as text
from mig_kit.hazards.remedies._operations import Work, safe_steps
from mig_kit.hazards.remedies._releases import LATER_NOTE, in_two_releases
from mig_kit.hazards.remedies._remedy import NoRemedy, Remedy
from mig_kit.hazards.remedies._source import read_source
from mig_kit.hazards.remedies._steps import Step, compose
from mig_kit.hazards.remedies.find import IN_SQL, REMEDIES, number_of

__all__ = ["Combined", "combined_remedy"]

# What is done to an operation, the first that fits; the code that it runs is rewritten before.
_EDITS = ("MK402", "MK403", "MK404")
_WHOLE = ("MK301", "MK303", "MK305", "MK307", "MK308", "MK309", "MK202", "MK209", "MK210", "MK215")
_DIVIDE = ("MK214", "MK217", "MK405")
# Decided by a person: that there is nothing to take back, that a rule can wait for the next release.
_NOT_BY_ITSELF = ("MK401", "MK312")


@dataclass(frozen=True, slots=True)
class Combined:
    """State the remedy, None where nothing could be done; ``done``: the ids dealt with; ``left``: what was not, why."""

    remedy: Remedy | None
    done: tuple[str, ...]
    left: tuple[str, ...]


def combined_remedy(migration: PlanMigration, findings: Iterable[Finding]) -> Combined:
    """Return what deals with as many of a migration's errors and warnings as rewriting alone can."""
    grave = [each for each in findings if each.severity is not Severity.INFO and not each.ignored]
    of: dict[int | None, list[str]] = {}
    left: list[str] = []
    for each in grave:
        of.setdefault(_place(migration, each), []).append(each.id)
        if each.id not in REMEDIES or each.id in _NOT_BY_ITSELF:
            left.append(f"{each.id} {each.operation or migration}: {each.hint}")
    try:
        source = read_source(migration)
    except NoRemedy as exc:
        return Combined(None, (), (f"{exc}.",))
    divided = any(each.id in _DIVIDE for each in grave)
    steps: list[Step] = []
    done: list[str] = []
    notes: list[str] = []
    for number in range(len(source.operations)):
        ids = of.get(number, [])
        work = Work(migration, source, number)
        try:
            work, own, dealt = _steps(work, ids, divided)
            source = work.source
            done += dealt
            notes += [note for id in dealt for note in REMEDIES[id].notes]
        except NoRemedy as exc:
            own = [replace(work.kept(), alone=divided)]
            left += [f"{id} {work.entries[0].describe}: {exc}." for id in ids if id in REMEDIES]
        steps += own
    done += [each.id for each in grave if each.id in _DIVIDE and len(source.operations) > 1]
    if any(step.later for step in steps):
        notes.append(LATER_NOTE)
    if not done:
        return Combined(None, (), tuple(dict.fromkeys(left)))
    titles = list(dict.fromkeys(REMEDIES[id].title for id in done))
    title = titles[0] if len(titles) == 1 else f"{migration.name} in steps that keep nobody waiting"
    remedy = compose(migration, source, steps, title, notes)
    return Combined(remedy, tuple(dict.fromkeys(done)), tuple(dict.fromkeys(left)))


# What the running release runs into is seen in the schema: which operation it comes from follows from table and column.
_COMES_FROM = {
    "MK301": "RemoveField",
    "MK303": "DeleteModel",
    "MK305": "RemoveField",
    "MK306": "AddField",
    "MK307": "AlterField",
    "MK308": "AlterField",
    "MK309": "AlterField",
}


def _place(migration: PlanMigration, finding: Finding) -> int | None:
    kind = _COMES_FROM.get(finding.id)
    found = (
        number_of(migration, each)
        for each in migration.operations
        if (_is_about(each, finding) if kind else (each.line, each.describe) == (finding.line, finding.operation))
        and kind in (None, each.kind)
    )
    return next(found, None)


def _is_about(operation: PlanOperation, finding: Finding) -> bool:
    field = operation.plain.get("before") or operation.plain.get("after") or {}
    if finding.id in ("MK303", "MK305"):
        name = text.quoted(str(finding.relation).rpartition(".")[2])
        return any(f"DROP TABLE {name}" in each for each in operation.statements)
    table = operation.plain.get("table") == finding.relation
    return table and finding.message.startswith(f"Column {field.get('column')} of ")


def _steps(work: Work, ids: list[str], divided: bool) -> tuple[Work, list[Step], list[str]]:
    """Return the work with its code rewritten, the steps, and which findings that deals with."""
    dealt: list[str] = []
    own: list[Step] | None = None
    for id in _EDITS:
        edit = REMEDIES[id].edit if id in ids else None
        if edit is not None:
            work, own = edit(work)
            dealt.append(id)
    whole = next((id for id in _WHOLE if id in ids), None)
    if own is not None:
        pass
    elif whole is not None:
        way = REMEDIES[whole]
        assert way.steps is not None
        own = way.steps(work)
        # What is done in the next release has to be safe as well, and is.
        dealt += [whole, *(id for id in ids if way.steps is in_two_releases and id in _BY_STATEMENTS)]
    elif any(id in _BY_STATEMENTS for id in ids):
        called = (work.entries[0].plain.get("after") or {}).get("default_callable")
        value = IN_SQL.get(str(called)) if "MK407" in ids else None
        own = safe_steps(work, keep_default="MK306" in ids, value=value)
        known = value is not None
        dealt += [id for id in ids if id in _BY_STATEMENTS and (id != "MK407" or known)]
    else:
        own = [work.kept()]
    if "MK211" in ids and REMEDIES["MK211"].steps and whole is None:
        own += REMEDIES["MK211"].steps(work)[1:]
        dealt.append("MK211")
    return work, [replace(each, alone=True) if divided and not each.later else each for each in own], dealt


_BY_STATEMENTS = frozenset(
    ("MK201", "MK203", "MK204", "MK205", "MK206", "MK207", "MK213", "MK216", "MK220", "MK306", "MK407")
)
