"""The SQL that a run sent, as one readable script."""

from __future__ import annotations

from itertools import groupby

from .journal import Journal
from .redact import redact

__all__ = ["export_sql"]


def export_sql(journal: Journal) -> str:
    """Return the statements in ``journal`` in the order they ran, a comment before each migration's.

    For reading and for review: what was redacted is no longer what ran, so the script is not meant to be
    run again.
    """
    entries = [entry for entry in journal.entries() if entry.kind == "statement"]
    parts = []
    for migration, group in groupby(entries, key=lambda e: f"{e.data.get('app', '?')}.{e.data.get('name', '?')}"):
        lines = [f"-- {' '.join(migration.split())}"]
        for entry in group:
            sql = str(entry.data.get("sql") or "").strip()
            lines.append(sql if sql.endswith(";") else f"{sql};")
        parts.append("\n".join(lines))
    return redact("\n\n".join(parts) + "\n") if parts else ""
