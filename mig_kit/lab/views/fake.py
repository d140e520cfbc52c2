"""How a fake looks, before it is recorded and after."""

from __future__ import annotations

from mig_kit.lab.blocks import Block, Bullets, Fold, Paragraph, Phrase, Table, Title, View, code, limited, quiet, state
from mig_kit.lab.views.gates import gate_blocks
from mig_kit.lab.views.session import plural
from mig_kit.steps.fake import Faked, FakePlan

__all__ = ["fake_view", "faked_view"]

_MOST = 200


def fake_view(plan: FakePlan) -> View:
    """Return what would be recorded, where the schema differs from it, and how the gates stand."""
    if not plan.migrations:
        return View((Title(f"Nothing to record: {plan.app} is at {plan.name} already"),))
    count = plural(len(plan.migrations), "record")
    how = "taken out" if plan.backwards else "written"
    title = f"{count} would be {how}, and no migration run. Nothing was recorded yet"
    blocks: list[Block] = [Title(title, "bad" if plan.differences else "good"), *_records(plan)]
    call = f"rb.fake({plan.app!r}, {plan.name!r}, confirm={plan.database!r}"
    if plan.differences:
        words = "It is refused while the schema differs. Where it is right all the same: "
        blocks.append(Paragraph((words, code(f"{call}, reason='…')")), tone="warn"))
    else:
        blocks.append(Paragraph(("To record it: ", code(f"{call})"))))
    if plan.gates is not None:
        closed = len(plan.gates.refusing)
        summary = (f"Gates in {plan.gates.stage}", quiet(f", {closed} closed" if closed else ", open"))
        blocks.append(Fold(summary, tuple(gate_blocks(plan.gates)), open=bool(closed)))
    return View(tuple(blocks))


def faked_view(result: Faked) -> View:
    """Return what was recorded without being run, and the reason where the schema differs."""
    if not result.applied.migrations:
        return View((Title(f"Nothing to record: {result.plan.app} is at {result.plan.name} already"),))
    count = plural(len(result.applied.migrations), "record")
    how = "taken out" if result.plan.backwards else "written"
    blocks: list[Block] = [Title(f"{count} {how}, no migration run", "warn" if result.reason else "good")]
    if result.reason:
        blocks.append(Paragraph(("The schema differs, and it was recorded because: ", result.reason), tone="warn"))
    return View((*blocks, *_records(result.plan)))


def _records(plan: FakePlan) -> list[Block]:
    rows: list[tuple[Phrase, ...]] = []
    for each in plan.migrations:
        own = [found.words for found in plan.differences if found.migration == str(each)]
        agrees: Phrase = state("the schema agrees", "good") if not own else state(plural(len(own), "difference"), "bad")
        rows.append((code(each), agrees, "\n".join(own)))
    before = "as it was before them" if plan.backwards else "as they leave it"
    caption = f"The migrations, and whether the schema is {before}"
    blocks: list[Block] = [
        Table(caption, ("migration", "schema", "differs in"), limited(rows, _MOST, "to_frame()")),
    ]
    if plan.unknown:
        blocks.append(Paragraph(quiet("The schema does not tell of these:")))
        blocks.append(Bullets(tuple(plan.unknown)))
    return blocks
