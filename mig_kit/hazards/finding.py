"""One finding: something a person should look at before going on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from mig_kit.hazards.facts import Work
from mig_kit.hazards.locks import Blocks, LockMode

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
    alone) and ``unknown``. ``relation``, ``lock``, ``work`` and ``blocks``: the table that traffic would wait for, the
    mode, what goes on meanwhile, and who waits, where the finding is about that. ``code``: the migration to write
    instead, as Python text, where there is one. ``ignored``: the reason why the project's configuration says that it
    is no matter; its severity is info then. ``file``, ``line``: where the operation stands.
    """

    id: str
    severity: Severity
    app: str
    migration: str
    operation: str
    message: str
    hint: str
    evidence: str = "rule"
    relation: str | None = None
    lock: LockMode | None = None
    work: Work | None = None
    blocks: Blocks = Blocks.NOTHING
    code: str = ""
    ignored: str = ""
    file: str | None = None
    line: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data; the hint holds the code to write instead, where there is some."""
        return {
            "id": self.id,
            "severity": str(self.severity),
            "operation": self.operation,
            "relation": self.relation,
            "lock": self.lock.value if self.lock else None,
            "work": str(self.work) if self.work else None,
            "blocks": str(self.blocks),
            "evidence": self.evidence,
            "message": f"{self.message} Ignored: {self.ignored}" if self.ignored else self.message,
            "hint": f"{self.hint}\n\n{self.code}" if self.code else self.hint,
        }
