"""One operation as steps that hold no lock while they work through a table."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mig_kit.hazards.plan import PlanMigration, PlanOperation
from mig_kit.hazards.remedies import _sql_text as text
from mig_kit.hazards.remedies._code import call, literal, raw_sql, run_python, with_state
from mig_kit.hazards.remedies._helpers import IN_BATCHES, drop_invalid, function_name
from mig_kit.hazards.remedies._moves import How, Move, Mover, build
from mig_kit.hazards.remedies._remedy import NoRemedy
from mig_kit.hazards.remedies._source import Source
from mig_kit.hazards.remedies._steps import Step, kept

__all__ = ["Work", "entries_of", "key_of", "safe_steps", "steps_of_moves"]

_POSTGRES = "from django.contrib.postgres.operations import "


@dataclass(frozen=True, slots=True)
class Work:
    """The migration to rewrite, its file, and which of its operations is meant."""

    migration: PlanMigration
    source: Source
    number: int

    @property
    def entries(self) -> list[PlanOperation]:
        """The operation as the plan has it, or what is inside of a SeparateDatabaseAndState."""
        return entries_of(self.migration, self.number)

    @property
    def text(self) -> str:
        """The operation as it stands in the file."""
        return self.source.operations[self.number]

    def statements(self, entry: PlanOperation) -> list[str]:
        """Return what an entry runs, what Django holds back to the end included."""
        return [*entry.statements, *(sql for sql, owner in self.migration.deferred if owner is entry)]

    def kept(self) -> Step:
        """Return the step that runs it as it is."""
        return kept(self.source, self.number, self.migration)


def entries_of(migration: PlanMigration, number: int) -> list[PlanOperation]:
    """Return the plan's entries of the operation at that place."""
    data = migration.plain["operations"]
    return [entry for entry, each in zip(migration.operations, data, strict=True) if each["index"] == number]


def safe_steps(work: Work, *, keep_default: bool = False, value: str | None = None) -> list[Step]:
    """Return the steps; the operation as it is where there is nothing to do. Raises NoRemedy.

    ``keep_default``, ``value``: as for ``Mover``.
    """
    entries = work.entries
    if len(entries) != 1 or entries[0].within is not None:
        return _inside(work, entries)
    (entry,) = entries
    plain = entry.plain
    django = tuple(plain.get("django") or (0, 0))
    if entry.kind in ("AddIndex", "RemoveIndex") and django >= (3, 0):
        return [_concurrent(work, entry, f"{entry.kind}Concurrently")]
    if entry.kind in ("AddIndexConcurrently", "RemoveIndexConcurrently"):
        return [_concurrent(work, entry, None)]
    constraint = plain.get("constraint") or {}
    if entry.kind == "AddConstraint" and constraint.get("class") == "CheckConstraint" and django >= (4, 0):
        return list(_check(work, entry))
    if entry.python is not None:
        return [Step((work.text,), "data", "changes rows", atomic=work.migration.atomic)]
    mover = Mover(key_of(entry), keep_default, value)
    if entry.raw is not None:
        mover.key = ""
    moves = mover.moves(work.statements(entry))
    if entry.raw is not None:
        moves = _with_own_reverse(work, moves)
    if all(each.how is How.BRIEF and not each.later for each in moves):
        return [work.kept()]
    state = [work.text] if entry.raw is None else _state_of_sql(work, entry)
    return list(steps_of_moves(moves, state, first=entry.kind.startswith(("Add", "Run"))))


def _with_own_reverse(work: Work, moves: list[Move]) -> list[Move]:
    """Keep the way back that a RunSQL was given, where none follows from the statements, or nothing is to be done."""
    node = work.source.nodes[work.number]
    if not isinstance(node, ast.Call):
        raise NoRemedy(f"{work.text[:60]} is not written out in the list of operations")
    if {each.arg for each in node.keywords} - {"sql", "reverse_sql", "state_operations"}:
        raise NoRemedy("what else its RunSQL is given cannot be passed on")
    named = [each.value for each in node.keywords if each.arg == "reverse_sql"]
    reverse = next(iter([*named, *node.args[1:2]]), None)
    if reverse is None or (isinstance(reverse, ast.Constant) and reverse.value is None):
        return moves
    written = ast.get_source_segment(work.source.text, reverse) or ""
    if written.endswith(".noop"):
        return [replace(each, back=()) for each in moves]
    if all(each.back is not None and each.how is not How.BATCHES for each in moves):
        return moves
    # All of it belongs to the last statement: the others have nothing to take back then.
    if moves[-1].how is How.BATCHES:
        raise NoRemedy("its way back is written for all rows at once")
    return [*(replace(each, back=()) for each in moves[:-1]), replace(moves[-1], back=(), own_back=written)]


def _state_of_sql(work: Work, entry: PlanOperation) -> list[str]:
    """Return the state_operations that a RunSQL has, as text."""
    assert entry.raw is not None
    if not entry.raw.state_operations:
        return []
    return _keyword_list(work, "state_operations")


def _keyword_list(work: Work, name: str) -> list[str]:
    """Return the entries of a list that an operation is given under a name, as text; raises NoRemedy."""
    node = work.source.nodes[work.number]
    if not isinstance(node, ast.Call) or any(each.arg is None for each in node.keywords):
        raise NoRemedy(f"{work.entries[0].describe}: its arguments cannot be taken apart")
    listed = next((each.value for each in node.keywords if each.arg == name), None)
    if listed is None or not isinstance(listed, ast.List):
        raise NoRemedy(f"{work.entries[0].describe}: its {name} are not named and written as a list")
    return [ast.get_source_segment(work.source.text, each) or "" for each in listed.elts]


