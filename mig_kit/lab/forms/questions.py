"""The form for makemigrations' questions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from mig_kit.lab.blocks import Block, Paragraph, Source, Title, View, code
from mig_kit.lab.forms.form import Form
from mig_kit.lab.html import escaped
from mig_kit.lab.views.changes import example_answer, question_table
from mig_kit.lab.views.session import plural
from mig_kit.steps.review import Question

if TYPE_CHECKING:
    from mig_kit.runbook import Runbook

__all__ = ["QuestionForm"]

_EXPRESSIONS = ("timezone.now", "''", "0", "False", "None")


class QuestionForm(Form):
    """One control a question; each answer goes into ``runbook.answers`` at once.

    An answer may raise further questions or settle others (no, it is no rename: which value does the new field
    get?): they are asked for after each, and the controls follow.
    """

    def __init__(self, runbook: Runbook) -> None:
        super().__init__(runbook)
        self.questions = runbook.review_of_now().questions
        self._box: Any = None

    @property
    def open(self) -> tuple[Question, ...]:
        """The questions without an answer."""
        return tuple(each for each in self.questions if not each.answered)

    def view(self) -> View:
        if not self.questions:
            return View((Title("Questions: none", "good"), Paragraph("makemigrations has nothing to ask.")))
        if not self.open:
            title = Title(f"Questions: {plural(len(self.questions), 'question')}, all answered", "good")
            return View((title, question_table(self.questions)))
        blocks: list[Block] = [
            Title(f"Questions: {len(self.open)} of {len(self.questions)} to answer", "warn"),
            question_table(self.questions),
            Paragraph(
                (
                    "Answer below, and the answers are kept for ",
                    code("rb.generate()"),
                    ". Without the form, give them as the parameter ",
                    code("answers"),
                    " or run:",
                )
            ),
            Source(example_answer(self.open).replace("answers = {", "rb.answers |= {"), "python"),
        ]
        return View(tuple(blocks))

    def controls(self) -> Any:
        if not self.questions:
            return None
        if self._box is None:
            import ipywidgets

            self._box = ipywidgets.VBox()
            self._box.add_class("mk-form")
            self._fill()
        return self._box

    def answer(self, id: str, value: object) -> None:
        """Answer a question by its id, or with None or empty text take the answer back."""
        if value is None or value == "":
            self.runbook.answers.pop(id, None)
        else:
            self.runbook.answers[id] = value
        before = [each.id for each in self.questions]
        # Once the files are written nothing is asked any more; what was asked stays on record.
        self.questions = self.runbook.review_of_now().questions or self.questions
        if self._box is not None and [each.id for each in self.questions] != before:
            self._fill()

    def _fill(self) -> None:
        rows: list[Any] = []
        for number, question in enumerate(self.questions, 1):
            rows += self._controls_of(number, question)
        self._box.children = tuple(rows)

    def _controls_of(self, number: int, question: Question) -> list[Any]:
        import ipywidgets

        text = ipywidgets.HTML(f"{number}. {escaped(question.text)}")
        wide = {"description_width": "initial"}
        if question.choices == ("yes", "no"):
            given = {"yes": True, "no": False}.get(str(question.answer).lower(), question.answer)
            control = ipywidgets.ToggleButtons(
                options=[("Yes", True), ("No", False)],
                value=given if isinstance(given, bool) else None,
                description=f"Answer {number}:",
                tooltips=[f"Yes: {question.text}", f"No: {question.text}"],
                style=wide,
            )
        else:
            ignore = [each for each in question.choices if each == "ignore"]
            offered = dict.fromkeys([question.suggestion, *ignore, *_EXPRESSIONS])
            control = ipywidgets.Combobox(
                options=[each for each in offered if each],
                value=str(question.answer) if question.answered else "",
                description=f"Answer {number}, a Python expression:",
                placeholder=question.suggestion or "0, \"'draft'\", timezone.now",
                continuous_update=False,
                ensure_option=False,
                style=wide,
                layout=ipywidgets.Layout(width="36rem", max_width="100%"),
            )
        self.on_change(control, partial(self.answer, question.id))
        return [text, control]
