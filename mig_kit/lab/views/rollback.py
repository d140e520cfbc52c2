"""How a rollback looks, before it is done and after."""

from __future__ import annotations

from mig_kit.lab.blocks import (
    Block,
    Bullets,
    Fold,
    Paragraph,
    Phrase,
    Table,
    Title,
    View,
    code,
    limited,
    quiet,
    state,
    strong,
)
from mig_kit.lab.views.applied import applied_view, milliseconds
from mig_kit.lab.views.assessment import assessment_view
from mig_kit.lab.views.gates import gate_blocks
from mig_kit.lab.views.session import plural
from mig_kit.lab.views.sql import sql_view
from mig_kit.steps.data_loss import DataLoss
from mig_kit.steps.rehearse_rollback import RollbackRehearsal
from mig_kit.steps.rollback import RollbackPlan, RolledBack

__all__ = ["rollback_rehearsal_view", "rollback_view", "rolled_back_view"]

_MOST = 200


def rollback_view(plan: RollbackPlan) -> View:
    """Return what would be taken back, in which order, what is lost by it, the SQL, and how the gates stand."""
    to = f"{plan.app} to {plan.name}"
    if not plan.migrations:
        return View((Title(f"Nothing to take back: {plan.app} is at {plan.name} already"),))
    count = plural(len(plan.migrations), "migration")
    blocks: list[Block] = []
    if plan.irreversible:
        blocks.append(Title(f"No way back for {to}: something on the way is irreversible", "bad"))
        blocks.append(Bullets(tuple((code(each.migration), ": ", each.operation) for each in plan.irreversible)))
        blocks.append(
            Paragraph(
                ("The alternative is to restore a backup from before it: ", code("mig-kit restore"), "."), tone="bad"
            )
        )
    elif plan.lost:
        blocks.append(Title(f"Back for {to}: {count}, and data is lost. Nothing was run yet", "warn"))
    else:
        blocks.append(Title(f"Back for {to}: {count}. Nothing was run yet", "good"))
    order = " → ".join(map(str, plan.migrations))
    blocks.append(Paragraph((quiet("In this order: "), order)))
    blocks += _losses(plan.losses)
    if plan.unsure:
        words = "Whether these can be taken back only their author knows: "
        blocks.append(Paragraph((words, "; ".join(map(str, plan.unsure))), tone="warn"))
    blocks.append(Fold("What it would do to a live database", assessment_view(plan.assessment).blocks))
    blocks.append(Fold("The SQL of the way back", sql_view(plan.sql).blocks))
    if not plan.irreversible:
        call = f"rb.rollback({plan.app!r}, {plan.name!r}, confirm={plan.database!r})"
        blocks.append(Paragraph(("To do it: ", code(call))))
        if plan.gates is not None:
            closed = len(plan.gates.refusing)
            summary = (f"Gates in {plan.gates.stage}", quiet(f", {closed} closed" if closed else ", open"))
            blocks.append(Fold(summary, tuple(gate_blocks(plan.gates)), open=bool(closed)))
    return View(tuple(blocks))


def _losses(losses: tuple[DataLoss, ...]) -> list[Block]:
    if not losses:
        return [Paragraph("No table and no column is dropped.")]
    rows: list[tuple[Phrase, ...]] = []
    for each in losses:
        place = f"{each.table}.{each.column}" if each.column else each.table
        lost: Phrase = strong(f"{each.lost:,}") if each.lost else "0"
        if each.lost is None:
            lost = state("not known", "warn")
        note: Phrase = (strong(f"The way back fails: {each.fails}. "), each.note) if each.fails else each.note
        rows.append((code(place), each.what, _number(each.rows), _number(each.values), lost, each.migration, note))
    columns = ("table or column", "what happens", "rows", "values", "lost", "by", "note")
    table = Table(
        "What is lost, counted on the live database", columns, limited(rows, _MOST, "to_frame()"), frozenset({2, 3, 4})
    )
    words = (
        "Of a table every row is lost; of a column each value that running the migration again would not bring back."
    )
    return [table, Paragraph(quiet(words))]


def _number(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def rollback_rehearsal_view(result: RollbackRehearsal) -> View:
    """Return how far a way back went on a copy, and why no further."""
    count = plural(len(result.planned), "migration")
    title = Title(f"The way back of {result.app} to {result.name} passed on a copy: {count}", "good")
    if not result.ok:
        title = Title(f"The way back of {result.app} to {result.name} stopped at {result.failed}, on a copy", "bad")
    ran = {str(each): each for each in result.migrations}
    rows: list[tuple[Phrase, ...]] = []
    for each in map(str, result.planned):
        done = ran.get(each)
        if done is not None:
            rows.append((code(each), state("ok"), milliseconds(done.ms), f"{done.statements:,}", ""))
        elif each == result.failed:
            rows.append((code(each), state("failed"), "", "", result.error))
        else:
            rows.append((code(each), state("not begun"), "", "", ""))
    columns = ("migration", "state", "time", "statements", "why")
    caption = f"On {result.backup}, restored on {result.scratch}, from {result.started:%Y-%m-%d %H:%M:%S} UTC"
    return View((title, Table(caption, columns, limited(rows, _MOST, "to_frame()"), frozenset({2, 3}))))


def rolled_back_view(result: RolledBack) -> View:
    """Return what was taken back, a line a migration and a line a statement."""
    if not result.applied.migrations:
        return View((Title(f"Nothing to take back: {result.plan.app} is at {result.plan.name} already"),))
    count = plural(len(result.applied.migrations), "migration")
    lost = result.plan.lost
    blocks: list[Block] = [Title(f"Taken back: {count} in {result.applied.duration_s:.2f} s", "good")]
    if lost:
        summary = f"What was lost: {plural(len(lost), 'table or column', 'tables or columns')}"
        blocks.append(Fold(summary, tuple(_losses(lost))))
    return View((*blocks, *applied_view(result.applied).blocks[1:]))
