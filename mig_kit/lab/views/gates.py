"""How the gates look."""

from __future__ import annotations

from mig_kit.lab.blocks import Block, Fold, Paragraph, Phrase, Table, Title, Tone, View, code, limited, quiet, state
from mig_kit.lab.views.session import plural
from mig_kit.steps.gates import Gate, Gates, GateState

__all__ = ["gate_blocks", "gates_view"]

_MOST = 200


def gates_view(gates: Gates) -> View:
    """Return each gate with its evidence and what opens it, and what the plan asks of people."""
    closed, overridden = len(gates.refusing), len(gates.overridden)
    said = f"{plural(closed, 'gate')} closed" if closed else "open"
    if overridden:
        said += f", {overridden} overridden"
    tone: Tone = "bad" if closed else "warn" if overridden else "good"
    return View((Title(f"Gates before {gates.step} in {gates.stage}: {said}", tone), *gate_blocks(gates)))


def gate_blocks(gates: Gates) -> list[Block]:
    """Return the table of gates and the points behind them, without a title."""
    blocks: list[Block] = []
    if gates.plan:
        count = plural(len(gates.plan.migrations), "migration")
        blocks.append(Paragraph((quiet("Plan "), code(gates.plan.sha256[:12]), quiet(f", {count}"))))
    rows: list[tuple[Phrase, ...]] = [
        (each.name, _state(each), _evidence(each), f"{each.when:%Y-%m-%d %H:%M}" if each.when else "", _next(each))
        for each in gates.gates
    ]
    columns = ("gate", "state", "evidence", "when (UTC)", "next step")
    blocks.append(Table(f"What has to hold before {gates.step}", columns, tuple(rows)))
    if gates.points:
        unanswered = sum(not each.reason for each in gates.points)
        answers: list[tuple[Phrase, ...]] = [
            (
                code(each.id),
                each.migration,
                each.message,
                each.reason or state("to be answered", "warn"),
                f"{each.by}, {each.at:%Y-%m-%d %H:%M}" if each.at else "",
            )
            for each in gates.points
        ]
        columns = ("id", "migration", "says", "acknowledged because", "by")
        summary = (f"{plural(len(answers), 'point')} to answer for", quiet(f", {unanswered} unanswered"))
        table = Table("What the plan asks of people", columns, limited(answers, _MOST, "points_frame()"))
        blocks.append(Fold(summary, (table,), open=bool(unanswered)))
    return blocks


def _state(gate: Gate) -> Phrase:
    if gate.state is GateState.OPEN:
        return state("open", "good")
    if gate.state is GateState.OVERRIDDEN:
        return state("overridden", "warn")
    if gate.required:
        return state("closed", "bad")
    return (state("closed"), quiet(", not required here"))


def _evidence(gate: Gate) -> Phrase:
    return f"{gate.evidence} Overridden: {gate.reason}" if gate.reason else gate.evidence


def _next(gate: Gate) -> Phrase:
    return code(gate.next) if gate.next.startswith("rb.") and gate.next.endswith(")") else gate.next
