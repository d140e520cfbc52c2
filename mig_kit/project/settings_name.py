"""The settings module that manage.py names: read from its syntax tree, never by running it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from mig_kit.errors import AmbiguousProject, SettingsError

__all__ = ["read_settings_name"]

_VARIABLE = "DJANGO_SETTINGS_MODULE"
_NAME_IT = 'settings="…" (--settings), or settings = "…" in mig_kit.toml'


@dataclass(frozen=True, slots=True)
class _Naming:
    """One statement that sets the variable; ``values`` is empty when only running it would tell."""

    values: tuple[str, ...]
    line: int
    conditional: bool
    default: bool


def read_settings_name(path: Path, environ: Mapping[str, str]) -> str:
    """Return the settings module that manage.py names, read from its syntax tree; nothing of it is run.

    ``environ`` answers where it asks the environment for a part of the name. Raises SettingsError when it
    names none, computes it, or cannot be read; AmbiguousProject when it depends on a condition.
    """
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}.", hint=f"name {_NAME_IT}") from error
    except SyntaxError as error:
        raise SettingsError(
            f"{path} has a syntax error in line {error.lineno}: {error.msg}.",
            hint=f"mend it, or name {_NAME_IT}",
        ) from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not Python: {error}.", hint=f"mend it, or name {_NAME_IT}") from error
    values = _Values(tree, environ)
    namings = list(_namings(tree.body, values, conditional=False))
    if not namings:
        raise SettingsError(f"{path} names no settings module.", hint=f"name {_NAME_IT}")
    if not any(naming.conditional or len(naming.values) > 1 for naming in namings):
        # setdefault keeps the first, an assignment makes the last count.
        decides = namings[0]
        for naming in namings[1:]:
            decides = decides if naming.default else naming
        namings = [decides]
    for naming in namings:
        if not naming.values:
            raise SettingsError(
                f"{path} computes the settings module in line {naming.line}; only running it would tell.",
                hint=f"name {_NAME_IT}",
            )
    names = list(dict.fromkeys(value for naming in namings for value in naming.values))
    if len(names) > 1:
        many = "two" if len(names) == 2 else len(names)
        raise AmbiguousProject(
            f"{path} names {many} settings modules, depending on a condition: {' and '.join(names)}.",
            candidates=names,
            hint=f"name {_NAME_IT}, for example {names[0]}",
        )
    return names[0]


def _namings(body: Iterable[ast.stmt], values: _Values, *, conditional: bool) -> Iterator[_Naming]:
    for statement in body:
        if isinstance(statement, ast.If):
            main = "__name__" in {node.id for node in ast.walk(statement.test) if isinstance(node, ast.Name)}
            yield from _namings(statement.body, values, conditional=conditional or not main)
            yield from _namings(statement.orelse, values, conditional=True)
        elif isinstance(statement, ast.Try | ast.TryStar):
            calm = [*statement.body, *statement.orelse, *statement.finalbody]
            yield from _namings(calm, values, conditional=conditional)
            for handler in statement.handlers:
                yield from _namings(handler.body, values, conditional=True)
        elif isinstance(statement, ast.For | ast.AsyncFor | ast.While):
            yield from _namings([*statement.body, *statement.orelse], values, conditional=True)
        elif isinstance(statement, ast.Match):
            for case in statement.cases:
                yield from _namings(case.body, values, conditional=True)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.With | ast.AsyncWith):
            yield from _namings(statement.body, values, conditional=conditional)
        else:
            for expression, default in _settings_expressions(statement, values):
                found = tuple(sorted(values.of(expression) or ()))
                yield _Naming(found, statement.lineno, conditional, default)


def _settings_expressions(statement: ast.stmt, values: _Values) -> Iterator[tuple[ast.expr, bool]]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Subscript) and _is_environ(target.value) and values.is_key(target.slice):
                    yield node.value, False
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_environ(node.func.value):
            if node.func.attr == "setdefault" and len(node.args) == 2 and values.is_key(node.args[0]):
                yield node.args[1], True
            elif node.func.attr == "update":
                yield from ((keyword.value, False) for keyword in node.keywords if keyword.arg == _VARIABLE)
                for table in (argument for argument in node.args if isinstance(argument, ast.Dict)):
                    pairs = zip(table.keys, table.values, strict=True)
                    yield from ((value, False) for key, value in pairs if key is not None and values.is_key(key))


def _is_environ(node: ast.expr) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "environ") or (
        isinstance(node, ast.Name) and node.id == "environ"
    )


class _Values:
    """Work out which strings an expression can give; None: unknown, empty: it asks for what is not set."""

    def __init__(self, tree: ast.Module, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._bound: dict[str, list[ast.expr]] = {"ENVIRONMENT_VARIABLE": [ast.Constant(_VARIABLE)]}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                targets = [target.id for target in node.targets if isinstance(target, ast.Name)]
            elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and isinstance(node.target, ast.Name):
                targets = [node.target.id]
            else:
                continue
            for name in targets:
                if node.value is not None:
                    self._bound.setdefault(name, []).append(node.value)

    def is_key(self, node: ast.expr) -> bool:
        return self.of(node) == {_VARIABLE}

    def of(self, node: ast.expr, depth: int = 0) -> set[str] | None:
        if depth > 8:  # a name bound to itself
            return None
        deeper = depth + 1
        match node:
            case ast.Constant(value=str(text)):
                return {text}
            case ast.Name(id=name) if name in self._bound:
                return self._union(self.of(value, deeper) for value in self._bound[name])
            case ast.IfExp(body=body, orelse=orelse):
                return self._union((self.of(body, deeper), self.of(orelse, deeper)))
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                return self._joined((self.of(left, deeper), self.of(right, deeper)))
            case ast.JoinedStr(values=parts):
                return self._joined(self.of(part, deeper) for part in parts)
            case ast.FormattedValue(value=value, format_spec=None):
                return self.of(value, deeper)
            case ast.BoolOp(op=ast.Or(), values=options):
                for option in options:
                    found = self.of(option, deeper)
                    if found is None or any(found):
                        return found
                return set()
            case ast.Subscript(value=value, slice=key) if _is_environ(value):
                return self._asked(key, None, deeper)
            case ast.Call(func=ast.Attribute(attr="get", value=value), args=[key, *rest]) if _is_environ(value):
                return self._asked(key, rest[0] if rest else None, deeper)
            case ast.Call(func=ast.Attribute(attr="getenv") | ast.Name(id="getenv"), args=[key, *rest]):
                return self._asked(key, rest[0] if rest else None, deeper)
        return None

    def _asked(self, key: ast.expr, default: ast.expr | None, depth: int) -> set[str] | None:
        names = self.of(key, depth)
        if names is None or len(names) != 1:
            return None
        (name,) = names
        if name in self._environ:
            return {self._environ[name]}
        return self.of(default, depth) if default is not None else set()

    @staticmethod
    def _union(options: Iterable[set[str] | None]) -> set[str] | None:
        found: set[str] = set()
        for option in options:
            if option is None:
                return None
            found |= option
        return found

    @staticmethod
    def _joined(parts: Iterable[set[str] | None]) -> set[str] | None:
        known = list(parts)
        if any(part is None for part in known):
            return None
        return {"".join(choice) for choice in product(*(part for part in known if part is not None))}
