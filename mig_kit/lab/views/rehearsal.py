"""How a rehearsal looks: the verdicts first, the picture of the locks, then the evidence."""

from __future__ import annotations

from mig_kit.hazards.assessment import VerdictKind
from mig_kit.hazards.locks import Blocks
from mig_kit.lab.blocks import (
    Block,
    Bullets,
    Fold,
    Group,
    Paragraph,
    Phrase,
    Picture,
    Source,
    Table,
    Title,
    Tone,
    View,
    Word,
    code,
    facts,
    limited,
    quiet,
    state,
    strong,
)
from mig_kit.lab.timeline import LockSpan, lock_timeline
from mig_kit.lab.views.applied import milliseconds
from mig_kit.lab.views.backup import size
from mig_kit.lab.views.findings import finding_blocks
from mig_kit.lab.views.session import plural
from mig_kit.lab.views.verdict import verdict_words
from mig_kit.steps.rehearse import (
    BackOutcome,
    Observed,
    Outcome,
    Rehearsal,
    RehearsalMode,
    RehearsedMigration,
    RehearsedStatement,
)

__all__ = ["rehearsal_view"]

_MOST = 400


def rehearsal_view(rehearsal: Rehearsal) -> View:
    """Return the verdicts, the locks as a picture, the findings, and each migration's statements both ways."""
    if not rehearsal:
        return View((Title("Nothing to rehearse: no migration is pending"),))
    blocks: list[Block] = [_title(rehearsal), _facts(rehearsal), _verdicts(rehearsal)]
    spans = _spans(rehearsal)
    if spans:
        blocks.append(Picture(lock_timeline(spans), _in_words(spans)))
    blocks += finding_blocks(rehearsal.findings)
    blocks += [_migration(each, folded=len(rehearsal.migrations) > 1) for each in rehearsal.migrations]
    blocks.append(Fold("The SQL as executed, RunPython's included", (_sql_script(rehearsal),)))
    return View(tuple(blocks))


def _title(rehearsal: Rehearsal) -> Title:
    count = plural(len(rehearsal.migrations), "migration")
    failed = next((each for each in rehearsal.migrations if each.outcome is Outcome.FAILED), None)
    if failed is not None:
        return Title(f"Rehearsal: {failed} failed on the copy", "bad")
    kinds = {verdict.kind for each in rehearsal.migrations for verdict in (each.lock_safety, each.compatibility)}
    if not rehearsal.ok:
        return Title(f"Rehearsal: {count} ran, and not every way back led back", "warn")
    if VerdictKind.UNSAFE in kinds:
        return Title(f"Rehearsal: {count} ran, and not all of it is safe on a live database", "warn")
    if VerdictKind.UNKNOWN in kinds:
        return Title(f"Rehearsal: {count} ran, and not all of it is known to be safe", "warn")
    return Title(f"Rehearsal: {count} ran, safe for locks and for the release that runs now", "good")


def _facts(rehearsal: Rehearsal) -> Table:
    restored = "restored for it before" if rehearsal.template_reused else f"restored in {rehearsal.restore_s:.1f} s"
    mode: Phrase = rehearsal.mode_words
    if rehearsal.mode is not RehearsalMode.FULL:
        mode = (state(str(rehearsal.mode), "warn"), ": ", rehearsal.mode_words)
    pairs: list[tuple[str, Phrase]] = [
        ("backup", (code(rehearsal.backup), f", {restored}, copied in {rehearsal.copy_s:.1f} s")),
        ("on", rehearsal.scratch),
        ("data", mode),
        ("migrations took", milliseconds(rehearsal.forwards_ms)),
        ("all of it took", f"{rehearsal.duration_s:.1f} s, from {rehearsal.started:%Y-%m-%d %H:%M:%S} UTC"),
        ("this plan is", code(rehearsal.plan_hash[:16])),
    ]
    pairs += [("note", each) for each in rehearsal.notes]
    return facts("Where and how it was rehearsed", pairs)


def _verdicts(rehearsal: Rehearsal) -> Table:
    rows: list[tuple[Phrase, ...]] = []
    for each in rehearsal.migrations:
        took: Phrase = milliseconds(each.ms)
        if each.outcome is not Outcome.DONE:
            took = (state(str(each.outcome), "bad" if each.outcome is Outcome.FAILED else "open"), f" {each.error}")
        rows.append((code(each), verdict_words(each.lock_safety), verdict_words(each.compatibility), _back(each), took))
    columns = ("migration", "lock safety", "the release that runs now", "way back", "time")
    return Table("Verdicts", columns, tuple(rows))


def _back(migration: RehearsedMigration) -> Phrase:
    back = migration.way_back
    tones: dict[BackOutcome, Tone] = {
        BackOutcome.DONE: "good" if back.ok and not back.lost else "warn",
        BackOutcome.IRREVERSIBLE: "warn",
        BackOutcome.RAISED: "bad",
        BackOutcome.NOT_TRIED: "open",
    }
    if back.outcome is not BackOutcome.DONE:
        return (state(str(back.outcome), tones[back.outcome]), f" {back.error}" if back.error else "")
    word = "lossless" if back.ok and not back.lost else "lossy" if back.ok else "not clean"
    if back.ok and not back.lost and not back.compared:
        word = "clean"  # the schema came back; nobody compared values
    said: list[str | Word] = [state(word, tones[back.outcome])]
    if word != "lossless":
        said.append(f" {back.words}")
    said.append(quiet(f" ({milliseconds(back.ms)})"))
    return tuple(said)


