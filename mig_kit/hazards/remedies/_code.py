"""Operations as Python text."""

from __future__ import annotations

from collections.abc import Sequence

from mig_kit.hazards.remedies._source import reindented

__all__ = ["call", "literal", "raw_sql", "run_python", "with_state"]


def literal(value: object) -> str:
    """Return a value as Python text, strings in the quotes that need fewer escapes."""
    if isinstance(value, str) and '"' not in value and "\\" not in value and value.isprintable():
        return f'"{value}"'
    return repr(value)


def call(name: str, arguments: Sequence[str]) -> str:
    """Return a call, an argument a line where it is long."""
    short = f"{name}({', '.join(arguments)})"
    if len(short) <= 96 and "\n" not in short:
        return short
    return f"{name}(\n" + "".join(f"    {reindented(each, 4)},\n" for each in arguments) + ")"


def raw_sql(sql: str, reverse: str | None) -> str:
    """Return a RunSQL; ``reverse``: '' where there is nothing to take back, None where that cannot be told."""
    arguments = [literal(sql)]
    if reverse is not None:
        arguments.append(literal(reverse) if reverse else "migrations.RunSQL.noop")
    return call("migrations.RunSQL", arguments)


def run_python(function: str) -> str:
    """Return a RunPython that has nothing to take back."""
    return f"migrations.RunPython({function}, migrations.RunPython.noop)"


def with_state(database: Sequence[str], state: Sequence[str]) -> str:
    """Return a SeparateDatabaseAndState."""
    parts = [(name, each) for name, each in (("database_operations", database), ("state_operations", state)) if each]
    return call("migrations.SeparateDatabaseAndState", [f"{name}={_listed(each)}" for name, each in parts])


def _listed(operations: Sequence[str]) -> str:
    return "[\n" + "".join(f"    {reindented(each, 4)},\n" for each in operations) + "]"
