"""Operations as Python text."""

from __future__ import annotations

from collections.abc import Sequence

from mig_kit.hazards.remedies._source import reindented

__all__ = ["call", "literal", "raw_sql", "run_python", "with_state"]

# Of a string on one line; a file of migrations has it indented.
_LONG = 84


def literal(value: object) -> str:
    """Return a value as Python text; a long string as several, one a line, that Python puts together."""
    if not isinstance(value, str):
        return repr(value)
    parts = [value]
    while len(parts[-1]) > _LONG and (at := parts[-1].rfind(" ", 0, _LONG) + 1):
        parts[-1:] = [parts[-1][:at], parts[-1][at:]]
    return "\n".join(_quoted(each) for each in parts)


def _quoted(text: str) -> str:
    """Return a string's text in the quotes that need fewer escapes."""
    return f'"{text}"' if '"' not in text and "\\" not in text and text.isprintable() else repr(text)


def call(name: str, arguments: Sequence[str]) -> str:
    """Return a call, an argument a line where it is long."""
    short = f"{name}({', '.join(arguments)})"
    if len(short) <= 96 and "\n" not in short:
        return short
    return f"{name}(\n" + "".join(f"    {reindented(each, 4)},\n" for each in arguments) + ")"


def raw_sql(sql: str, reverse: Sequence[str] | None, own: str = "") -> str:
    """Return a RunSQL; ``reverse``: the statements of its way back, None where there is no telling.

    ``own``: the way back as Python text.
    """
    # As a list it is one statement, whatever stands in it.
    given = literal(sql) if ";" not in sql else _listed([literal(sql)])
    arguments = [given if sql else "migrations.RunSQL.noop"]
    if own or reverse is not None:
        arguments.append(own or _several(reverse or ()))
    return call("migrations.RunSQL", arguments)


def _several(statements: Sequence[str]) -> str:
    if not statements:
        return "migrations.RunSQL.noop"
    if len(statements) == 1:
        return literal(statements[0])
    return "[\n" + "".join(f"    {reindented(literal(each), 4)},\n" for each in statements) + "]"


def run_python(function: str) -> str:
    """Return a RunPython that has nothing to take back."""
    return f"migrations.RunPython({function}, migrations.RunPython.noop)"


def with_state(database: Sequence[str], state: Sequence[str]) -> str:
    """Return a SeparateDatabaseAndState."""
    parts = [(name, each) for name, each in (("database_operations", database), ("state_operations", state)) if each]
    return call("migrations.SeparateDatabaseAndState", [f"{name}={_listed(each)}" for name, each in parts])


def _listed(operations: Sequence[str]) -> str:
    return "[\n" + "".join(f"    {reindented(each, 4)},\n" for each in operations) + "]"
