"""A journal at whose boundaries things happen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mig_kit import errors
from mig_kit.record import Entry, Journal

__all__ = ["Fuse"]


class Fuse(Journal):
    """A journal at whose n-th boundary something happens: behind an announcement, or before a confirmation.

    ``statements``: each statement that is told is a boundary, too, in the midst of what was announced.
    """

    def __init__(self, path: Path, at: int | None, blow: Callable[[], None], *, statements: bool = True) -> None:
        super().__init__(path)
        self.statements = statements
        self.at = at
        self.count = 0
        self.blow = blow
        self.where = ""

    def append(self, kind: str, /, **data: object) -> Entry:
        confirms = kind.endswith(("done", "applied", "taken back", "ended"))
        if confirms:
            self._boundary(f"before {kind!r}", data)
        entry = super().append(kind, **data)
        if not confirms and (self.statements or kind != "statement"):
            self._boundary(f"behind {kind!r}", data)
        return entry

    def _boundary(self, where: str, data: Any) -> None:
        self.count += 1
        if self.count == self.at:
            self.where = f"{where} {data.get('name', '')} {data.get('operation', '')} {str(data.get('sql', ''))[:40]}"
            self.blow()

    def burns(self, work: Callable[[], object]) -> bool:
        """Do something that writes here, and tell whether it came to the boundary; errors are due to that only."""
        try:
            work()
        except errors.MigKitError:
            assert self.where
        return bool(self.where)