def _spans(rehearsal: Rehearsal) -> list[LockSpan]:
    """Return what readers and writers would wait for, and the rest only of tables that have something of that kind."""
    spans: dict[tuple[str, str, object], LockSpan] = {}
    for migration in rehearsal.migrations:
        for statement in migration.statements:
            tables = {each.relation for each in statement.locks} - _no_tables(statement)
            for lock in statement.locks:
                key = (str(migration), lock.relation, lock.mode)
                there = spans.get(key)
                if lock.relation in tables and (there is None or there.held_ms < lock.held_ms):
                    spans[key] = LockSpan(str(migration), lock.relation, lock.mode, lock.taken_ms, lock.held_ms)
    return [span for span in spans.values() if span.blocks is not Blocks.NOTHING]


def _no_tables(statement: RehearsedStatement) -> set[str]:
    """Return the indexes and new relations among what a statement locks: nobody waits for those."""
    seen = statement.seen
    indexes = {index for index, _table in (*seen.built, *seen.rebuilt)}
    return indexes | set(seen.created)


def _in_words(spans: list[LockSpan]) -> str:
    longest = sorted(spans, key=lambda each: each.held_ms, reverse=True)[:3]
    said = "; ".join(f"{each.relation}: {each.mode} for {milliseconds(each.held_ms)}" for each in longest)
    return f"Timeline of {plural(len(spans), 'lock')}. Held longest: {said}."


def _migration(migration: RehearsedMigration, *, folded: bool) -> Fold:
    said = [plural(sum(each.times for each in migration.statements), "statement"), milliseconds(migration.ms)]
    said.append("one transaction" if migration.atomic else "not atomic")
    blocks: list[Block] = []
    if migration.error:
        blocks.append(Paragraph((strong("Failed: "), migration.error), "bad"))
    blocks.append(_statements("Statement by statement, forwards", migration.statements))
    if migration.schema_changes:
        blocks.append(Paragraph(strong("What it made of the schema")))
        blocks.append(Bullets(tuple(str(each) for each in migration.schema_changes[:_MOST])))
    if migration.values_changed:
        blocks.append(Paragraph(strong("Values that are others after it")))
        blocks.append(Bullets(tuple(str(each) for each in migration.values_changed)))
    blocks += _way_back(migration)
    return Fold((strong(str(migration)), quiet("  " + ", ".join(said))), tuple(blocks), open=not folded)


def _way_back(migration: RehearsedMigration) -> list[Block]:
    back = migration.way_back
    blocks: list[Block] = [Paragraph((strong("The way back: "), back.words))]
    if back.schema_changes:
        blocks.append(Bullets(tuple(f"not as it was before: {each}" for each in back.schema_changes)))
    if back.again_changes:
        blocks.append(Bullets(tuple(f"not as it was after: {each}" for each in back.again_changes)))
    if back.statements:
        blocks.append(_statements("Statement by statement, backwards", back.statements))
    return blocks


def _statements(caption: str, statements: tuple[RehearsedStatement, ...]) -> Block:
    if not statements:
        return Paragraph("No statement ran.")
    rows: list[tuple[Phrase, ...] | Group] = []
    operation = ""
    for each in statements:
        named = "held back to the end" if each.deferred else each.operation
        if named != operation:
            operation = named
            rows.append(Group(named or "outside of an operation"))
        locks = "\n".join(f"{lock.mode} on {lock.relation}, {milliseconds(lock.held_ms)}" for lock in each.locks)
        rows.append((_sql(each), milliseconds(each.ms), f"{each.times:,}×", locks or quiet("none new"), _did(each)))
    columns = ("statement", "time", "ran", "new locks, and how long they were held", "what it did")
    return Table(caption, columns, limited(rows, _MOST, "to_frame()"), frozenset({1, 2}))


def _sql(statement: RehearsedStatement) -> Phrase:
    said: list[str | Word] = [code(" ".join(statement.sql.split()))]
    if statement.error:
        said += ["\n", state("failed"), f" {statement.error}"]
    if statement.observed not in (Observed.IN_TRANSACTION, Observed.OWN_TRANSACTION):
        said.append(quiet(f"\nobserved {statement.observed}"))
    if statement.note:
        said.append(quiet(f"\n{statement.note}"))
    return tuple(said)


def _did(statement: RehearsedStatement) -> Phrase:
    seen = statement.seen
    said = [str(each).replace(":", " of ") for each in statement.work]
    said += [f"new: {each}" for each in seen.created] + [f"gone: {each}" for each in seen.dropped]
    said += [f"{before} is now {after}" for before, after in seen.renamed]
    for each in seen.rows:
        for count, what in ((each.inserted, "inserted"), (each.updated, "updated"), (each.deleted, "deleted")):
            if count:
                said.append(f"{plural(count, 'row')} of {each.relation} {what}")
    if seen.wal_bytes >= 1 << 20:
        said.append(f"{size(seen.wal_bytes)} of WAL")
    if seen.growth_bytes >= 1 << 20:
        said.append(f"{size(seen.growth_bytes)} more on disk")
    if statement.extrapolated is not None:
        found = statement.extrapolated
        said.append(
            f"on {found.rows:,} rows: {milliseconds(found.ms)}" if found.ms is not None else f"unknown: {found.reason}"
        )
    return "\n".join(said) if said else quiet("nothing that grows with a table")


def _sql_script(rehearsal: Rehearsal) -> Source:
    lines = []
    for migration in rehearsal.migrations:
        lines.append(f"-- {migration}")
        lines += [f"{each.sql.rstrip(';')};" for each in migration.statements]
    return Source("\n".join(lines), "sql")
