"""The questions of makemigrations, asked as data and answered as data."""

import sys

from django.db.migrations.questioner import MigrationQuestioner
from django.db.models import NOT_PROVIDED

from .faults import Fault
from .plain import field_code

IGNORE = "ignore"


class DataQuestioner(MigrationQuestioner):
    """Answer from a mapping of ids; note down what has no answer and go on with a provisional one.

    A rename is provisionally taken for one, because "no" would raise further questions that may never matter;
    a default is provisionally Django's own empty value of that type. ``open`` holds the questions without an
    answer, ``asked`` all of them, in the order they came up.
    """

    def __init__(self, answers, specified_apps=None):
        super().__init__(specified_apps=specified_apps)
        self.answers = dict(answers or {})
        self.asked = []

    @property
    def open(self):
        return [question for question in self.asked if not question["answered"]]

    def unused(self):
        """Return the ids of answers that no question asked for."""
        ids = {question["id"] for question in self.asked}
        return sorted(each for each in self.answers if each not in ids)

    def _ask(self, question):
        question["answered"] = question["id"] in self.answers
        question["answer"] = self.answers.get(question["id"])
        self.asked.append(question)
        return question

    def _yes_or_no(self, kind, key, text, provisional, **facts):
        question = self._ask(dict(facts, id=f"{kind}:{key}", kind=kind, text=text, choices=["yes", "no"]))
        if not question["answered"]:
            return provisional
        answer = question["answer"]
        words = {"yes": True, "y": True, "true": True, "no": False, "n": False, "false": False}
        answer = words.get(answer.strip().lower(), answer) if isinstance(answer, str) else answer
        if answer is True or answer is False:
            return answer
        raise Fault(
            "UsageError",
            "The answer {!r} to {} is neither yes nor no.".format(question["answer"], question["id"]),
            "answer it with True or False",
        )

    def _default(self, kind, key, text, provisional, choices, **facts):
        question = self._ask(dict(facts, id=f"{kind}:{key}", kind=kind, text=text, choices=choices))
        if not question["answered"]:
            return provisional
        answer = question["answer"]
        if answer == IGNORE and IGNORE in choices:
            return NOT_PROVIDED
        return evaluate(question["id"], answer)

    def ask_rename(self, model_name, old_name, new_name, field_instance):
        app = calling("app_label")
        model = f"{app}.{model_name}"
        return self._yes_or_no(
            "rename-field",
            f"{model}.{old_name}:{new_name}",
            f"Was the field {model}.{old_name} renamed to {model}.{new_name} (a {type(field_instance).__name__})?",
            provisional=True,
            app=app,
            model=model_name,
            old=old_name,
            new=new_name,
        )

    def ask_rename_model(self, old_model_state, new_model_state):
        app = old_model_state.app_label
        return self._yes_or_no(
            "rename-model",
            f"{app}.{old_model_state.name}:{new_model_state.name}",
            f"Was the model {app}.{old_model_state.name} renamed to {new_model_state.name}?",
            provisional=True,
            app=app,
            model=old_model_state.name,
            old=old_model_state.name,
            new=new_model_state.name,
        )

    def ask_not_null_addition(self, field_name, model_name):
        app = calling("app_label")
        where = f"{app}.{model_name}.{field_name}"
        return self._default(
            "not-null-addition",
            where,
            f"The new field {where} is NOT NULL and has no default. Which value do the existing rows get, once?",
            provisional=placeholder(calling("field")),
            choices=["expression"],
            app=app,
            model=model_name,
            field=field_name,
            code=field_code(calling("field")) if calling("field") is not None else None,
        )

    def ask_not_null_alteration(self, field_name, model_name):
        app = calling("app_label")
        where = f"{app}.{model_name}.{field_name}"
        return self._default(
            "not-null-alteration",
            where,
            f"The field {where} becomes NOT NULL and has no default. Which value do existing NULLs get? "
            f"({IGNORE!r}: they are dealt with by other means, before this migration.)",
            provisional=NOT_PROVIDED,
            choices=["expression", IGNORE],
            app=app,
            model=model_name,
            field=field_name,
        )

    def ask_auto_now_add_addition(self, field_name, model_name):
        from django.utils import timezone

        app = calling("app_label")
        where = f"{app}.{model_name}.{field_name}"
        return self._default(
            "auto-now-add",
            where,
            f"The new field {where} has auto_now_add. Which time do the existing rows get, once?",
            provisional=timezone.now,
            choices=["expression"],
            suggestion="timezone.now",
            app=app,
            model=model_name,
            field=field_name,
        )

    def ask_unique_callable_default_addition(self, field_name, model_name):
        app = calling("app_label")
        where = f"{app}.{model_name}.{field_name}"
        return self._yes_or_no(
            "unique-callable-default",
            where,
            f"The new field {where} is unique and its default is a callable, which Django calls "
            "once: every existing row would get the same value. Write the migration all the same?",
            provisional=True,
            app=app,
            model=model_name,
            field=field_name,
        ) or refuse(
            f"The new field {where} needs a value of its own for each row.",
            "add it nullable first, fill it in a data migration, then make it unique",
        )

    def ask_merge(self, app_label):
        return self._yes_or_no(
            "merge", app_label, f"Merge the branches of {app_label}?", provisional=True, app=app_label
        )


def refuse(message, hint):
    """Raise: the answer means that no migration is to be written."""
    raise Fault("UsageError", message, hint)


def calling(name):
    """Return a local of the autodetector method that asks.

    The questioner is told the model and the field, not the app, and two apps may have a model of one name. The
    methods that ask have held both in the same locals from Django 1.8 to 6.1.
    """
    frame = sys._getframe(1).f_back
    while frame is not None:
        if frame.f_code.co_filename.endswith("autodetector.py") and name in frame.f_locals:
            return frame.f_locals[name]
        frame = frame.f_back
    return None


def placeholder(field):
    """Return a value that the autodetector can go on with while the question is open; it is never written."""
    for value in ("", 0, False):
        try:
            if field is not None and field.to_python(value) == value:
                return value
        except Exception:
            continue
    return ""


def evaluate(question_id, answer):
    """Evaluate a one-off default as makemigrations' prompt does: Python, with ``datetime`` and ``timezone``."""
    import datetime

    from django.utils import timezone

    if not isinstance(answer, str):
        return answer
    try:
        return eval(answer, {}, {"datetime": datetime, "timezone": timezone})
    except (Exception, SystemExit) as exc:
        raise Fault(
            "UsageError",
            f"The answer {answer!r} to {question_id} is not a Python expression: {type(exc).__name__}: {exc}.",
            "give an expression such as 0, \"'draft'\" or timezone.now",
        ) from None
