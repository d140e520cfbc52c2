"""What the project's configuration says about the gates: how old a backup may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mig_kit.errors import ConfigError

__all__ = ["GatesConfig", "read_gates"]

_KEYS = ("backup_hours",)


@dataclass(frozen=True, slots=True)
class GatesConfig:
    """State what opens a gate. ``backup_hours``: the oldest that a backup may be, in hours."""

    backup_hours: float = 24.0


def read_gates(label: str, table: Any) -> GatesConfig:
    """Read the table ``gates``; ``label`` names the file. Raises ConfigError."""
    if not isinstance(table, Mapping):
        raise ConfigError(f"gates in {label} is not a table.", hint="write it as [gates], or [tool.mig_kit.gates]")
    for key in table:
        if key not in _KEYS:
            raise ConfigError(f"gates in {label} has an unknown key {key!r}.", hint=f"the key is {_KEYS[0]}")
    hours = table.get("backup_hours", GatesConfig().backup_hours)
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not hours > 0:
        raise ConfigError(f"gates.backup_hours in {label} is no number above 0.", hint="write backup_hours = 24")
    return GatesConfig(float(hours))
