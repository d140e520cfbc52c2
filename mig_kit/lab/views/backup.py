"""How a backup looks."""

from __future__ import annotations

from mig_kit.lab.blocks import Fold, Paragraph, Phrase, Table, Title, View, code, facts, limited, quiet, state
from mig_kit.lab.views.session import plural
from mig_kit.lab.views.verified_backup import proof_blocks
from mig_kit.steps.backup import Backup

__all__ = ["backup_view", "size"]

_MOST = 500


def size(count: int) -> str:
    """Return a number of bytes as people say it."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def backup_view(backup: Backup) -> View:
    """Return what was kept, where, and how far it can be relied on."""
    counted = "in the very snapshot that was dumped" if backup.same_snapshot else "just before the script ran"
    method = f"{backup.method} ({backup.tool_version})" if backup.tool_version not in backup.method else backup.method
    pairs: list[tuple[str, Phrase]] = [
        ("lies in", code(backup.path)),
        ("database", f"{backup.database} at {backup.server}"),
        ("made", f"{backup.started:%Y-%m-%d %H:%M:%S} UTC, in {backup.duration_s:.1f} s"),
        ("size", f"{size(backup.size_bytes)} in {plural(len(backup.files), 'file')}"),
        ("rows", f"{sum(backup.rows.values()):,} in {plural(len(backup.rows), 'table')}, counted {counted}"),
        ("made by", f"{backup.made_by} with {method}"),
        ("server", f"PostgreSQL {backup.server_version}"),
        ("compressed by", backup.compression),
        ("migrations in it", f"{backup.migrations} applied"),
        ("restored and compared", _verified(backup)),
    ]
    rows: list[tuple[Phrase, ...]] = [(code(table), f"{count:,}") for table, count in sorted(backup.rows.items())]
    files: list[tuple[Phrase, ...]] = [
        (code(each.path), f"{each.size:,}", code(each.sha256)) for each in sorted(backup.files, key=lambda f: f.path)
    ]
    elsewhere = f"{backup.path.name} has them in its manifest"
    notes = tuple(Paragraph(("Note: ", each), "warn") for each in backup.warnings)
    proof = backup.verification
    title = Title(f"Backup complete: {backup.path.name}", "good")
    if proof is not None:
        said = "and verified" if proof.verified else "and not verified"
        title = Title(f"Backup complete {said}: {backup.path.name}", "good" if proof.verified else "bad")
    return View(
        (
            title,
            *notes,
            facts("What was kept", pairs),
            *(proof_blocks(proof) if proof is not None else ()),
            Fold(
                (f"Rows of {plural(len(rows), 'table')}", quiet(": what verify compares with")),
                (
                    Table(
                        "Rows at the time of the backup",
                        ("table", "rows"),
                        limited(rows, _MOST, elsewhere),
                        frozenset({1}),
                    ),
                ),
            ),
            Fold(
                (plural(len(files), "file"), quiet(", each with its SHA-256")),
                (
                    Table(
                        "Files of the backup",
                        ("file", "bytes", "SHA-256"),
                        limited(files, _MOST, elsewhere),
                        frozenset({1}),
                    ),
                ),
            ),
        )
    )


def _verified(backup: Backup) -> Phrase:
    if backup.verification is None:
        return (state("not yet", "warn"), ": a backup counts once it was restored, rb.verify_backup()")
    if backup.verification.verified:
        return (state("yes"), f": {backup.verification.words}")
    return (state("no", "bad"), f": {backup.verification.reason}")
