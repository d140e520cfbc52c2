"""How the pending model changes look."""

from __future__ import annotations

from itertools import groupby

from mig_kit.lab.blocks import (
    Block,
    Bullets,
    Fold,
    Group,
    Paragraph,
    Phrase,
    Source,
    Table,
    Title,
    View,
    code,
    quiet,
    state,
    strong,
)
from mig_kit.lab.views.session import plural
from mig_kit.steps.review import ModelChanges, ModelDiff, PendingOperation, Question

__all__ = ["answer_phrase", "changes_view", "example_answer", "question_table"]

_SYMBOLS = {"+": "add", "-": "remove", "~": "alter"}
# A model's diff of more lines than this starts folded.
_LONG = 40


def changes_view(changes: ModelChanges) -> View:
    """Return the operations, the questions, the models' differences, and Django's own text behind a fold."""
    if not changes.operations:
        return View(tuple(_no_changes(changes)))
    count, asked = plural(len(changes.operations), "operation"), len(changes.open_questions)
    title = f"Model changes: {count} in {', '.join(changes.apps)}"
    if asked:
        title += f"; {plural(asked, 'question')} to answer"
    blocks: list[Block] = [Title(title, "warn" if asked else None), *_warnings(changes), _operations(changes)]
    if changes.questions:
        blocks += _questions(changes)
    blocks += [_diff(each) for each in changes.models]
    blocks.append(_django(changes))
    return View(tuple(blocks))


def _no_changes(changes: ModelChanges) -> list[Block]:
    blocks: list[Block] = [Title("No changes detected"), *_warnings(changes)]
    if changes.reasons:
        blocks.append(Paragraph("Why that may be, by looking:"))
        blocks.append(Bullets(tuple((each.message, " ", strong("Next: "), each.hint) for each in changes.reasons)))
    else:
        blocks.append(
            Paragraph(
                "The models and the migrations say the same. If you did change a model: no sign was found of a file "
                "that is not saved, an app that is not installed or has no migrations package, a model that is never "
                "imported, or a router that keeps the app out of this database."
            )
        )
    if changes.text.strip():
        blocks.append(_django(changes))
    return blocks


def _warnings(changes: ModelChanges) -> list[Block]:
    return [Paragraph(("Note: ", each), "warn") for each in changes.warnings]


def _operations(changes: ModelChanges) -> Table:
    rows: list[tuple[Phrase, ...] | Group] = []
    for (app, migration), group in groupby(changes.operations, key=lambda each: (each.app, each.migration)):
        rows.append(Group(code(f"{app}.{migration}")))
        rows += [(*_symbol(each), each.description, _fields(each)) for each in group]
    return Table("What makemigrations would write", ("change", "operation", "field"), tuple(rows))


def _symbol(operation: PendingOperation) -> tuple[Phrase]:
    word = _SYMBOLS.get(operation.symbol, "other")
    shown: Phrase = (f"{operation.symbol} ", strong(word) if operation.symbol == "-" else word)
    return (shown,)


def _fields(operation: PendingOperation) -> Phrase:
    if operation.before and operation.after and operation.before != operation.after:
        return (quiet("from "), code(operation.before), "\n", quiet("to "), code(operation.after))
    return code(operation.after or operation.before) if operation.after or operation.before else ""


def _questions(changes: ModelChanges) -> list[Block]:
    blocks: list[Block] = [question_table(changes.questions)]
    if changes.open_questions:
        blocks += [
            Paragraph(
                (
                    "Until they are answered, a rename is taken for one, and a value for an empty one. Answer in the "
                    "form that ",
                    code("rb.questions()"),
                    " shows, or by id:",
                ),
                "warn",
            ),
            Source(example_answer(changes.open_questions), "python"),
        ]
    return blocks


def question_table(questions: tuple[Question, ...]) -> Table:
    """Return the questions with their ids and answers."""
    rows: tuple[tuple[Phrase, ...], ...] = tuple(
        ((each.text, "\n", quiet("id: "), code(each.id)), answer_phrase(each)) for each in questions
    )
    return Table("What makemigrations asks", ("question", "answer"), rows)


def answer_phrase(question: Question) -> Phrase:
    """Return a question's answer in words."""
    if not question.answered:
        return state("not answered", "warn")
    if question.choices == ("yes", "no"):
        return state("yes" if _is_yes(question.answer) else "no", "good")
    return (state("answered"), " ", code(question.answer))


def _is_yes(answer: object) -> bool:
    return answer is True or (isinstance(answer, str) and answer.strip().lower() in ("yes", "y", "true"))


def example_answer(questions: tuple[Question, ...]) -> str:
    """Return how questions are answered by hand, as Python."""
    lines = []
    for each in questions:
        if each.choices == ("yes", "no"):
            lines.append(f"    {each.id!r}: True,  # or False")
        else:
            ignored = ", or 'ignore'" if "ignore" in each.choices else ""
            value = each.suggestion or "0"
            lines.append(f"    {each.id!r}: {value!r},  # a Python expression{ignored}")
    return "answers = {\n" + "\n".join(lines) + "\n}\n"


def _diff(model: ModelDiff) -> Fold:
    lines = model.diff.count("\n")
    changed = sum(line.startswith(("+", "-")) for line in model.diff.splitlines())
    summary = (f"{model.app}.{model.model}", quiet(f": {plural(changed, 'line')} of the model changed"))
    return Fold(summary, (Source(model.diff, "diff"),), open=lines <= _LONG)


def _django(changes: ModelChanges) -> Fold:
    summary = ("What ", code("makemigrations --dry-run --verbosity 3"), " says, in full")
    return Fold(summary, (Source(changes.text.strip() + "\n"),))
