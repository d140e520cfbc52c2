"""How safe migrations in place of a pending one look: the verdicts before and with them, then each file."""

from __future__ import annotations

from mig_kit.lab.blocks import Block, Bullets, Fold, Paragraph, Phrase, Source, Table, Title, View, code, quiet, strong
from mig_kit.lab.views.session import plural
from mig_kit.lab.views.verdict import verdict_words
from mig_kit.steps.rehearse import RehearsedMigration
from mig_kit.steps.safer import Safer

__all__ = ["safer_view"]


def safer_view(safer: Safer) -> View:
    """Return what the rehearsals found of the original and of the files, then the files themselves."""
    if not safer:
        return View((Title(f"Nothing to write instead of {safer}", "warn"), *_left(safer)))
    count = plural(len(safer.files), "file")
    if not safer.ok:
        title = Title(f"{count} for {safer} did not come to the same as it does: a draft only", "bad")
    elif safer.safe and not safer.left:
        title = Title(f"{count} instead of {safer}, rehearsed and safe", "good")
    else:
        title = Title(f"{count} instead of {safer}, rehearsed; not all of it is safe by that", "warn")
    blocks: list[Block] = [title, _verdicts(safer)]
    if safer.differences:
        blocks.append(Paragraph(strong("The schema they end in is another one"), "bad"))
        blocks.append(Bullets(tuple(str(each) for each in safer.differences)))
    if not safer.state_kept:
        blocks.append(Paragraph("makemigrations would find something else than before.", "bad"))
    blocks += [Paragraph(("Note: ", each)) for each in safer.notes]
    blocks += _left(safer)
    for name, source in safer.files.items():
        blocks.append(Fold((strong(f"{name}.py"),), (Source(source, "python"),)))
    for name, source in safer.later.items():
        blocks.append(Fold((strong(f"{name}.py"), quiet("  for the next release")), (Source(source, "python"),)))
    if safer.ok:
        blocks.append(
            Paragraph((code(f"rb.safer({safer.app!r}, {safer.name!r}, write=True)"), " puts them in its place."))
        )
    return View(tuple(blocks))


def _verdicts(safer: Safer) -> Table:
    rows: list[tuple[Phrase, ...]] = []
    if safer.original is not None:
        rows.append(_row("as it stands", safer.original))
    rows += [_row("instead", each) for each in safer.rehearsed]
    columns = ("", "migration", "lock safety", "the release that runs now", "way back")
    return Table("Rehearsed on copies of one restored backup", columns, tuple(rows))


def _row(what: str, migration: RehearsedMigration) -> tuple[Phrase, ...]:
    return (
        what,
        code(migration),
        verdict_words(migration.lock_safety),
        verdict_words(migration.compatibility),
        migration.way_back.words,
    )


def _left(safer: Safer) -> list[Block]:
    if not safer.left:
        return []
    return [Paragraph(strong("What rewriting alone does not do")), Bullets(safer.left)]
