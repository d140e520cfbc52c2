"""The session's own views: the target, the prerequisites, the success criteria, the end."""

from __future__ import annotations

from collections.abc import Iterable

from mig_kit.lab.blocks import (
    Block,
    Bullets,
    Fold,
    Paragraph,
    Phrase,
    Source,
    Table,
    Title,
    Tone,
    View,
    code,
    facts,
    quiet,
    state,
    strong,
)
from mig_kit.runbook import Finished, Runbook, Traceback
from mig_kit.steps.check import Check
from mig_kit.steps.criteria import SuccessCriteria
from mig_kit.steps.preflight import Preflight

__all__ = [
    "check_table",
    "criteria_view",
    "finished_view",
    "plural",
    "preflight_view",
    "runbook_view",
    "traceback_view",
]


def plural(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def runbook_view(runbook: Runbook) -> View:
    """Return the card of the target: what this session works on."""
    target = runbook.target
    project = target.project
    stage: Phrase = target.stage
    if target.stage == "production":
        stage = (strong("production"), ": rb.apply() wants the name of the database typed as confirm=…")
    where: Phrase = (
        code(target.info.safe) if target.info else f"{target.vendor} (the steps that need PostgreSQL say so)"
    )
    pairs: list[tuple[str, Phrase]] = [
        ("database", (strong(target.database), ": ", *(where if isinstance(where, tuple) else (where,)))),
        ("stage", stage),
        ("stage because", quiet(target.stage_reason)),
        ("project", code(project.root)),
        ("settings", code(project.settings)),
        ("interpreter", (f"Python {target.python} with Django {target.django}: ", code(project.python))),
        ("credentials", code(project.env_file) if project.env_file else "from the settings; there is no .env"),
        ("its own apps", ", ".join(target.own_apps) or "none"),
        ("record", code(runbook.run.path) if runbook.run is not None else "none is kept"),
    ]
    blocks: list[Block] = [
        Title(f"Migration session: {project.root.name}", "warn" if target.stage == "production" else None),
        facts("What this session works on", pairs),
    ]
    if runbook.left:
        blocks.append(Paragraph(runbook.left, "warn"))
    if project.notes:
        return View((*blocks, Fold("How this was found", (Bullets(tuple(project.notes)),))))
    return View(tuple(blocks))


def check_table(caption: Phrase, checks: Iterable[Check]) -> Table:
    """Return checks as a table: what was checked, how it came out, what was found, and the next step below it."""
    rows: list[tuple[Phrase, ...]] = []
    for each in checks:
        found: Phrase = (each.detail, "\n", strong("Next: "), each.hint) if each.hint else each.detail
        rows.append((each.name, state(each.state), found))
    return Table(caption, ("check", "state", "what was found"), tuple(rows))


def preflight_view(checks: Preflight) -> View:
    """Return the prerequisites one by one."""
    failed = [each for each in checks if each.state == "failed"]
    warned = sum(each.state == "warning" for each in checks)
    title = "Preflight: ready"
    if failed:
        title = f"Preflight: not ready, {plural(len(failed), 'check')} failed"
    elif warned:
        title = f"Preflight: ready, with {plural(warned, 'warning')}"
    tone: Tone = "bad" if failed else "warn" if warned else "good"
    return View((Title(title, tone), check_table("The runbook's prerequisites", checks)))


def criteria_view(result: SuccessCriteria) -> View:
    """Return the runbook's success criteria as its checklist."""
    rows: list[tuple[Phrase, ...]] = []
    said = {True: ("[x]", "holds"), False: ("[ ]", "does not hold"), None: ("[ ]", "not looked at")}
    for each in result.criteria:
        box, word = said[each.holds]
        rows.append((f"{box} {each.criterion}", state(word), each.evidence))
    held = sum(bool(each.holds) for each in result.criteria)
    broken = any(each.holds is False for each in result.criteria)
    title = f"Success criteria: {held} of {len(result.criteria)} hold"
    return View(
        (
            Title(title, "good" if result else "bad" if broken else "open"),
            Table("The runbook's success criteria", ("success criterion", "state", "evidence"), tuple(rows)),
        )
    )


def finished_view(result: Finished) -> View:
    """Return where the record lies."""
    pairs: list[tuple[str, Phrase]] = [
        ("report", (code(result.report), "\n", quiet("one file, to read, print or send"))),
        ("journal", (code(result.journal), "\n", quiet("each step as it happened; an entry changed later is noticed"))),
    ]
    if result.notebook is not None:
        pairs.append(("notebook", code(result.notebook)))
    blocks: list[Block] = [
        Title(f"Session {result.result}", "good" if result.result == "finished, verified" else "warn"),
        facts("Where the record lies", pairs),
    ]
    if result.notebook is not None:
        again: Phrase = (
            "The report shows the notebook as it was last saved: save it and run ",
            code("rb.finish()"),
            " again to have these last cells in it too.",
        )
    else:
        again = (
            "The report has the journal and no cells: this notebook lies elsewhere. One that is opened with ",
            code("mig-kit lab"),
            " or run with ",
            code("mig-kit run"),
            " is in it.",
        )
    blocks.append(Paragraph(again))
    return View(tuple(blocks))


def traceback_view(trace: Traceback) -> View:
    """Return the traceback of the last error, the project's own part first."""
    return View((Title("The traceback of the last error"), Source(trace.text)))
