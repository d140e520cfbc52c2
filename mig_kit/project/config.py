"""What the user names once: ``mig_kit.toml``, or ``[tool.mig_kit]`` in pyproject.toml."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mig_kit.errors import AmbiguousProject, ConfigError
from mig_kit.project._files import is_file
from mig_kit.project.check_config import CheckConfig, read_check
from mig_kit.project.env_file import Variables
from mig_kit.project.gates_config import GatesConfig, read_gates

__all__ = ["Config", "find_config"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """State what the project's configuration names; None or empty where it names nothing.

    ``python``, ``settings``, ``stage``, ``database``: as the arguments of the same name. ``queries``: the
    user's verification queries, name to SQL. ``masked_columns``: columns whose values are never shown.
    ``environ``: variables for the worker, which win over the environment. ``backup_script``: the project's
    own script. ``scratch``: the address of a server to restore backups on. ``check``: how the check for hazards
    works. ``gates``: what opens one. Relative paths count from ``folder``, that of ``source``, the file read.
    """

    python: str | None = None
    settings: str | None = None
    stage: str | None = None
    database: str | None = None
    queries: Mapping[str, str] = field(default_factory=dict)
    masked_columns: tuple[str, ...] = ()
    environ: Variables = field(default_factory=Variables)
    backup_script: str | None = None
    scratch: str | None = None
    check: CheckConfig = field(default_factory=CheckConfig)
    gates: GatesConfig = field(default_factory=GatesConfig)
    source: Path | None = None

    @property
    def folder(self) -> Path | None:
        """The folder that relative paths count from."""
        return self.source.parent if self.source else None


_TEXT = ("python", "settings", "stage", "database", "backup_script", "scratch")
_TABLES = ("queries", "environ")
_KEYS = (*_TEXT, *_TABLES, "check", "gates", "masked_columns")
_MISSPELT = ("mig-kit", "migkit", "mig_Kit")


def find_config(folders: Iterable[Path]) -> Config:
    """Read the one configuration that these folders hold; an empty Config when they hold none.

    Raises AmbiguousProject when two are present, ConfigError when the one cannot be used.
    """
    found: dict[Path, tuple[str, dict[str, Any]]] = {}
    for folder in dict.fromkeys(folders):
        for path in (folder / "mig_kit.toml", folder / "pyproject.toml"):
            if is_file(path) and (table := _table(path)) is not None:
                label = f"[tool.mig_kit] of {path}" if path.name == "pyproject.toml" else str(path)
                found[path] = (label, table)
    if len(found) > 1:
        labels = [label for label, _ in found.values()]
        raise AmbiguousProject(
            f"Two configurations for mig_kit: {' and '.join(labels)}.",
            candidates=labels,
            hint="keep one of them, with the keys of both",
        )
    for path, (label, table) in found.items():
        return _config(path, label, table)
    return Config()


def _table(path: Path) -> dict[str, Any] | None:
    document = _load(path)
    if path.name != "pyproject.toml":
        return document
    tool = document.get("tool")
    if not isinstance(tool, dict):
        return None
    for name in _MISSPELT:
        if name in tool:
            raise ConfigError(f"{path} has a table [tool.{name}].", hint="its name is [tool.mig_kit]")
    table = tool.get("mig_kit")
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"tool.mig_kit in {path} is {_kind(table)}, not a table.", hint="write it as [tool.mig_kit]")
    return table


def _load(path: Path) -> dict[str, Any]:
    raw = b""
    try:
        raw = path.read_bytes()
        return tomllib.loads(raw.decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror or error}.", hint=f"let this user read it (ls -l {path})"
        ) from error
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        reason, hint = f"is not UTF-8: line {line}", "save the file as UTF-8"
    except tomllib.TOMLDecodeError as error:
        reason, hint = f"is not valid TOML: {error}", "mend that line"
    # Raised out here: the first error carries the file's text, and [environ] may hold a secret.
    raise ConfigError(f"{path} {reason}.", hint=hint)


def _config(path: Path, label: str, table: Mapping[str, Any]) -> Config:
    for key in table:
        if key not in _KEYS:
            raise ConfigError(f"{label} has an unknown key {key!r}.", hint=_unknown_hint(path, key))
    values: dict[str, Any] = {}
    for key in _TEXT:
        if key in table:
            values[key] = _string(label, key, table[key])
            if not values[key].strip():
                raise ConfigError(f"{key} in {label} is empty.", hint="give it a value, or remove the line")
    for key in _TABLES:
        entries = table.get(key, {})
        if not isinstance(entries, dict):
            raise ConfigError(
                f"{key} in {label} is {_kind(entries)}; it must be a table of strings.",
                hint=f'write {key} = {{ name = "…" }}, or a table of its own',
            )
        values[key] = {name: _string(label, f"{key}.{name}", value) for name, value in entries.items()}
    values["environ"] = Variables(values["environ"])
    columns = table.get("masked_columns", [])
    if not isinstance(columns, list):
        raise ConfigError(
            f"masked_columns in {label} is {_kind(columns)}; it must be an array of strings.",
            hint='write masked_columns = ["table.column", …]',
        )
    values["masked_columns"] = tuple(
        _string(label, f"masked_columns[{index}]", column) for index, column in enumerate(columns)
    )
    if "check" in table:
        values["check"] = read_check(label, table["check"])
    if "gates" in table:
        values["gates"] = read_gates(label, table["gates"])
    return Config(**values, source=path)


def _string(label: str, key: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    # The value itself is not shown: under environ it may be a secret.
    raise ConfigError(f"{key} in {label} is {_kind(value)}; it must be a string.", hint="put it in quotes")


def _kind(value: Any) -> str:
    names = {
        bool: "a boolean",
        int: "an integer",
        float: "a float",
        str: "a string",
        list: "an array",
        dict: "a table",
    }
    return names.get(type(value), "a date or time")


def _unknown_hint(path: Path, key: str) -> str:
    if key == "tool" and path.name != "pyproject.toml":
        return f"in {path.name} the keys stand at the top level, without [tool.mig_kit]"
    near = difflib.get_close_matches(key.replace("-", "_").lower(), _KEYS, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(sorted(_KEYS))}"
