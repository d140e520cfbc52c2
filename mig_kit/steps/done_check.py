"""What has to hold after each migration: its record, valid indexes, and what the caller knows of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mig_kit.postgres import Connection, invalid_indexes

__all__ = ["Checked", "DoneCheck", "file_sha256"]

# Told of a migration that is done: its app and name, and whether it was taken back. What it returns, if anything, is
# what is wrong with the database now.
Checked = Callable[[str, str, bool], str | None]


class DoneCheck:
    """Look at the database after each migration; made before the first, since what was wrong then is none of theirs."""

    def __init__(self, conn: Connection, checked: Checked | None = None) -> None:
        self._checked = checked
        self._invalid = frozenset(_invalid(conn))

    def wrong(self, conn: Connection, data: Mapping[str, Any]) -> str | None:
        """Return in a sentence what is not as it should be, None where all is; ``data``: of the event "done"."""
        for app, name in data.get("rows", ()):
            row = conn.execute(
                "SELECT count(*) > 0 FROM django_migrations WHERE app = %s AND name = %s", (app, name)
            ).fetchone()
            if row is not None and row[0] == data["backwards"]:
                return f"{app}.{name} is {'still' if data['backwards'] else 'not'} recorded in django_migrations"
        new = sorted(set(_invalid(conn)) - self._invalid)
        if new:
            return f"it left an index that is not valid: {', '.join(new)}"
        return self._checked(data["app"], data["name"], data["backwards"]) if self._checked is not None else None


def file_sha256(path: str) -> str:
    """Return the SHA-256 of a file, '' where it cannot be read."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return ""


def _invalid(conn: Connection) -> list[str]:
    return [f"{each.schema}.{each.name}" for each in invalid_indexes(conn)]
