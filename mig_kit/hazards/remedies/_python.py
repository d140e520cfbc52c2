"""RunPython rewritten in place: in batches, on the database at hand, with models of its own time, and a way back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from mig_kit.hazards.plan import PlanOperation, PythonCode
from mig_kit.hazards.remedies._helpers import IN_RANGES
from mig_kit.hazards.remedies._operations import Work
from mig_kit.hazards.remedies._remedy import NoRemedy
from mig_kit.hazards.remedies._source import has_long_string, parse_source
from mig_kit.hazards.remedies._steps import Step

__all__ = ["BATCH_NOTE", "in_batches", "in_this_database", "with_noop", "with_own_models"]

BATCH_NOTE = "Each batch is committed by itself and sees what those before it changed: make sure that this is meant."

_Function = ast.FunctionDef


@dataclass
class _Editing:
    """A file's text, the function in it, and what is to be changed; places count in bytes, as those of ast do."""

    work: Work
    entry: PlanOperation
    code: PythonCode
    function: _Function
    edits: list[tuple[int, int, str]] = field(default_factory=list)

    @classmethod
    def of(cls, work: Work) -> _Editing:
        (entry, *more) = work.entries
        code = entry.python
        if more or code is None or code.noop:
            raise NoRemedy(f"{entry.describe} is no RunPython by itself")
        if code.unknown or code.file != work.migration.file:
            raise NoRemedy(f"the code of {code.name} does not stand in the migration's file")
        tree = ast.parse(work.source.text)
        found = [node for node in tree.body if isinstance(node, _Function) and node.name == code.name]
        if len(found) != 1 or len(found[0].args.args) < 2:
            raise NoRemedy(f"{code.name} is not a plain function of the migration's file")
        return cls(work, entry, code, found[0])

    @property
    def alias(self) -> str:
        """How the function names the database at hand."""
        return f"{self.function.args.args[1].arg}.connection.alias"

    def place(self, line: int, column: int) -> int:
        lines = self.work.source.text.encode().split(b"\n")
        return sum(len(each) + 1 for each in lines[: line - 1]) + column

    def insert(self, line: int, column: int, text: str) -> None:
        at = self.place(line, column)
        self.edits.append((at, at, text))

    def put(self, node: ast.expr, text: str) -> None:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start, end = self.place(node.lineno, node.col_offset), self.place(node.end_lineno, node.end_col_offset)
        self.edits.append((start, end, text))

    def done(self) -> Work:
        """Return the work with the file's text changed."""
        data = self.work.source.text.encode()
        for start, end, text in sorted(self.edits, key=lambda edit: edit[:2], reverse=True):
            data = data[:start] + text.encode() + data[end:]
        return replace(self.work, source=parse_source(self.work.migration, data.decode()))


def in_this_database(work: Work) -> tuple[Work, list[Step]]:
    """Let each query say that it means the database that is migrated."""
    editing = _Editing.of(work)
    parents = {child: parent for parent in ast.walk(editing.function) for child in ast.iter_child_nodes(parent)}
    lines = set(editing.code.without_using)
    for node in ast.walk(editing.function):
        if isinstance(node, ast.Attribute) and node.attr in ("objects", "_base_manager", "_default_manager"):
            above = parents.get(node)
            if not (isinstance(above, ast.Attribute) and above.attr in ("using", "db_manager")):
                editing.insert(node.end_lineno or 0, node.end_col_offset or 0, f".using({editing.alias})")
                lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    if lines:
        raise NoRemedy(f"{editing.code.name} queries without naming its database in another way (line {min(lines)})")
    return _data(editing.done())


def with_own_models(work: Work) -> tuple[Work, list[Step]]:
    """Take models from the migration's own state instead of the code."""
    editing = _Editing.of(work)
    function = editing.function
    read = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    labels = {str(each["model"]) for each in editing.code.direct_models}
    if not labels or any(label.partition(".")[2] not in read for label in labels):
        raise NoRemedy(f"{function.name} reaches its models by another name than theirs")
    body = function.body[1:] if ast.get_docstring(function) and len(function.body) > 1 else function.body
    apps, indent = function.args.args[0].arg, " " * body[0].col_offset
    got = [_got(apps, *label.split(".")) for label in sorted(labels)]
    editing.insert(body[0].lineno, 0, "".join(f"{indent}{each}\n" for each in got))
    return _data(editing.done())


