"""How one gate was found, before it is known whether anybody requires it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

__all__ = ["Seen", "some"]


@dataclass(frozen=True, slots=True)
class Seen:
    """State how one gate was found: open or not, the evidence as a sentence, its time, and what to run next."""

    open: bool
    evidence: str
    when: datetime | None = None
    next: str = ""


def some(names: Sequence[str], most: int = 3) -> str:
    """Return names in a list that stays readable."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
