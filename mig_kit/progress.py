"""What a long step says while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Progress", "ProgressCallback"]


@dataclass(frozen=True, slots=True)
class Progress:
    """State how far one step has come, in words and, where it is known, in numbers.

    ``step``: the runbook step ("backup", "apply" …). ``message``: what happens now, one short sentence.
    ``done`` and ``total`` count ``unit`` (tables, bytes, migrations …); ``total`` is None while it is unknown.
    ``lasting`` marks a line worth keeping (a finished migration), as against one that the next replaces.
    """

    step: str
    message: str
    done: int | None = None
    total: int | None = None
    unit: str = ""
    lasting: bool = False

    def __str__(self) -> str:
        if self.done is None:
            return self.message
        of = f" of {self.total}" if self.total is not None else ""
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.message} ({self.done}{of}{unit})"


ProgressCallback = Callable[[Progress], None]
