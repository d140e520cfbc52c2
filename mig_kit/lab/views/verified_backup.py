"""How the verification of a backup looks, and its restore into a database of the user's."""

from __future__ import annotations

from mig_kit.lab.blocks import Block, Bullets, Fold, Paragraph, Phrase, Title, View, code, facts, limited, quiet
from mig_kit.lab.blocks import Table as Rows
from mig_kit.lab.views.session import check_table, plural
from mig_kit.steps.restore import RestoredBackup
from mig_kit.steps.verify_backup import BackupVerification

__all__ = ["backup_verification_view", "proof_blocks", "restored_view"]

_MOST = 200


def backup_verification_view(result: BackupVerification) -> View:
    """Return how far a backup was verified, and by what."""
    if result:
        title = Title(f"Backup verified: {result.backup}", "good")
    else:
        title = Title(f"Backup not verified: {result.backup}", "bad")
    return View((title, *proof_blocks(result)))


def restored_view(result: RestoredBackup) -> View:
    """Return what was restored where, and whether what came out is what went in."""
    word = "Restored" if result else "Restored, and not what was dumped"
    pairs: list[tuple[str, Phrase]] = [
        ("into", code(result.into)),
        ("server", f"PostgreSQL {result.server_version}"),
        ("took", f"{result.duration_s:.1f} s, the comparison included"),
    ]
    blocks: list[Block] = [
        Title(f"{word}: {result.backup}", "good" if result else "bad"),
        facts("Where it is now", pairs),
        check_table("What was compared", result.checks),
        *(Paragraph(("Note: ", each), "warn") for each in result.notes),
    ]
    return View((*blocks, *_left_out(result.left_out)))


def proof_blocks(result: BackupVerification) -> tuple[Block, ...]:
    """Return the blocks that say what was checked, where it was restored, how long that took, what was sampled."""
    blocks: list[Block] = []
    if not result:
        blocks.append(Paragraph(("Not verified: ", result.reason, "."), "bad"))
    blocks.append(check_table("What was checked", result.checks))
    pairs: list[tuple[str, Phrase]] = []
    if result.scratch:
        pairs.append(("restored into", result.scratch))
        pairs.append(("compared", f"{plural(result.tables, 'table')}, {result.rows:,} rows"))
    pairs.append(("took", f"{result.duration_s:.1f} s: {_durations(result)}"))
    pairs.append(("by", f"{result.by}, at {result.when:%Y-%m-%d %H:%M:%S} UTC"))
    blocks.append(facts("The proof", pairs))
    blocks += [Paragraph(("Note: ", each), "warn") for each in result.notes]
    if result.sampled:
        rows: list[tuple[Phrase, ...]] = []
        for each in result.sampled:
            table, _, rule = each.partition(": ")
            rows.append((code(table), rule))
        blocks.append(
            Fold(
                (f"{plural(len(rows), 'large table')} compared by a sample", quiet("; all others row by row")),
                (Rows("What the digest of each covers", ("table", "covered"), limited(rows, _MOST, "sampled")),),
            )
        )
    return (*blocks, *_left_out(result.left_out))


def _left_out(lines: tuple[str, ...]) -> tuple[Block, ...]:
    if not lines:
        return ()
    shown = lines[:_MOST]
    more = (f"… and {len(lines) - _MOST} more: left_out",) if len(lines) > _MOST else ()
    entries: tuple[Phrase, ...] = (*map(code, shown), *more)
    return (Fold((f"Left out: {plural(len(lines), 'entry', 'entries')} of the dump",), (Bullets(entries),), open=True),)


def _durations(result: BackupVerification) -> str:
    parts = (f"{what} {seconds:.1f} s" for what, seconds in result.durations.items() if seconds >= 0.05)
    return ", ".join(parts) or "less than a tenth of a second each"
