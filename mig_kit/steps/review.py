"""Step 1, review: which model changes have no migration yet."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mig_kit.steps.target import Target

if TYPE_CHECKING:
    import pandas

__all__ = ["ModelChanges", "ModelDiff", "PendingOperation", "Question", "Reason", "review"]


@dataclass(frozen=True, slots=True)
class PendingOperation:
    """One operation that makemigrations would write; ``symbol`` is Django's: + added, - removed, ~ altered."""

    app: str
    migration: str
    symbol: str
    operation: str
    description: str
    model: str | None
    field: str | None
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Question:
    """What makemigrations would ask; ``id`` stays the same from run to run and is how it is answered.

    ``choices`` is ("yes", "no") for a question that takes True or False; ("expression",) for a value given as
    Python text, with ``datetime`` and ``timezone`` at hand; "ignore" among them leaves the NULLs to other means.
    """

    id: str
    kind: str
    text: str
    choices: tuple[str, ...]
    answered: bool
    answer: Any = None
    suggestion: str = ""


@dataclass(frozen=True, slots=True)
class ModelDiff:
    """One model as the migrations know it and as the models file has it now, as Python text."""

    app: str
    model: str
    before: str
    after: str

    @property
    def diff(self) -> str:
        """The difference as a unified diff without file headers; the whole model is shown."""
        lines = difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), lineterm="", n=1000)
        return "\n".join(list(lines)[3:]) + "\n"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason why no changes may have been detected, found by looking."""

    id: str
    app: str | None
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class ModelChanges:
    """The pending model changes: operations, questions, Django's own text, and the models before and after.

    While ``open_questions`` is not empty the operations are provisional: a rename is taken for one.
    """

    operations: tuple[PendingOperation, ...]
    questions: tuple[Question, ...]
    text: str
    models: tuple[ModelDiff, ...]
    reasons: tuple[Reason, ...]
    warnings: tuple[str, ...]
    apps: tuple[str, ...]

    def __repr__(self) -> str:
        if not self.operations:
            return "<ModelChanges: no changes detected>"
        asked = len(self.open_questions)
        return f"<ModelChanges: {len(self.operations)} operations in {', '.join(self.apps)}; {asked} open questions>"

    def __bool__(self) -> bool:
        return bool(self.operations)

    @property
    def open_questions(self) -> tuple[Question, ...]:
        """The questions that have no answer yet."""
        return tuple(each for each in self.questions if not each.answered)

    def to_frame(self) -> pandas.DataFrame:
        """Return one row an operation: app, migration, the symbol, the operation, model, field, before, after."""
        import pandas

        columns = ["app", "migration", "", "operation", "model", "field", "before", "after"]
        rows = [
            (o.app, o.migration, o.symbol, o.description, o.model, o.field, o.before, o.after) for o in self.operations
        ]
        return pandas.DataFrame(rows, columns=columns).fillna("")


def review(
    target: Target,
    *,
    apps: Sequence[str] | None = None,
    answers: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> ModelChanges:
    """Return what makemigrations would write, and every question it would ask. Read-only: no file, no database.

    ``apps`` limits it as ``makemigrations APP`` does; ``answers`` maps question ids to answers. Where nothing is
    found, ``reasons`` says why that may be.
    """
    data = target.ask("model_changes", apps=list(apps) if apps else None, answers=dict(answers or {}), name=name)
    operations = tuple(
        PendingOperation(
            app=migration["app"],
            migration=migration["name"],
            symbol=each["symbol"],
            operation=each["class"],
            description=each["describe"],
            model=each["model"],
            field=each["field"],
            before=(each["before"] or {}).get("code"),
            after=(each["after"] or {}).get("code"),
        )
        for migration in data["migrations"]
        for each in migration["operations"]
    )
    reasons: tuple[Reason, ...] = ()
    if not operations:
        found = target.ask("explain_no_changes", apps=list(apps) if apps else None, root=str(target.project.root))
        reasons = tuple(Reason(**each) for each in found)
    return ModelChanges(
        operations=operations,
        questions=tuple(question_from(each) for each in data["questions"]),
        text=data["text"],
        models=tuple(ModelDiff(**each) for each in data["models"] if each["before"] != each["after"]),
        reasons=reasons,
        warnings=tuple(data["warnings"])
        + tuple(f"No question has the id {each!r}: that answer was not used." for each in data["unused_answers"]),
        apps=tuple(dict.fromkeys(each.app for each in operations)),
    )


def question_from(data: Mapping[str, Any]) -> Question:
    """Return a question from the worker's plain data."""
    return Question(
        id=data["id"],
        kind=data["kind"],
        text=data["text"],
        choices=tuple(data["choices"]),
        answered=data["answered"],
        answer=data["answer"],
        suggestion=data.get("suggestion", ""),
    )
