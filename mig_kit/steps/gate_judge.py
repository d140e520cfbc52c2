"""Judge the gates before a step on a plan, and keep what people establish about it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mig_kit import errors
from mig_kit.steps import gate_facts, gate_points
from mig_kit.steps._gate_seen import Seen
from mig_kit.steps.check_plan import check_plan
from mig_kit.steps.gate_facts import Fact, Facts, database_key
from mig_kit.steps.gate_looks import Look
from mig_kit.steps.gate_points import OLD_CODE, Point
from mig_kit.steps.gates import Gate, Gates, GateState, gates_of, overridable, required_at
from mig_kit.steps.plan_hash import HashedPlan
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    from mig_kit.record import Journal

__all__ = ["Asked", "acknowledge", "judge", "let_run", "override", "plan_points"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """State what is to be done: which step, on which plan, and what the caller gave.

    ``scope``: the plan's names as they stand in a call. ``points``: what the plan asks of people, without the answers.
    ``confirm``: the name that was typed. ``overrides``: gate → the reason that was given in this session.
    """

    step: str
    plan: HashedPlan
    scope: str = ""
    points: Sequence[Point] = ()
    confirm: str | None = None
    record: Journal | None = None
    overrides: Mapping[tuple[str, str], Fact] = field(default_factory=dict)


def plan_points(target: Target, facts: Facts, plan: HashedPlan, app: str | None, name: str | None) -> tuple[Point, ...]:
    """Return what a plan asks of people: by the check as it comes out now, and by the last rehearsal of this plan."""
    if target.info is None or not plan:
        return ()
    derived = gate_points.points_of(check_plan(target, app, name))
    for fact in facts.of(gate_facts.REHEARSED, database_key(target)):
        if not fact.data["backwards"] and [list(each) for each in fact.data["plan"]] == plan.lines:
            return gate_points.joined(derived, [Point.from_fact(each) for each in fact.data["points"]])
    return gate_points.joined(derived, None)


def judge(target: Target, facts: Facts, asked: Asked, *, only_required: bool = False) -> Gates:
    """Return how the gates stand; ``only_required``: those alone that the stage requires. Read-only."""
    names = gates_of(asked.step, postgres=target.info is not None)
    required = required_at(target.stage, asked.step)
    looked = [name for name in names if name in required or not only_required]
    if not looked:
        return Gates(asked.step, target.stage, asked.plan, ())
    database = database_key(target)
    points = gate_points.answered(asked.points, asked.plan, facts.of(gate_facts.ACKNOWLEDGED, database))
    with contextlib.ExitStack() as stack:
        connection = None
        if target.info is not None:
            connection = stack.enter_context(contextlib.closing(target.connect("gates")))
        look = Look(
            target,
            facts,
            database,
            asked.step,
            asked.plan,
            asked.scope,
            points,
            asked.confirm,
            asked.record,
            connection,
        )
        found = tuple(_gate(name, look.at(name), name in required, asked) for name in looked)
    return Gates(asked.step, target.stage, asked.plan, found, points)


def _gate(name: str, seen: Seen, required: bool, asked: Asked) -> Gate:
    if seen.open:
        return Gate(name, GateState.OPEN, required, seen.evidence, seen.when)
    closed = Gate(name, GateState.CLOSED, required, seen.evidence, seen.when, seen.next)
    override = asked.overrides.get((asked.step, name))
    if override is None or override.data["plan"] != asked.plan.sha256:
        return closed
    return replace(closed, state=GateState.OVERRIDDEN, reason=override.data["reason"], when=override.at)


def let_run(target: Target, facts: Facts, gates: Gates) -> None:
    """Keep that a plan was let run through its gates, so that the rest of it is known when it stops half-way."""
    if target.info is None or not gates.plan or not gates.gates:
        return
    database = database_key(target)
    with contextlib.closing(target.connect("gates")) as connection:
        look = Look(target, facts, database, gates.step, gates.plan, "", (), None, None, connection)
        counting = look.counting
    facts.add(
        gate_facts.BEGUN,
        database,
        step=gates.step,
        plan=gates.plan.lines,
        backwards=gates.plan.backwards,
        backups=counting,
    )


def override(target: Target, facts: Facts, name: str, reason: str, *, step: str, plan: HashedPlan) -> tuple[str, Fact]:
    """Keep that a gate is overridden for one plan; return its name and the fact. ``UsageError`` without a reason."""
    gate = overridable(name)
    fact = facts.add(
        gate_facts.OVERRIDDEN,
        database_key(target),
        gate=gate,
        step=step,
        plan=plan.sha256,
        migrations=[str(each) for each in plan.migrations],
        reason=_reason(reason, f"rb.override({gate!r}, reason='…')"),
    )
    return gate, fact


def acknowledge(
    target: Target,
    facts: Facts,
    points: Iterable[Point],
    plan: HashedPlan,
    finding: str,
    reason: str,
    migration: str | None = None,
) -> tuple[Point, ...]:
    """Keep the reason why a finding is accepted, of one migration or of each that has it; return what it answers.

    ``finding``: an id, or one of the words ``lock safety``, ``old code`` (with all that is found about it) and ``data
    loss``. It holds for the migration as it stands. Raises ``UsageError`` for a finding that the plan has not.
    """
    call = f"rb.acknowledge({finding!r}, reason='…')"
    reason = _reason(reason, call)
    points = list(points)
    wanted = finding.strip()
    word = " ".join(wanted.lower().replace("-", " ").replace("_", " ").split())
    mine = [
        each
        for each in points
        if (each.id in (wanted, wanted.upper(), word) or (word == OLD_CODE and each.old_code))
        and migration in (None, each.migration)
    ]
    if not mine:
        where = f" of {migration}" if migration else ""
        there = ", ".join(sorted({str(each) for each in points})) or "nothing"
        raise errors.UsageError(
            f"Nothing{where} that is to be answered has the id {finding!r}.",
            hint=f"what the plan asks: {there}; rb.gates() says why",
        )
    database = database_key(target)
    kept: dict[tuple[str, str], list[Point]] = {}
    for each in mine:
        kept.setdefault((each.id, each.migration), []).append(each)
    for (id_, label), group in kept.items():
        hashed = plan.of(label)
        facts.add(
            gate_facts.ACKNOWLEDGED,
            database,
            finding=id_,
            migration=label,
            about=[each.about for each in group],
            messages=[each.message for each in group],
            sha256=hashed.sha256 if hashed else "",
            backwards=plan.backwards,
            reason=reason,
        )
    return gate_points.answered(mine, plan, facts.of(gate_facts.ACKNOWLEDGED, database))


def _reason(given: str, call: str) -> str:
    reason = given.strip()
    if not reason or reason == "…":
        raise errors.UsageError("There is no reason, and whoever reads the record will look for it.", hint=call)
    return reason
