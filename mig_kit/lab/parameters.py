"""A notebook's parameters: what its cell tagged "parameters" assigns."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mig_kit.errors import UsageError

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["check_parameters", "fill_parameters", "parameter_names", "read_notebook"]


def read_notebook(path: Path) -> NotebookNode:
    """Return a notebook as version 4; UsageError where the file is none."""
    import nbformat

    try:
        node: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
        cells = node.cells
    except OSError as exc:
        raise UsageError(f"The notebook {path} cannot be read: {exc.strerror}.", hint="check its permissions") from None
    except Exception as exc:  # nbformat raises its own, json's and validation's
        raise UsageError(
            f"{path} is not a notebook ({type(exc).__name__}).", hint="name an .ipynb file that JupyterLab opens"
        ) from None
    for cell in cells:
        cell.metadata.setdefault("tags", [])
    return node


def parameter_names(notebook: NotebookNode) -> tuple[str, ...] | None:
    """Return the names that may be given; None where the notebook does not say, so that any may be meant."""
    cell = _cell(notebook)
    assigned = _assignments(cell.source) if cell is not None else None
    return tuple(assigned) if assigned is not None else None


def check_parameters(notebook: NotebookNode, given: Iterable[str]) -> None:
    """Raise UsageError, with the nearest name, for a parameter that the notebook does not have."""
    names = parameter_names(notebook)
    for name in given:
        if names is None or name in names:
            continue
        near = difflib.get_close_matches(name, names, n=1)
        raise UsageError(
            f"The notebook has no parameter {name!r}.",
            hint=f"did you mean {near[0]!r}?" if near else f"its parameters are {', '.join(names) or 'none'}",
        )


def fill_parameters(notebook: NotebookNode, values: Mapping[str, Any]) -> None:
    """Write values into the parameters cell in place of the ones that stand there; comments beside them stay."""
    cell = _cell(notebook)
    assigned = _assignments(cell.source) if cell is not None else None
    if cell is None or assigned is None:
        return
    lines = cell.source.splitlines(keepends=True)
    found = [(assigned[name], value) for name, value in values.items() if name in assigned]
    for node, value in sorted(found, key=lambda each: each[0].lineno, reverse=True):  # from the end: lines move
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        head = lines[first].encode()[: node.col_offset].decode()
        tail = lines[last].encode()[node.end_col_offset or 0 :].decode()
        lines[first : last + 1] = [f"{head}{value!r}{tail}"]
    cell.source = "".join(lines)


def _cell(notebook: NotebookNode) -> NotebookNode | None:
    tagged = (each for each in notebook.cells if "parameters" in each.metadata.get("tags", ()))
    return next(tagged, None)


def _assignments(source: str) -> dict[str, ast.expr] | None:
    """Return each name that the cell assigns and the node of its value; None for a cell that is no plain Python."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return None
    found: dict[str, ast.expr] = {}
    for statement in body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            found[statement.targets[0].id] = statement.value
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            found[statement.target.id] = statement.value
    return found