def _got(apps: str, app: str, model: str) -> str:
    return f'{model} = {apps}.get_model("{app}", "{model}")'


def with_noop(work: Work) -> tuple[Work, list[Step]]:
    """Say that there is nothing to take back."""
    node = work.source.nodes[work.number]
    if not isinstance(node, ast.Call) or work.entries[0].python is None:
        raise NoRemedy("it is no RunPython that is written out")
    last = [*node.args, *(each.value for each in node.keywords)][-1]
    written = ast.get_source_segment(work.source.text, last) or ""
    head = work.text[: work.text.rindex(written) + len(written)]
    text = f"{head}, reverse_code=migrations.RunPython.noop)"
    return work, [Step((text,), "data", "changes rows", atomic=work.migration.atomic, alone=False)]


def in_batches(work: Work) -> tuple[Work, list[Step]]:
    """Go through a table by ranges of its key, each range committed by itself."""
    editing = _Editing.of(work)
    uses = {
        int(each["line"]) for each in editing.code.whole if not each["batched"] and each["what"] != "read in chunks"
    }
    for statement in editing.function.body:
        inside = {line for line in uses if statement.lineno <= line <= (statement.end_lineno or 0)}
        if inside:
            _batched(editing, statement)
            uses -= inside
    if uses or not editing.edits:
        raise NoRemedy(f"{editing.code.name} goes through a table in a way that takes a person to divide")
    changed = editing.done()
    step = Step(
        (changed.text,),
        "data",
        "changes rows, some thousand at a time",
        atomic=False,
        imports=("from django.db import transaction",),
        helpers=(IN_RANGES,),
    )
    return changed, [step]


def _batched(editing: _Editing, statement: ast.stmt) -> None:
    """Put a loop over batches around one statement, which then works on the batch."""
    if isinstance(statement, ast.For):
        query = statement.iter
    elif isinstance(statement, ast.Expr):
        query = statement.value
    else:
        raise NoRemedy(f"line {statement.lineno} uses the rows of a table for something else than a change of them")
    roots = list(_roots(query))
    if len(roots) != 1 or any(isinstance(node, ast.Subscript) for node in ast.walk(query)):
        raise NoRemedy(f"line {statement.lineno} is not about the rows of one model")
    root, model = roots[0]
    if has_long_string(ast.get_source_segment(editing.work.source.text, statement) or ""):
        raise NoRemedy(f"line {statement.lineno} has a text over several lines, which cannot be moved")
    indent = " " * statement.col_offset
    editing.put(root, "batch")
    # What every line of the statement is moved by.
    for line in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1):
        if editing.work.source.text.split("\n")[line - 1].strip():
            editing.insert(line, 0, "        ")
    editing.insert(
        statement.lineno,
        0,
        f"{indent}for batch in in_ranges({model}, {editing.alias}):\n"
        f"{indent}    with transaction.atomic(using={editing.alias}):\n",
    )


def _roots(query: ast.expr) -> Iterator[tuple[ast.expr, str]]:
    """Give each ``Model.objects``, with ``.using(…)`` where that follows, and the model's name."""
    using = {
        node.func.value: node
        for node in ast.walk(query)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "using"
    }
    for node in ast.walk(query):
        if isinstance(node, ast.Attribute) and node.attr == "objects":
            if not isinstance(node.value, ast.Name):
                raise NoRemedy(f"line {node.lineno}: the model has no name of its own")
            yield using.get(node, node), node.value.id


def _data(work: Work) -> tuple[Work, list[Step]]:
    return work, [Step((work.text,), "data", "changes rows", atomic=work.migration.atomic, alone=False)]
