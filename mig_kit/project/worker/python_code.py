"""What can be told of a RunPython from its source, without running it."""

import ast
import types

from .python_reader import Reader

FOLLOWED = 20  # functions that the code calls, at most


def operation_lines(path, count):
    """Return the line of each entry of ``operations`` in a migration file; its class's, or 1, where it is not told."""
    tree = parsed(path)
    if tree is None:
        return [1] * count
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "Migration":
            for statement in node.body:
                targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
                if any(isinstance(each, ast.Name) and each.id == "operations" for each in targets):
                    value = getattr(statement, "value", None)
                    entries = value.elts if isinstance(value, (ast.List, ast.Tuple)) else []
                    if len(entries) == count and not any(isinstance(each, ast.Starred) for each in entries):
                        return [each.lineno for each in entries]
            return [node.lineno] * count
    return [1] * count


_trees = {}  # type: dict[str, object]


def parsed(path):
    """Return a file's syntax tree, None where there is none; kept, since a file that changes ends this process."""
    if path is None:
        return None
    if path not in _trees:
        try:
            with open(path, "rb") as file:
                _trees[path] = ast.parse(file.read())
        except (OSError, SyntaxError, ValueError):
            _trees[path] = None
    return _trees[path]


def code_facts(operation, state):
    """Return the facts about a RunPython's code.

    name, file, line, noop; reverse, reverse_noop; ``unknown``: why it could not be read, or None; ``direct_models``:
    models used as the code has them now; ``models``: those it gets from the state, with their tables;
    ``without_using``: lines where a query does not name its database; ``whole``: uses that go through a table at once
    or row by row, each {line, what, label, table, batched}; ``raw_sql``: whether it runs statements of its own.
    """
    code = operation.code
    facts = {
        "name": getattr(code, "__qualname__", type(code).__name__),
        "file": None,
        "line": None,
        "noop": is_noop(code),
        "reverse": operation.reverse_code is not None,
        "reverse_noop": is_noop(operation.reverse_code),
        "unknown": None,
        "direct_models": [],
        "models": [],
        "without_using": [],
        "whole": [],
        "raw_sql": False,
    }
    if facts["noop"]:
        return facts
    function = plain_function(code)
    node = source_node(function)
    if node is None:
        facts["unknown"] = "its source cannot be read"
        return facts
    facts["file"], facts["line"] = function.__code__.co_filename, node.lineno
    seen = {function.__code__}
    waiting = [(function, node)]
    while waiting and len(seen) <= FOLLOWED:
        function, node = waiting.pop(0)
        reader = Reader(function, node, facts, state)
        reader.read()
        for called in reader.called:
            if called.__code__ not in seen:
                seen.add(called.__code__)
                found = source_node(called)
                if found is not None:
                    waiting.append((called, found))
    for key in ("direct_models", "models", "without_using", "whole"):
        facts[key] = unique(facts[key])
    return facts


def unique(listed):
    """Return the entries once each, in order."""
    found = []
    for each in listed:
        if each not in found:
            found.append(each)
    return found


def is_noop(code):
    """Say whether it is RunPython.noop."""
    from django.db.migrations import RunPython

    return code is RunPython.noop or getattr(code, "__func__", code) is RunPython.noop


def plain_function(code):
    """Return the function behind a callable (a partial, a method, a callable object), None where there is none."""
    for _depth in range(5):
        if isinstance(code, types.FunctionType):
            return code
        if hasattr(code, "__wrapped__"):
            code = code.__wrapped__
        elif isinstance(code, types.MethodType):
            code = code.__func__
        elif hasattr(code, "func"):
            code = code.func
        elif isinstance(vars(type(code)).get("__call__"), types.FunctionType):
            code = vars(type(code))["__call__"]
        else:
            return None
    return None


def source_node(function):
    """Return the syntax node of a function or lambda, None where its file cannot be read or holds it twice."""
    if function is None:
        return None
    tree = parsed(function.__code__.co_filename)
    if tree is None:
        return None
    line, name = function.__code__.co_firstlineno, function.__name__
    found = []  # type: list[ast.AST]
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name:
            first = min([node.lineno] + [each.lineno for each in node.decorator_list])
            if first == line or node.lineno == line:
                found.append(node)
        elif isinstance(node, ast.Lambda) and name == "<lambda>" and node.lineno == line:
            found.append(node)
    return found[0] if len(found) == 1 else None
