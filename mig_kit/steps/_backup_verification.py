"""How the verification of a backup came out: the result of the step, and what is kept of it beside the backup."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mig_kit.steps._backup_files import verification_of, write_private_json
from mig_kit.steps.check import Check, check_frame, failed_checks

if TYPE_CHECKING:
    import pandas

__all__ = ["BackupVerification"]

_SCHEMA = 1
_LISTS = ("sampled", "left_out", "notes")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupVerification:
    """State how far one backup was verified; true when it is verified.

    ``verified``: every file is the one that was written, all of it was restored, and what came out is what went in.
    ``words`` say how far, ``reason`` why not ('' when verified). ``manifest``: the checksum of the manifest it holds
    for. ``scratch``: where it was restored, '' where it was not. ``durations``: seconds by what was done. ``sampled``:
    the tables whose contents were compared in part, each with its rule. ``left_out``: what of the dump was not
    restored. ``when``: UTC. ``by``: who, and by which version of mig_kit.
    """

    backup: str
    manifest: str
    verified: bool
    words: str
    reason: str
    checks: tuple[Check, ...]
    scratch: str
    tables: int
    rows: int
    sampled: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    durations: Mapping[str, float]
    when: datetime
    by: str

    def __repr__(self) -> str:
        return f"<BackupVerification of {self.backup}: {self.words}>"

    def __bool__(self) -> bool:
        return self.verified

    @property
    def duration_s(self) -> float:
        """How long all of it took, in seconds."""
        return sum(self.durations.values())

    @property
    def failed(self) -> list[str]:
        """The names of the checks that failed."""
        return failed_checks(self.checks)

    def check(self, name: str) -> Check:
        """Return the check of that name; ``KeyError`` where none has it."""
        return {each.name: each for each in self.checks}[name]

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a check: check, state, detail, next step."""
        return check_frame(self.checks)

    def write(self, backup: Path) -> None:
        """Keep it beside the backup, in the place of the one before; OSError."""
        data = asdict(self)
        data["when"] = self.when.isoformat()
        write_private_json(verification_of(backup), {"schema": _SCHEMA, **data})

    @classmethod
    def read(cls, backup: Path, manifest: str) -> BackupVerification | None:
        """Return the last verification of a backup; None where there is none, or of another manifest than this."""
        try:
            data: dict[str, Any] = json.loads(verification_of(backup).read_text(encoding="utf-8"))
            if data.pop("schema") != _SCHEMA or data["manifest"] != manifest:
                return None
            data["checks"] = tuple(Check(**each) for each in data["checks"])
            data["when"] = datetime.fromisoformat(data["when"])
            data.update((name, tuple(map(str, data[name]))) for name in _LISTS)
            data["durations"] = {str(name): float(value) for name, value in data["durations"].items()}
            if not isinstance(data["verified"], bool):
                return None
            return cls(**data)
        except (AttributeError, KeyError, OSError, TypeError, ValueError):
            return None


BackupVerification.__module__ = "mig_kit.steps.verify_backup"