def key_of(entry: PlanOperation) -> str | None:
    """Return the quoted column of the model's primary key, None where it is not one column."""
    key = entry.plain.get("key")
    return text.quoted(key) if key else None


def _renamed_call(work: Work, name: str) -> str:
    """Return the operation with another class in front of its arguments."""
    node = work.source.nodes[work.number]
    if not isinstance(node, ast.Call):
        raise NoRemedy(f"{work.text} is not written out in the list of operations")
    written = ast.get_source_segment(work.source.text, node.func) or ""
    return name + work.text[len(written) :]


def _concurrent(work: Work, entry: PlanOperation, name: str | None) -> Step:
    """Return the operation in its concurrent form; what a failed build has left under the name is dropped first."""
    operations, helpers = [_renamed_call(work, name) if name else work.text], []
    adds = entry.kind.startswith("Add")
    if adds:
        (statement,) = work.statements(entry)
        read = text.read(text.split(statement.replace(" CONCURRENTLY", "", 1))[0])
        if not isinstance(read, text.CreatedIndex):
            raise NoRemedy(f"what {entry.describe} runs is not CREATE INDEX")
        function, helper = drop_invalid(build(read.table, read.name, "", unique=False).index or "")
        operations.insert(0, run_python(function))
        helpers.append(helper)
    does = "builds" if adds else "drops"
    return Step(
        tuple(operations),
        "index",
        f"{does} an index while reads and writes go on",
        atomic=False,
        imports=(_POSTGRES + name,) if name else (),
        helpers=tuple(helpers),
    )


def _check(work: Work, entry: PlanOperation) -> Iterator[Step]:
    model, name = entry.plain["model"], entry.plain["constraint"]["name"]
    add, validate = Mover(None).moves(work.statements(entry))
    yield Step(
        (_renamed_call(work, "AddConstraintNotValid"),),
        "constraint",
        add.says,
        alone=False,
        imports=(_POSTGRES + "AddConstraintNotValid",),
    )
    operation = call("ValidateConstraint", [f"model_name={literal(model.lower())}", f"name={literal(name)}"])
    # Django has no way back for it: the constraint would stay valid.
    back = raw_sql("", validate.back)
    yield Step((operation, back), "validate", validate.says, imports=(_POSTGRES + "ValidateConstraint",))


def _inside(work: Work, entries: Sequence[PlanOperation]) -> list[Step]:
    """Rewrite the database operations of a SeparateDatabaseAndState; its state operations come with the first step."""
    if any(entry.python is not None for entry in entries):
        raise NoRemedy(f"{entries[0].within}: there is Python code in it")
    node = work.source.nodes[work.number]
    named = isinstance(node, ast.Call) and {each.arg for each in node.keywords} == {"database_operations"}
    state = [] if named else _keyword_list(work, "state_operations")
    moves = [move for entry in entries for move in Mover(key_of(entry) or "").moves(work.statements(entry))]
    if all(each.how is How.BRIEF for each in moves):
        return [work.kept()]
    return list(steps_of_moves(moves, state, first=True))


def steps_of_moves(moves: Sequence[Move], state: Sequence[str], *, first: bool) -> Iterator[Step]:
    """Put moves into steps: brief ones together, the others each by itself.

    ``state``: the operations on the project's state, which come with the ``first`` step or with the last of this
    release; a data step cannot have them.
    """
    groups = list(_groups(moves))
    now = [n for n, group in enumerate(groups) if not group[0].later]
    able = [n for n in now if groups[n][0].how is not How.BATCHES]
    if not able and state:
        yield Step((with_state([], state),), "state", "changes the project's state only", alone=False)
    place = (able[0] if first else able[-1]) if able else None
    for number, group in enumerate(groups):
        yield _step(group, state if number == place else ())


def _groups(moves: Sequence[Move]) -> Iterator[list[Move]]:
    group: list[Move] = []
    for move in moves:
        together = group and group[-1].how is move.how is How.BRIEF and group[-1].later == move.later
        if group and not together:
            yield group
            group = []
        group.append(move)
    if group:
        yield group


def _step(group: Sequence[Move], state: Sequence[str]) -> Step:
    how = group[0].how
    helpers, operations = [], []
    for move in group:
        if move.index is not None:
            function, helper = drop_invalid(move.index)
            operations.append(run_python(function))
            helpers.append(helper)
        if how is How.BATCHES:
            function = function_name("fill", text.identifier(move.table.rpartition(".")[2]))
            helpers += [IN_BATCHES, _filling(function, move)]
            operations.append(run_python(function))
        else:
            operations.append(raw_sql(move.sql, move.back, move.own_back))
    if state:
        operations = [with_state(operations, state)]
    return Step(
        tuple(operations),
        group[0].slug,
        "; ".join(dict.fromkeys(each.says for each in group)),
        atomic=how in (How.BRIEF, How.SCAN),
        alone=how is not How.BRIEF,
        helpers=tuple(helpers),
        later=group[0].later,
    )


def _filling(function: str, move: Move) -> str:
    arguments = ["schema_editor", literal(move.table), literal(move.key), literal(move.sql)]
    body = "    " + call("in_batches", arguments).replace("\n", "\n    ")
    return f"def {function}(apps, schema_editor):\n{body}\n"
