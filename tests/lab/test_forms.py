"""The forms on real projects, with real ipywidgets; the clicks themselves are tests/browser's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from mig_kit.hazards import Finding, Severity
from mig_kit.lab.forms import Blockers, Checklist, Form, Picker, QuestionForm
from mig_kit.postgres import connect
from mig_kit.runbook import Choice, Runbook, Tick, open_runbook

if TYPE_CHECKING:
    from tests.lab.conftest import Session

RENAME = "rename-field:contact.message.subject:topic"


@pytest.fixture
def changed(session: Session) -> Iterator[Runbook]:
    """The session's project with another rename pending, in a runbook of its own."""
    models = session.runbook.target.project.root / "backend/apps/contact/models.py"
    before = models.read_text()
    assert "    subject = models.CharField(max_length=160)" in before
    models.write_text(before.replace("    subject = models", "    topic = models"))
    try:
        with open_runbook(session.runbook.target.project.root) as rb:
            yield rb
    finally:
        models.write_text(before)


def controls(form: Form, kind: type) -> list[Any]:
    found, queue = [], [form.controls()]
    while queue:
        widget = queue.pop(0)
        found += [widget] if isinstance(widget, kind) else []
        queue += list(getattr(widget, "children", ()))
    return found


def named(form: Form) -> None:
    """Every control that somebody sets has a name that a screen reader can say."""
    kinds = (ipywidgets.Text, ipywidgets.Checkbox, ipywidgets.ToggleButtons, ipywidgets.Button)
    found = controls(form, kinds)  # type: ignore[arg-type]
    assert found
    assert all(each.description for each in found)
    assert len({(each.description, each.tooltip) for each in found}) == len(found)


def test_an_answer_goes_into_the_runbook_and_raises_the_next_question(changed: Runbook) -> None:
    form = QuestionForm(changed)
    named(form)
    (buttons,) = controls(form, ipywidgets.ToggleButtons)
    assert buttons.value is None
    assert "1 of 1 to answer" in repr(form)
    buttons.value = False  # no rename: then what do the existing rows get in the new field?
    assert changed.answers == {RENAME: False}
    (value,) = controls(form, ipywidgets.Combobox)
    value.value = "''"
    assert changed.answers["not-null-addition:contact.message.topic"] == "''"
    assert "2 questions, all answered" in repr(form)
    (buttons,) = controls(form, ipywidgets.ToggleButtons)
    buttons.value = True  # a rename after all: the second question is gone, and so is its control
    assert not controls(form, ipywidgets.Combobox)
    assert "1 question, all answered" in repr(form)


def test_an_answer_given_as_a_parameter_is_set_in_the_form(changed: Runbook) -> None:
    changed.answers[RENAME] = "yes"
    (buttons,) = controls(QuestionForm(changed), ipywidgets.ToggleButtons)
    assert buttons.value is True


def test_an_error_in_a_click_is_shown_in_the_view(changed: Runbook, shell: InteractiveShell) -> None:
    form = QuestionForm(changed)
    with capture_output():
        form._ipython_display_()
    (buttons,) = controls(form, ipywidgets.ToggleButtons)
    models = changed.target.project.root / "backend/apps/contact/models.py"
    models.write_text(models.read_text() + "\nnot python\n")
    with capture_output() as captured:
        buttons.value = True
    assert captured.outputs[-1].update
    assert "That did not work: " in captured.outputs[-1].data["text/plain"]
    assert "models.py" in captured.outputs[-1].data["text/plain"]


def test_no_question_says_so(session: Session) -> None:
    form = QuestionForm(session.runbook)
    assert form.controls() is None
    assert "makemigrations has nothing to ask." in repr(form)


@pytest.fixture
def pending(session: Session) -> Iterator[Runbook]:
    """The session's project with two migrations more, one of each of two apps, that are not applied."""
    root = session.runbook.target.project.root
    written: list[Path] = []
    for app, before in (("blog", "0005_comment_comment_post_created_idx"), ("contact", None)):
        folder = root / f"backend/apps/{app}/migrations"
        last = before or sorted(each.stem for each in folder.glob("0*.py"))[-1]
        file = folder / "0006_more.py"
        file.write_text(
            "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n"
            f"    dependencies = [({app!r}, {last!r})]\n    operations = []\n"
        )
        written.append(file)
    try:
        with open_runbook(root) as rb:
            yield rb
    finally:
        for file in written:
            file.unlink()


def test_all_pending_is_the_first_choice_then_apps_then_migrations(pending: Runbook) -> None:
    picker = Picker(pending)
    named(picker)
    labels = [label for label, _choice in picker.options()]
    assert labels[:5] == [
        "All pending: 2 migrations",
        "blog: 1 pending",
        "contact: 1 pending",
        "[ ] blog.0006_more",
        "[ ] contact.0006_more",
    ]
    assert labels[5].startswith("[X] ")
    assert len(labels) == 5 + 33
    assert "Chosen: all that is pending, 2 migrations" in repr(picker)


