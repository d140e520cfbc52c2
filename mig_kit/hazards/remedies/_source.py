"""A migration's file as text: its operations one by one, and what of the module each of them needs."""

from __future__ import annotations

import ast
import builtins
import io
import textwrap
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mig_kit.hazards.plan import PlanMigration
from mig_kit.hazards.remedies._remedy import NoRemedy

__all__ = ["Source", "has_long_string", "names_used", "parse_source", "read_source", "reindented"]

_KNOWN = ("atomic", "dependencies", "initial", "operations", "run_before")


@dataclass(frozen=True, slots=True)
class Source:
    """State a migration's file: each operation's text as it stands there, and the class's other attributes as text.

    ``statements``: those of the module around the class, each with the names that it binds and its text.
    """

    operations: tuple[str, ...]
    attributes: dict[str, str]
    statements: tuple[tuple[frozenset[str], str], ...]
    nodes: tuple[ast.expr, ...]
    text: str

    def needed_by(self, texts: Iterable[str]) -> list[str]:
        """Return the module's statements that these texts use, directly or not, in the file's order."""
        wanted = set().union(*(names_used(text) for text in texts))
        chosen: set[int] = set()
        while True:
            more = {n for n, (names, _text) in enumerate(self.statements) if n not in chosen and names & wanted}
            if not more:
                return [text for n, (_names, text) in enumerate(self.statements) if n in chosen]
            chosen |= more
            for n in more:
                wanted |= names_used(self.statements[n][1])


def read_source(migration: PlanMigration) -> Source:
    """Read a migration's file; raises NoRemedy where its operations do not stand there one by one."""
    if migration.file is None:
        raise NoRemedy(f"{migration} has no file that could be split")
    try:
        text = Path(migration.file).read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:
        raise NoRemedy(f"the file of {migration} could not be read: {exc}") from exc
    return parse_source(migration, text)


def parse_source(migration: PlanMigration, text: str) -> Source:
    """Take a migration's text apart; raises NoRemedy."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as exc:
        raise NoRemedy(f"the file of {migration} could not be read: {exc}") from exc
    found = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Migration"), None)
    values = {} if found is None else _attributes(found)
    listed = values.get("operations")
    if not isinstance(listed, ast.List | ast.Tuple) or any(isinstance(each, ast.Starred) for each in listed.elts):
        raise NoRemedy(f"the operations of {migration} are not written as a list, so they cannot be taken apart")
    strange = sorted(set(values) - set(_KNOWN))
    if strange:
        raise NoRemedy(f"{migration} sets {', '.join(strange)}, which nobody can divide among several files")
    return Source(
        operations=tuple(_segment(text, each) for each in listed.elts),
        attributes={name: _segment(text, value) for name, value in values.items() if name != "operations"},
        statements=tuple(
            (_bound(node), _whole(text, node)) for node in tree.body if node is not found and _bound(node)
        ),
        nodes=tuple(listed.elts),
        text=text,
    )


def names_used(text: str) -> frozenset[str]:
    """Return the names that a text of Python reads; builtins left out."""
    body = ast.parse(textwrap.dedent(text).strip()).body
    return frozenset(set().union(*(_free(node) for node in body)) - set(dir(builtins)))


def _free(node: ast.stmt) -> set[str]:
    """Return the names that a statement reads, without those that a function has of its own."""
    names = [each for each in ast.walk(node) if isinstance(each, ast.Name)]
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return {each.id for each in names}
    own = {each.id for each in names if isinstance(each.ctx, ast.Store)}
    return {each.id for each in names} - own - {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}


def reindented(text: str, spaces: int) -> str:
    """Return an expression with its lines moved; one with a string over several lines stays as it is."""
    lines = text.split("\n")
    if len(lines) == 1 or has_long_string(text):
        return text
    if lines[0][:1] in ("'", '"'):
        return f"\n{' ' * spaces}".join(each.strip() for each in lines)
    rest = textwrap.dedent("\n".join(lines[1:])).split("\n")
    # The last line closes what the first one opens.
    closes = min((len(each) - len(each.lstrip()) for each in rest if each.strip()), default=0)
    return "\n".join([lines[0], *(" " * (spaces - closes) + each if each.strip() else "" for each in rest)])


def has_long_string(text: str) -> bool:
    """Tell whether a text of Python has a string that goes over several lines."""
    tokens = tokenize.generate_tokens(io.StringIO(textwrap.dedent(text) + "\n").readline)
    return any(
        each.start[0] != each.end[0]
        for each in tokens
        if each.type == tokenize.STRING or tokenize.tok_name[each.type].startswith("FSTRING")
    )


def _attributes(found: ast.ClassDef) -> dict[str, ast.expr]:
    values: dict[str, ast.expr] = {}
    for statement in found.body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                values[target.id if isinstance(target, ast.Name) else "?"] = statement.value
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            values[statement.target.id] = statement.value
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            values[statement.name] = ast.Constant(None)
        elif not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)) and not isinstance(
            statement, ast.Pass
        ):
            values["something else"] = ast.Constant(None)
    return values


def _segment(text: str, node: ast.AST) -> str:
    return ast.get_source_segment(text, node) or ast.unparse(node)


def _whole(text: str, node: ast.stmt) -> str:
    """Return a statement of the module with its decorators."""
    lines = text.split("\n")
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
    return "\n".join(lines[first - 1 : node.end_lineno])


def _bound(node: ast.stmt) -> frozenset[str]:
    """Return the names that a statement of the module binds."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            return frozenset()
        return frozenset((each.asname or each.name).partition(".")[0] for each in node.names)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return frozenset({node.name})
    return frozenset(
        each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    )
