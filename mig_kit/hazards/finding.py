"""One finding: something a person should look at before going on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Finding", "Severity"]


class Severity(Enum):
    """How much a finding weighs."""

    ERROR = "error"  # do not go on before it is resolved
    WARNING = "warning"  # may be meant; somebody has to say so
    INFO = "info"  # good to know

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Finding:
    """State a stable id, what was found where, and what to do; ``evidence`` says how it is known.

    ``evidence`` is one of ``measured`` (on a copy), ``catalog`` (from this database), ``rule`` (from the operation
    alone) and ``unknown``.
    """

    id: str
    severity: Severity
    app: str
    migration: str
    operation: str
    message: str
    hint: str
    evidence: str = "rule"