def test_what_is_typed_chooses_as_soon_as_it_fits_one_thing(pending: Runbook) -> None:
    picker = Picker(pending)
    (field,) = controls(picker, ipywidgets.Combobox)
    assert field.options[0] == "All pending: 2 migrations"
    field.value = "blo"
    assert pending.choice == Choice()
    assert "blo: 7 fit: blog: 1 pending, [ ] blog.0006_more, [X] blog." in repr(picker).replace("\n", " ")
    field.value = "blog"
    assert pending.choice == Choice("blog")
    assert repr(picker).startswith("Chosen: what is pending in blog, 1 migration\n")
    field.value = "BLOG 0006"
    assert pending.choice == Choice("blog", "0006_more")
    field.value = "nothing like it"
    assert pending.choice == Choice("blog", "0006_more")
    assert "nothing like it: nothing fits. The choice above stands." in repr(picker)
    field.value = field.options[2]
    assert pending.choice == Choice("contact")


def test_a_button_goes_back_to_everything(pending: Runbook) -> None:
    pending.choice = Choice("blog")
    picker = Picker(pending)
    (button,) = controls(picker, ipywidgets.Button)
    button.click()
    assert pending.choice == Choice()


def test_a_name_given_as_a_parameter_is_completed(pending: Runbook) -> None:
    pending.choice = Choice("blog", "0003")
    picker = Picker(pending)
    assert pending.choice == Choice("blog", "0003_fill_reading_minutes")
    assert repr(picker).startswith("Chosen: blog.0003_fill_reading_minutes\n")


def test_a_name_that_does_not_exist_is_left_to_the_step(pending: Runbook) -> None:
    pending.choice = Choice("blog", "0099")
    assert "No migration has that name" in repr(Picker(pending))
    assert pending.choice == Choice("blog", "0099")


def test_parameters_choose_and_empty_ones_leave_the_choice(pending: Runbook) -> None:
    pending.pick("blog", "")
    assert pending.choice == Choice("blog")
    pending.pick("", "")
    assert pending.choice == Choice("blog")


def test_ticks_go_onto_the_runbook_and_into_the_journal(session: Session) -> None:
    rb = session.runbook
    form = Checklist(rb)
    named(form)
    boxes = controls(form, ipywidgets.Checkbox)
    assert len(boxes) == 9
    boxes[0].value = True
    migration = form.migrations[0]
    assert rb.ticks == {Tick(migration, "Field types are correct")}
    assert "1 of 9 lines ticked" in repr(form)
    assert "[x] Field types are correct" in repr(form)
    boxes[0].value = False
    assert not rb.ticks
    assert rb.run is not None
    told = [each.data for each in rb.run.journal.entries() if each.kind == "checklist"]
    assert [each["ticked"] for each in told] == [True, False]
    assert told[0]["migration"] == migration


def test_a_finding_stands_beside_its_line(session: Session) -> None:
    form = Checklist(session.runbook)
    assert form.generated is not None
    file = form.generated.files[0]
    found = Finding("MK112", Severity.ERROR, file.app, file.name, "Delete model X", "The table is dropped.", "look")
    form.generated = replace(form.generated, findings=(found,))
    line = next(each for each in repr(form).splitlines() if "No accidental deletions" in each)
    assert "error MK112 The table is dropped." in line
    assert any("error MK112" in each.description for each in controls(form, ipywidgets.Checkbox))


def test_with_nobody_there_only_the_view_is_shown(session: Session, shell: InteractiveShell) -> None:
    with capture_output() as captured:
        Checklist(session.runbook)._ipython_display_()
    assert [sorted(each.data) for each in captured.outputs] == [["text/html", "text/plain"]]


def test_whom_an_apply_may_end_is_chosen_session_by_session(pending: Runbook) -> None:
    """Nothing is ended by a click: the next apply does it, to that very session, and only when it has to wait."""
    info = pending.target.need_postgres("test")
    assert repr(Blockers(pending)).startswith("Nobody holds a lock on a table now")
    with (
        closing(connect(info, application_name="a report")) as one,
        closing(connect(info, application_name="b")) as other,
    ):
        for conn in (one, other):
            conn.execute("BEGIN")
            conn.execute("SELECT count(*) FROM blog_category")
        form = Blockers(pending)
        named(form)
        boxes = controls(form, ipywidgets.Checkbox)
        assert len(boxes) == 2
        assert "2 sessions with locks, 0 to be ended" in repr(form)
        assert "a report" in repr(form)
        assert "SELECT count(*) FROM blog_category" in repr(form)
        box = next(each for each in boxes if f"end process {one.info.backend_pid} " in each.description)
        box.value = True
        assert "2 sessions with locks, 1 to be ended" in repr(form)
        session = next(each.session for each in form.found.sessions if each.session.pid == one.info.backend_pid)
        assert pending.is_to_end(session)
        assert one.execute("SELECT 1").fetchone() == (1,)
        waiting = pending._waiting(0.5, 300, False)
        assert waiting.end_blockers == frozenset((session.key,))
        box.value = False
        assert pending._waiting(0.5, 300, False).end_blockers is False
