"""What the project's configuration says about the check: rules that ignore a finding, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from mig_kit.errors import ConfigError

__all__ = ["CheckConfig", "IgnoreRule", "read_check"]


@dataclass(frozen=True, slots=True)
class IgnoreRule:
    """State which findings are no matter here, and why.

    ``id``: of the finding; ``migration``: ``app.name``, with ``*`` and ``?``; ``relation``: the same, None for any.
    """

    id: str
    reason: str
    migration: str = "*"
    relation: str | None = None

    def fits(self, id: str, migration: str, relation: str | None) -> bool:
        """Tell whether a finding is meant."""
        if self.id != id or not fnmatchcase(migration, self.migration):
            return False
        return self.relation is None or (relation is not None and fnmatchcase(relation, self.relation))

    def __str__(self) -> str:
        return " ".join(filter(None, (self.id, self.migration, self.relation)))


@dataclass(frozen=True, slots=True)
class CheckConfig:
    """State how the check works. ``assume_large``: give its verdicts for tables of any size."""

    assume_large: bool = False
    ignore: tuple[IgnoreRule, ...] = ()


_KEYS = ("assume_large", "ignore")
_RULE_KEYS = ("id", "migration", "relation", "reason")
_EXAMPLE = 'write { id = "MK201", migration = "app.0005*", reason = "why that is no matter here" }'


def read_check(label: str, table: Any) -> CheckConfig:
    """Read the table ``check``; ``label`` names the file. Raises ConfigError."""
    if not isinstance(table, Mapping):
        raise ConfigError(f"check in {label} is not a table.", hint="write it as [check], or [tool.mig_kit.check]")
    for key in table:
        if key not in _KEYS:
            raise ConfigError(
                f"check in {label} has an unknown key {key!r}.", hint=f"the keys are {' and '.join(_KEYS)}"
            )
    large = table.get("assume_large", False)
    if not isinstance(large, bool):
        raise ConfigError(f"check.assume_large in {label} is no boolean.", hint="write true or false")
    rules = table.get("ignore", [])
    if not isinstance(rules, list):
        raise ConfigError(f"check.ignore in {label} is not an array.", hint=f"{_EXAMPLE} in brackets")
    return CheckConfig(large, tuple(_rule(f"check.ignore[{n}] in {label}", each) for n, each in enumerate(rules)))


def _rule(label: str, given: Any) -> IgnoreRule:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{label} is not a table.", hint=_EXAMPLE)
    for key, value in given.items():
        if key not in _RULE_KEYS:
            raise ConfigError(f"{label} has an unknown key {key!r}.", hint=f"the keys are {', '.join(_RULE_KEYS)}")
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{key} of {label} is no text, or empty.", hint=_EXAMPLE)
    if not re.fullmatch(r"MK\d{3}", str(given.get("id", ""))):
        raise ConfigError(f"{label} names no finding's id.", hint=_EXAMPLE)
    if "reason" not in given:
        raise ConfigError(f"{label} gives no reason.", hint="say why in reason: whoever reads it next year will ask")
    return IgnoreRule(given["id"], given["reason"], given.get("migration", "*"), given.get("relation"))
